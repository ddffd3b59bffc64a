"""What only the user's class can check, by every method of `with_structured_output`."""

from __future__ import annotations

import dataclasses
import json
import pickle
import typing
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from pydantic import BaseModel, field_validator, model_validator
from typing_extensions import TypedDict

import replicate_stream as core
from langchain_replicate_stream import ChatReplicate, errors
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]
METHODS: list[Any] = ["json_schema", "json_mode", "function_calling"]
GOOD = {"day": "2026-02-03", "city": "Paris"}
# The schema allows both values.
BAD = {"day": "2026-02-31", "city": "Rome"}


class Trip(BaseModel):
    """A trip to a city that is served."""

    day: date
    city: str

    @field_validator("city")
    @classmethod
    def check_city(cls, city: str) -> str:
        if city != "Paris":
            raise ValueError("the city is not served")
        return city


@dataclasses.dataclass
class Day:
    """A day."""

    day: date
    notes: list[str] = dataclasses.field(default_factory=list)


class Dated(TypedDict):
    """A day."""

    day: date


class OldDated(typing.TypedDict):  # Pydantic itself reads it from Python 3.12 on
    """A day."""

    day: date


def write(value: Any, cls: type, method: str) -> str:
    """An answer of the model with a value, in the form that the method asks for."""
    if method != "function_calling":
        return json.dumps(value)
    return f"<tool_call>\n{json.dumps({'name': cls.__name__, 'arguments': value})}\n</tool_call>"


@pytest.fixture
def answers(replicate_emulator: Emulator) -> Callable[..., list[dict[str, Any]]]:
    """Set the answers, one for each prediction; return the list of the inputs they answered."""

    def set_up(*texts: str) -> list[dict[str, Any]]:
        remaining, inputs = list(texts), []

        def answer(model_input: dict[str, Any]) -> str:
            inputs.append(model_input)
            return remaining.pop(0)

        replicate_emulator.reply = answer
        return inputs

    return set_up


@pytest.mark.parametrize("method", METHODS)
async def test_a_value_that_the_class_rejects_is_asked_for_again_with_the_reason(
    method: Any, make_llm: MakeLLM, answers: Callable[..., list[dict[str, Any]]]
) -> None:
    inputs = answers(write(BAD, Trip, method), write(GOOD, Trip, method))
    trip = await make_llm().with_structured_output(Trip, method=method).ainvoke("Hi")
    assert trip == Trip(day=date(2026, 2, 3), city="Paris")
    assert "the city is not served" in str(inputs[1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_value_that_the_class_keeps_rejecting_is_an_error_of_ours(
    is_streamed: bool, method: Any, make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = write(BAD, Trip, method)
    structured = make_llm().with_structured_output(Trip, method=method)
    with pytest.raises(core.ReplicateError) as caught:
        if is_streamed:
            assert [part async for part in structured.astream("Hi")] == []
        else:
            await structured.ainvoke("Hi")
    assert isinstance(caught.value, errors.AnswerFormatError)
    assert "city: Value error, the city is not served" in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).completion == caught.value.completion


@pytest.mark.parametrize("method", METHODS)
async def test_the_raw_result_has_the_rejection(
    method: Any, make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = write(BAD, Trip, method)
    structured = make_llm().with_structured_output(Trip, method=method, include_raw=True)
    result = await structured.ainvoke("Hi")
    assert isinstance(result["parsing_error"], errors.AnswerFormatError)
    assert result["parsed"] is None
    assert "Rome" in result["raw"].text or result["raw"].tool_calls


class Hasty(BaseModel):
    """A class whose validator fails on a part of an answer, and at last on the whole."""

    city: str = ""
    country: str = ""

    @model_validator(mode="before")
    @classmethod
    def check(cls, value: Any) -> Any:
        if value["country"] != "France":
            raise RuntimeError("the country is not served")
        return value


@pytest.mark.parametrize("method", METHODS)
async def test_a_validator_may_raise_anything_on_a_part_of_an_answer_and_on_the_whole(
    method: Any, make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    structured = make_llm(max_repairs=0).with_structured_output(Hasty, method=method)
    good = {"city": "Paris", "country": "France"}
    replicate_emulator.reply = list(write(good, Hasty, method))
    assert [part async for part in structured.astream("Hi")][-1] == Hasty(**good)
    replicate_emulator.reply = list(write({"city": "Rome", "country": "Italy"}, Hasty, method))
    for ask in (structured.ainvoke, partial(consume, structured)):
        with pytest.raises(errors.AnswerFormatError, match="the country is not served"):
            await ask("Hi")


async def consume(llm: Any, text: str) -> None:
    async for _ in llm.astream(text):
        pass


async def test_a_cached_answer_is_checked_by_the_class_too(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    llm = make_llm(cache=InMemoryCache(), max_repairs=0)
    replicate_emulator.reply = json.dumps({"city": "Paris", "country": "France"})
    served = ["France"]

    class Served(BaseModel):
        city: str
        country: str

        @field_validator("country")
        @classmethod
        def check_country(cls, country: str) -> str:
            if country not in served:
                raise ValueError("the country is not served")
            return country

    structured = llm.with_structured_output(Served)
    await structured.ainvoke("Hi")
    served.clear()
    with pytest.raises(core.AnswerFormatError, match="not served"):
        await structured.ainvoke("Hi")
    assert len(replicate_emulator.predictions) == 1


@pytest.mark.parametrize(
    ("cls", "value"),
    [
        (Day, Day(date(2026, 2, 3))),
        (Dated, {"day": "2026-02-03"}),
        (OldDated, {"day": "2026-02-03"}),
    ],
)
@pytest.mark.parametrize("method", METHODS)
async def test_dataclasses_and_typed_dicts_are_checked_too(
    cls: Any,
    value: Any,
    method: Any,
    make_llm: MakeLLM,
    answers: Callable[..., list[dict[str, Any]]],
) -> None:
    inputs = answers(write({"day": "soon"}, cls, method), write({"day": GOOD["day"]}, cls, method))
    structured: Any = make_llm().with_structured_output(cls, method=method)
    assert await structured.ainvoke("Hi") == value
    assert len(inputs) == 2


async def test_a_schema_is_checked_by_tool_calls_too(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    schema = {"title": "Trip", "type": "object", "properties": {"days": {"type": "integer"}}}
    replicate_emulator.reply = write({"days": "many"}, Trip, "function_calling")
    structured = make_llm().with_structured_output(schema, method="function_calling")
    with pytest.raises(core.ReplicateError):
        await structured.ainvoke("Hi")

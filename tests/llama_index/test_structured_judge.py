"""One judge of an answer that is to be an object: its class, inside the core's repairs."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.types import PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, field_validator

import replicate_stream as core
from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator, Reply

METHODS = [
    "structured_predict",
    "astructured_predict",
    "stream_structured_predict",
    "astream_structured_predict",
    "program",
    "aprogram",
    "structured_llm",
    "astructured_llm",
]
WHOLE = [method for method in METHODS if "stream" not in method]
STREAMED_PROGRAMS = ["stream_program", "astream_program"]
ABOUT = PromptTemplate("Tell me of {topic}.")
JSON_MODEL = "acme/json"
TEXT = {"type": "string"}


class Visit(BaseModel):
    """A visit."""

    city: str
    day: dt.date

    @field_validator("city")
    @classmethod
    def check_city(cls, city: str) -> str:
        if city != city.title():
            raise ValueError("a city has a capital letter")
        return city


VISIT: Any = {"city": "Oslo", "day": "2026-11-27"}
SMALL: Any = {"city": "oslo", "day": "2026-11-27"}


def call(arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': 'Visit', 'arguments': arguments})}</tool_call>"


def pieces(text: str) -> list[str]:
    return [text[at : at + 3] for at in range(0, len(text), 3)]


async def predict(llm: Replicate, method: str) -> Any:
    """Predict a visit by the name of a way to do so."""
    if "program" in method:
        program = FunctionCallingProgram.from_defaults(output_cls=Visit, prompt=ABOUT, llm=llm)
        if method == "stream_program":
            return [*program.stream_call(topic="x")][-1]
        if method == "astream_program":
            return [each async for each in await program.astream_call(topic="x")][-1]
        return await program.acall(topic="x") if method[0] == "a" else program(topic="x")
    if "llm" in method:
        structured = llm.as_structured_llm(Visit)
        messages = [ChatMessage("Tell me.")]
        is_async = method.startswith("a")
        return (await structured.achat(messages) if is_async else structured.chat(messages)).raw
    result = getattr(llm, method)(Visit, ABOUT, topic="x")
    if method.startswith("a"):
        result = await result
    if method.startswith("astream"):
        return [each async for each in result][-1]
    return [*result][-1] if method.startswith("stream") else result


@pytest.fixture
def dumped() -> Iterator[list[str]]:
    """The events of the framework, as a tracer writes them."""
    written: list[str] = []

    class Tracer(BaseEventHandler):
        def handle(self, event: Any, **_: Any) -> None:
            if type(event).__name__ == "LLMChatStartEvent":
                written.append(event.model_dump_json())
            written.append(type(event).__name__)

    tracer = Tracer()
    get_dispatcher().add_event_handler(tracer)
    yield written
    get_dispatcher().event_handlers.remove(tracer)


@pytest.fixture
def json_llm(make_llm: Any, replicate_emulator: Emulator) -> Replicate:
    """A model with an input for the JSON schema of its answer."""
    schema = {"type": "object", "properties": {"prompt": TEXT, "json_schema": {"type": "object"}}}
    replicate_emulator.add_model(JSON_MODEL, schema, official=True)
    llm: Replicate = make_llm(model=JSON_MODEL)
    return llm


@pytest.mark.parametrize("method", WHOLE)
async def test_what_only_the_class_rejects_is_asked_for_again(
    make_llm: Any, replicate_emulator: Emulator, method: str
) -> None:
    for arguments in (SMALL, VISIT):
        replicate_emulator.enqueue(pieces(call(arguments)))
    assert await predict(make_llm(), method) == Visit(**VISIT)
    first, second = (str(each.input) for each in replicate_emulator.predictions.values())
    assert "a city has a capital letter" not in first
    assert "city: Value error, a city has a capital letter" in second


@pytest.mark.parametrize("method", [*METHODS, *STREAMED_PROGRAMS])
async def test_an_answer_that_the_class_rejects_in_the_end_is_an_answer_format_error(
    make_llm: Any, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = pieces(call(SMALL))
    with pytest.raises(core.AnswerFormatError, match=r"city: .*capital letter") as caught:
        await predict(make_llm(), method)
    assert "oslo" not in str(caught.value)
    # What a stream has delivered cannot be asked for again.
    assert len(replicate_emulator.predictions) == (1 if "stream" in method else 2)


@pytest.mark.parametrize("method", [*METHODS, *STREAMED_PROGRAMS])
@pytest.mark.parametrize("form", ["{}", "```json\n{}\n```", "\n{}\n"])
async def test_bare_json_that_fits_is_taken_for_the_call(
    make_llm: Any, replicate_emulator: Emulator, method: str, form: str
) -> None:
    replicate_emulator.reply = pieces(form.replace("{}", json.dumps(VISIT)))
    assert await predict(make_llm(), method) == Visit(**VISIT)
    assert len(replicate_emulator.predictions) == 1


@pytest.mark.parametrize("method", [*METHODS, *STREAMED_PROGRAMS])
async def test_a_text_instead_of_an_object_is_an_answer_format_error(
    make_llm: Any, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = pieces("I know of none.")
    with pytest.raises(core.AnswerFormatError, match="Visit had to be called"):
        await predict(make_llm(), method)
    assert len(replicate_emulator.predictions) == 2


@pytest.mark.parametrize("tool_required", [False, True])
def test_a_stream_with_the_tool_of_a_class_requires_a_call_as_its_caller_says(
    make_llm: Any, replicate_emulator: Emulator, tool_required: bool
) -> None:
    replicate_emulator.reply = pieces("I know of none.")
    tool = get_function_tool(Visit)
    stream = make_llm().stream_chat_with_tools([tool], "Tell me.", tool_required=tool_required)
    with pytest.raises(core.AnswerFormatError) if tool_required else nullcontext():
        assert [*stream][-1].message.content == "I know of none."


@pytest.mark.parametrize("method", METHODS)
async def test_a_model_with_an_input_for_json_gets_the_schema_there(
    json_llm: Replicate, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = pieces(json.dumps(VISIT))
    assert await predict(json_llm, method) == Visit(**VISIT)
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["json_schema"]["required"] == ["city", "day"]
    assert "tool" not in prediction.input["prompt"]
    assert "function" not in prediction.input["prompt"]


@pytest.mark.parametrize("method", WHOLE)
async def test_json_that_only_the_class_rejects_is_asked_for_again(
    json_llm: Replicate, replicate_emulator: Emulator, method: str
) -> None:
    for arguments in (SMALL, VISIT):
        replicate_emulator.enqueue(pieces(json.dumps(arguments)))
    assert await predict(json_llm, method) == Visit(**VISIT)
    replicate_emulator.reply = pieces(json.dumps(SMALL))
    with pytest.raises(core.AnswerFormatError, match="capital letter"):
        await predict(json_llm, method)
    assert len(replicate_emulator.predictions) == 4


async def test_streamed_json_grows(json_llm: Replicate, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = pieces(json.dumps(VISIT))
    stream = await json_llm.astream_structured_predict(Visit, ABOUT, topic="x")
    seen = [each.model_dump().get("city") async for each in stream]
    assert "Os" in seen
    assert seen[-1] == "Oslo"


async def test_the_function_mode_requires_a_call_of_every_model(
    make_llm: Any, json_llm: Replicate, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = pieces(call(VISIT))
    llm = make_llm(model=json_llm.model, pydantic_program_mode=PydanticProgramMode.FUNCTION)
    for method in METHODS:
        assert await predict(llm, method) == Visit(**VISIT)
    for prediction in replicate_emulator.predictions.values():
        assert "json_schema" not in prediction.input
        assert "You must call the function Visit now" in prediction.input["prompt"]


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
@pytest.mark.parametrize("method", ["structured_predict", "astructured_predict"])
async def test_events_and_tokens_of_an_object_are_counted_once(
    make_llm: Any, json_llm: Replicate, replicate_emulator: Emulator, dumped: list[str], method: str
) -> None:
    metrics = {"input_token_count": 5, "output_token_count": 7}
    for model, answer in ((json_llm.model, json.dumps(VISIT)), (None, call(VISIT))):
        dumped.clear()
        replicate_emulator.reply = Reply(tokens=pieces(answer), metrics=metrics)
        counter = TokenCountingHandler()
        settings = {"callback_manager": CallbackManager([counter])}
        llm = make_llm(**settings, **({"model": model} if model else {}))
        await predict(llm, method)
        assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (5, 7)
        assert "validator" in str(dumped)
        names = [each for each in dumped if each.startswith("LLM")]
        assert names == [
            "LLMStructuredPredictStartEvent",
            "LLMChatStartEvent",
            "LLMChatEndEvent",
            "LLMStructuredPredictEndEvent",
        ]

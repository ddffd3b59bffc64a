"""Calls of tools: how they are asked for, what comes of them, whole and in pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from llama_index.core.tools import FunctionTool

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator

CHATS = ["chat_with_tools", "achat_with_tools", "stream_chat_with_tools"]
CHATS += ["astream_chat_with_tools"]
PREDICTIONS = ["predict_and_call", "apredict_and_call"]


def weather(city: str, unit: str = "C") -> str:
    """Get the weather of a city."""
    return f"sunny in {city}, in {unit}"


def now() -> str:
    """Get the time."""
    return "noon"


# The framework's agents look at every attribute of themselves, deprecated ones of pydantic's too.
THE_AGENTS_OWN = "ignore::pydantic.warnings.PydanticDeprecationWarning"
WEATHER = FunctionTool.from_defaults(weather)
NOW = FunctionTool.from_defaults(now)


def call(name: str, **arguments: Any) -> str:
    """What a model writes to call a tool, in the format that it was told."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def pieces(text: str) -> list[str]:
    """A text in tokens of three characters."""
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def prompts(emulator: Emulator) -> list[str]:
    return [
        json.dumps(dict(each.input), ensure_ascii=False) for each in emulator.predictions.values()
    ]


Use = Callable[..., Any]


@pytest.fixture
def use() -> Use:
    """Uses tools by the name of a method; gives its response, or all of a stream's."""

    async def use(llm: Replicate, way: str, tools: Sequence[Any] = (WEATHER,), **given: Any) -> Any:
        answered = getattr(llm, way)(tools, **{"user_msg": "Weather in Kraków?", **given})
        if way.startswith("a"):
            answered = await answered
        if way.startswith("astream"):
            return [response async for response in answered]
        return list(answered) if way.startswith("stream") else answered

    return use


@pytest.mark.parametrize("way", PREDICTIONS)
async def test_a_prediction_calls_the_tool(
    make_llm: Any, replicate_emulator: Emulator, use: Use, way: str
) -> None:
    replicate_emulator.reply = call("weather", city="Kraków")
    answer = await use(make_llm(), way)
    assert answer.response == "sunny in Kraków, in C"
    assert [source.tool_name for source in answer.sources] == ["weather"]


@pytest.mark.parametrize("way", PREDICTIONS)
async def test_a_prediction_calls_several_tools(
    make_llm: Any, replicate_emulator: Emulator, use: Use, way: str
) -> None:
    replicate_emulator.reply = f"{call('weather', city='A')}\n{call('now')}"
    answer = await use(make_llm(), way, [WEATHER, NOW], allow_parallel_tool_calls=True)
    assert answer.response == "sunny in A, in C\n\nnoon"


@pytest.mark.parametrize("way", PREDICTIONS)
async def test_a_prediction_without_a_call_is_an_error_or_its_text(
    make_llm: Any, replicate_emulator: Emulator, use: Use, way: str
) -> None:
    replicate_emulator.reply = "It is sunny."
    with pytest.raises(ValueError, match="Expected at least one tool call"):
        await use(make_llm(), way)
    answer = await use(make_llm(), way, error_on_no_tool_call=False)
    assert (answer.response, answer.sources) == ("It is sunny.", [])


@pytest.mark.parametrize("way", PREDICTIONS)
@pytest.mark.parametrize("written", [call("rain", city="A"), call("weather", town="A")])
async def test_a_tool_that_is_not_there_or_fails_is_an_error_of_that_call(
    make_llm: Any, replicate_emulator: Emulator, use: Use, way: str, written: str
) -> None:
    replicate_emulator.reply = written
    answer = await use(make_llm(), way)
    (source,) = answer.sources
    assert source.is_error
    with pytest.raises(ValueError, match=r"no tool 'rain'; there are weather|Encountered error"):
        await use(make_llm(), way, error_on_tool_error=True)


@pytest.mark.parametrize("way", PREDICTIONS)
@pytest.mark.filterwarnings(THE_AGENTS_OWN)
async def test_a_model_without_function_calling_runs_as_a_react_agent(
    make_llm: Any, replicate_emulator: Emulator, use: Use, closed_loops: None, way: str
) -> None:
    replicate_emulator.reply = (
        'Thought: I need it.\nAction: weather\nAction Input: {"city": "Kraków"}'
    )
    answer = await use(make_llm(is_function_calling_model=False), way)
    assert answer.response == "sunny in Kraków, in C"
    assert "Thought" in prompts(replicate_emulator)[0]

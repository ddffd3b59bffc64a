"""LangChain's protocol events (version 3), and the tokens that callbacks are told of."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool

from langchain_replicate_stream import ChatReplicate
from langchain_replicate_stream._events import EventConverter
from replicate_stream import (
    Finished,
    Prediction,
    ReasoningDelta,
    StatusChanged,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from replicate_stream.testing import Emulator, ToolUser

MakeLLM = Callable[..., ChatReplicate]

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

FINISHED = Finished("stop", Usage(1, 2), Prediction("p", "succeeded"))


@tool
def weather(city: str) -> str:
    """Get the weather of a city."""
    return f"It is sunny in {city}."


class TokenCounter(BaseCallbackHandler):
    """Records the tokens that it is told of."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        assert kwargs["chunk"].text == token
        self.tokens.append(token)


def convert(*events: StreamEvent) -> list[Any]:
    """The events of version 3, without the first one."""
    converter = EventConverter("acme/model")
    assert converter.start()["event"] == "message-start"
    return [converted for event in events for converted in converter.convert(event)]


def get_blocks(events: list[Any]) -> list[Any]:
    return [e["content"] for e in events if e["event"] == "content-block-finish"]


def test_each_text_reasoning_and_call_is_a_block() -> None:
    events = convert(
        StatusChanged("processing"),
        ReasoningDelta("Hm"),
        ReasoningDelta("."),
        TextDelta("I "),
        TextDelta("look."),
        ToolCallDelta(0, "a", "weather", ""),
        ToolCallDelta(0, None, None, '{"city": '),
        ToolCallDelta(0, None, None, '"Paris"}'),
        ToolCallDelta(1, "b", "weather", '{"city": "Rome"}'),
        FINISHED,
    )
    assert get_blocks(events) == [
        {"type": "reasoning", "reasoning": "Hm."},
        {"type": "text", "text": "I look."},
        {"type": "tool_call", "name": "weather", "args": {"city": "Paris"}, "id": "a"},
        {"type": "tool_call", "name": "weather", "args": {"city": "Rome"}, "id": "b"},
    ]
    assert [e["index"] for e in events if e["event"] == "content-block-start"] == [0, 1, 2, 3]
    deltas = [(e["index"], e["delta"]) for e in events if e["event"] == "content-block-delta"]
    assert deltas == [
        (0, {"type": "reasoning-delta", "reasoning": "Hm"}),
        (0, {"type": "reasoning-delta", "reasoning": "."}),
        (1, {"type": "text-delta", "text": "I "}),
        (1, {"type": "text-delta", "text": "look."}),
        (2, {"type": "tool-call-delta", "args": '{"city": '}),
        (2, {"type": "tool-call-delta", "args": '"Paris"}'}),
        (3, {"type": "tool-call-delta", "args": '{"city": "Rome"}'}),
    ]
    assert events[-1]["event"] == "message-finish"
    assert events[-1]["usage"] == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    assert events[-1]["metadata"]["prediction_id"] == "p"


@pytest.mark.parametrize(("name", "arguments"), [("weather", '{"city": "Par'), ("", "{}")])
def test_a_malformed_call_is_a_block_of_its_own_kind(name: str, arguments: str) -> None:
    (block,) = get_blocks(convert(ToolCallDelta(0, "a", name, arguments), FINISHED))
    assert block["type"] == "invalid_tool_call"
    assert block["args"] == arguments
    assert block["error"]


@pytest.mark.parametrize(
    "call",
    [
        '{"name": "weather", "x": 1, "arguments": {}}',
        '{"name": "weather", "arguments": {"city":"Par',
        '{"name": "", "arguments": {"city":"Paris"}}',
        '{"arguments": {"city":"Paris"}}',
        "Paris",
    ],
)
async def test_a_malformed_call_is_the_same_as_in_a_whole_answer(
    make_llm: MakeLLM, replicate_emulator: Emulator, call: str
) -> None:
    replicate_emulator.reply = list(f"<tool_call>{call}</tool_call>")
    llm = make_llm(max_repairs=0).bind_tools([weather])
    stream: Any = await llm.astream_events("Hi", version="v3")
    streamed, whole = await stream.output, await llm.ainvoke("Hi")
    assert len(streamed.invalid_tool_calls) == 1
    for name in ("name", "args", "error"):
        assert streamed.invalid_tool_calls[0][name] == whole.invalid_tool_calls[0][name]


@pytest.mark.parametrize("surface", ["stream", "astream", "v2", "v3", "v3 blocking"])
async def test_callbacks_are_told_of_each_token_once(
    surface: str, make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["Hello", " ", "world"]
    llm, counter = make_llm(), TokenCounter()
    config: Any = {"callbacks": [counter]}
    if surface == "stream":
        assert len(list(llm.stream("Hi", config))) > 1
    elif surface == "astream":
        assert len([chunk async for chunk in llm.astream("Hi", config)]) > 1
    elif surface == "v2":
        assert [event async for event in llm.astream_events("Hi", config, version="v2")]
    elif surface == "v3":
        stream: Any = await llm.astream_events("Hi", config, version="v3")
        assert [event async for event in stream]
    else:
        blocking: Any = llm.stream_events("Hi", config, version="v3")
        assert list(blocking)
    # The framework adds an empty one for the end, and so does the chunk with the usage.
    assert [token for token in counter.tokens if token] == ["Hello", " ", "world"]


@pytest.mark.parametrize(
    "is_async",
    [
        pytest.param(
            True,
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11),
                reason="LangGraph streams from asynchronous nodes from 3.11 on",
            ),
        ),
        False,
    ],
)
async def test_callbacks_are_told_of_the_tokens_of_an_agents_events(
    is_async: bool, make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ToolUser(
        calls=[("weather", {"city": "Paris"})], answer="It is sunny there."
    )
    agent, counter = create_agent(make_llm(), [weather]), TokenCounter()
    question: Any = {"messages": [("human", "What is the weather in Paris?")]}
    config: Any = {"callbacks": [counter]}
    if is_async:
        run: Any = await agent.astream_events(question, config, version="v3")
        messages = [message async for message in run.messages]
    else:
        run = agent.stream_events(question, config, version="v3")
        messages = list(run.messages)
    assert len(messages) >= 2
    assert "".join(counter.tokens) == "It is sunny there."
    assert len(counter.tokens) > 3

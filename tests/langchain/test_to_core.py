"""LangChain's messages to the core's, also those of other providers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

import replicate_stream as core
from langchain_replicate_stream._to_core import to_core
from replicate_stream import Message, ToolCall
from replicate_stream.adapters import parse_contents

CALL = {"name": "search", "args": {"q": "é"}, "id": "c1", "type": "tool_call"}
TOOL_CALL = ToolCall("c1", "search", {"q": "é"})


def convert(message: BaseMessage) -> Message:
    (converted,) = to_core([message])
    return converted


def read(*messages: BaseMessage) -> list[Message]:
    """Convert messages, and read their blocks as the core does."""
    parsed = parse_contents(to_core(messages))
    return [replace(message, content=text) for message, text, _ in parsed]


def clear_calls(message: AIMessage) -> AIMessage:
    """Remove the calls that the framework has parsed, as if it had not."""
    message.tool_calls, message.invalid_tool_calls = [], []
    return message


def test_messages_of_every_kind_are_converted() -> None:
    call = {"name": "search", "args": {"q": "é"}, "id": "c1", "type": "tool_call"}
    messages: list[BaseMessage] = [
        SystemMessage("Be brief."),
        HumanMessage([{"type": "text", "text": "Hi"}], name="Ann"),
        AIMessage(
            [{"type": "text", "text": "Well"}, {"type": "tool_use", "id": "c1"}], tool_calls=[call]
        ),
        ToolMessage("found", tool_call_id="c1"),
        ChatMessage(role="assistant", content="So"),
    ]
    assert read(*messages) == [
        Message("system", "Be brief."),
        Message("user", "Hi", name="Ann"),
        Message("assistant", "Well", tool_calls=(ToolCall("c1", "search", {"q": "é"}),)),
        Message("tool", "found", tool_call_id="c1"),
        Message("assistant", "So"),
    ]


def test_a_message_without_a_role_is_an_error() -> None:
    with pytest.raises(core.InvalidInputError, match="RemoveMessage"):
        to_core([RemoveMessage(id="1")])


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("", tool_calls=[CALL]),
        AIMessage([], tool_calls=[CALL]),
        AIMessage(
            [{"type": "tool_use", "id": "c1", "name": "search", "input": {"q": "é"}}],
            tool_calls=[CALL],
        ),
        AIMessage([{"type": "tool_use", "id": "c1", "name": "search", "input": {"q": "é"}}]),
        AIMessage([{**CALL}], response_metadata={"output_version": "v1"}),
    ],
    ids=["calls", "no content", "both", "Anthropic's", "blocks"],
)
def test_a_call_is_converted_once_wherever_it_is(message: AIMessage) -> None:
    assert read(message) == [Message("assistant", tool_calls=(TOOL_CALL,))]


@pytest.mark.parametrize(
    "message",
    [
        AIMessage(
            "",
            additional_kwargs={
                "tool_calls": [
                    {"id": "c1", "function": {"name": "search", "arguments": '{"q": "é"}'}}
                ]
            },
        ),
        AIMessage(
            "",
            additional_kwargs={"function_call": {"name": "search", "arguments": '{"q": "é"}'}},
        ),
        AIMessage(
            [
                {
                    "type": "function_call",
                    "call_id": "c1",
                    "name": "search",
                    "arguments": '{"q": "é"}',
                }
            ]
        ),
    ],
    ids=["chat completions", "legacy", "responses"],
)
def test_openais_calls_keep_their_arguments_as_written(
    message: AIMessage,
) -> None:
    (converted,) = read(clear_calls(message))
    (call,) = converted.tool_calls
    assert (call.name, call.arguments) == ("search", '{"q": "é"}')


def test_a_malformed_call_keeps_the_models_text() -> None:
    bad = {"name": "search", "args": '{"q": ', "id": "c2", "error": None}
    converted = convert(AIMessage("", tool_calls=[CALL], invalid_tool_calls=[bad]))
    assert converted.tool_calls == (TOOL_CALL, ToolCall("c2", "search", '{"q": '))


def test_reasoning_and_the_frameworks_own_entries_are_left_out() -> None:
    blocks: list[str | dict[str, Any]] = [
        {"type": "thinking", "thinking": "Hm", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "reasoning", "reasoning": "Hm"},
        {"type": "text", "text": "Hello"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
    ]
    entries = {"lc_source": "summary", "lc_data": {"a": 1}, "reasoning_content": "Hm"}
    answer = AIMessage(blocks, additional_kwargs=entries)
    question = HumanMessage("Hi", additional_kwargs=entries)
    assert read(answer, question) == [Message("assistant", "Hello"), Message("user", "Hi")]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("No such city", "Error: No such city"),
        ("Error: no such city", "Error: no such city"),
        ([{"type": "text", "text": "No such city"}], "Error: No such city"),
        ([{"type": "text", "text": "error in line 1"}], "error in line 1"),
    ],
)
def test_the_result_of_a_failed_tool_starts_with_error(content: Any, text: str) -> None:
    message = ToolMessage(content, tool_call_id="c1", name="search", status="error")
    assert read(message) == [Message("tool", text, name="search", tool_call_id="c1")]


def test_the_result_of_another_tool_is_kept_as_it_is() -> None:
    message = ToolMessage("found", tool_call_id="c1", name="search")
    assert convert(message) == Message("tool", "found", name="search", tool_call_id="c1")


def test_names_and_messages_of_one_role_in_a_row_are_kept() -> None:
    messages: list[BaseMessage] = [
        HumanMessage("a", name="Ann"),
        HumanMessage("b", name="Bob"),
        AIMessage("c", name="bot"),
        AIMessage("d"),
    ]
    assert [(converted.content, converted.name) for converted in to_core(messages)] == [
        ("a", "Ann"),
        ("b", "Bob"),
        ("c", "bot"),
        ("d", None),
    ]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source_type": "id", "id": "file-1"},
        {"type": "file", "file": {"file_id": "file-1"}},
    ],
)
def test_the_id_of_a_file_is_an_error_where_the_api_keeps_none(block: dict[str, Any]) -> None:
    replicate = core.Client("r8_FAKE", base_url="https://api.replicate.com")
    parse_contents(to_core([HumanMessage([block])], files_url=replicate.files_url))
    cog = core.Client(base_url="http://localhost:5000", dialect="cog")
    with pytest.raises(core.InvalidInputError, match="without a url"):
        parse_contents(to_core([HumanMessage([block])], files_url=cog.files_url))

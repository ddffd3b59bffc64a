"""LangChain's messages to the core's, also those of other providers."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

import replicate_stream as core
from langchain_replicate_stream._to_core import to_core
from replicate_stream import Message, ToolCall

CALL = {"name": "search", "args": {"q": "é"}, "id": "c1", "type": "tool_call"}
TOOL_CALL = ToolCall("c1", "search", {"q": "é"})


def convert(message: BaseMessage) -> Message:
    (converted,) = to_core([message])
    return converted


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
    assert to_core(messages) == [
        Message("system", "Be brief."),
        Message("user", [{"type": "text", "text": "Hi"}], name="Ann"),
        Message(
            "assistant",
            [{"type": "text", "text": "Well"}],
            tool_calls=(ToolCall("c1", "search", {"q": "é"}),),
        ),
        Message("tool", "found", name="search", tool_call_id="c1"),
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
    converted = convert(message)
    assert converted.tool_calls == (TOOL_CALL,)
    assert not converted.content


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
    (call,) = convert(clear_calls(message)).tool_calls
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
        {"type": "non_standard", "value": {"secret": 1}},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
    ]
    entries = {"lc_source": "summary", "lc_data": {"a": 1}, "reasoning_content": "Hm"}
    assert convert(AIMessage(blocks, additional_kwargs=entries)) == Message(
        "assistant", [{"type": "text", "text": "Hello"}]
    )
    assert convert(HumanMessage("Hi", additional_kwargs=entries)) == Message("user", "Hi")


def test_a_refusal_becomes_text() -> None:
    converted = convert(AIMessage([{"type": "refusal", "refusal": "I cannot."}]))
    assert converted.content == [{"type": "text", "text": "I cannot."}]


def test_cache_marks_are_left_out() -> None:
    content: list[str | dict[str, Any]] = [
        {"type": "text", "text": "Long", "cache_control": {"type": "ephemeral"}},
        {"cachePoint": {"type": "default"}},
    ]
    for message in (SystemMessage(content), HumanMessage(content)):
        (part,) = convert(message).content
        assert isinstance(part, dict)
        assert (part["type"], part["text"]) == ("text", "Long")


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
    converted = convert(ToolMessage(content, tool_call_id="c1", status="error"))
    parts = [converted.content] if isinstance(converted.content, str) else converted.content
    assert "".join(p if isinstance(p, str) else p["text"] for p in parts) == text
    assert convert(ToolMessage(content, tool_call_id="c1")).content == content


def test_a_tool_result_of_another_type_becomes_json() -> None:
    converted = convert(ToolMessage([{"type": "json", "json": {"é": 1}}, "b"], tool_call_id="c1"))
    assert converted.content == [
        {"type": "text", "text": '{"type": "json", "json": {"é": 1}}'},
        "b",
    ]


def test_a_tool_result_gets_the_tools_name_from_the_call() -> None:
    messages = [
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("found", tool_call_id="c1"),
        ToolMessage("found", tool_call_id="c1", name="other"),
        ToolMessage("found", tool_call_id="c9"),
        FunctionMessage(content="found", name="old"),
    ]
    assert [converted.name for converted in to_core(messages)] == [
        None,
        "search",
        "other",
        None,
        "old",
    ]


def test_anthropics_tool_results_in_a_user_message_become_tool_messages() -> None:
    messages = [
        AIMessage([{"type": "tool_use", "id": "c1", "name": "search", "input": {"q": "é"}}]),
        HumanMessage(
            [
                {"type": "tool_result", "tool_use_id": "c1", "content": "found"},
                {
                    "type": "tool_result",
                    "tool_use_id": "c2",
                    "content": [{"type": "text", "text": "broke"}],
                    "is_error": True,
                },
                {"type": "text", "text": "And?"},
            ]
        ),
        HumanMessage([{"type": "tool_result", "tool_use_id": "c1"}]),
    ]
    assert to_core(messages)[1:] == [
        Message("tool", "found", name="search", tool_call_id="c1"),
        Message(
            "tool",
            [{"type": "text", "text": "Error: "}, {"type": "text", "text": "broke"}],
            tool_call_id="c2",
        ),
        Message("user", [{"type": "text", "text": "And?"}]),
        Message("tool", "", name="search", tool_call_id="c1"),
    ]


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
    ("block", "text"),
    [
        ({"type": "text-plain", "text": "Notes", "title": "t"}, "Notes"),
        (
            {
                "type": "document",
                "source": {"type": "text", "data": "Notes", "media_type": "text/plain"},
            },
            "Notes",
        ),
    ],
)
def test_a_document_of_plain_text_becomes_text(block: dict[str, Any], text: str) -> None:
    assert convert(HumanMessage([block])).content == [{"type": "text", "text": text}]

"""Conversations that were begun elsewhere: what of them is told to the model, and in which form."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_replicate_stream._to_core import to_core
from replicate_stream import Message, ToolCall

CALL = {"name": "search", "args": {"q": "é"}, "id": "c1", "type": "tool_call"}
CALLED = ToolCall("c1", "search", {"q": "é"})


def told(message: BaseMessage) -> Message:
    (said,) = to_core([message])
    return said


def emptied(message: AIMessage) -> AIMessage:
    """The message as one whose calls the framework has not read."""
    message.tool_calls, message.invalid_tool_calls = [], []
    return message


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
def test_a_call_is_told_once_wherever_it_stands(message: AIMessage) -> None:
    said = told(message)
    assert said.tool_calls == (CALLED,)
    assert not said.content


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
def test_openais_calls_are_told_with_their_arguments_as_they_were_written(
    message: AIMessage,
) -> None:
    (call,) = told(emptied(message)).tool_calls
    assert (call.name, call.arguments) == ("search", '{"q": "é"}')


def test_a_malformed_call_is_told_as_the_model_wrote_it() -> None:
    bad = {"name": "search", "args": '{"q": ', "id": "c2", "error": None}
    said = told(AIMessage("", tool_calls=[CALL], invalid_tool_calls=[bad]))
    assert said.tool_calls == (CALLED, ToolCall("c2", "search", '{"q": '))


def test_what_was_only_thought_or_is_a_note_of_the_framework_is_not_told() -> None:
    thought: list[str | dict[str, Any]] = [
        {"type": "thinking", "thinking": "Hm", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "reasoning", "reasoning": "Hm"},
        {"type": "text", "text": "Hello"},
        {"type": "non_standard", "value": {"secret": 1}},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
    ]
    notes = {"lc_source": "summary", "lc_data": {"a": 1}, "reasoning_content": "Hm"}
    assert told(AIMessage(thought, additional_kwargs=notes)) == Message(
        "assistant", [{"type": "text", "text": "Hello"}]
    )
    assert told(HumanMessage("Hi", additional_kwargs=notes)) == Message("user", "Hi")


def test_a_refusal_is_told_as_what_was_said() -> None:
    said = told(AIMessage([{"type": "refusal", "refusal": "I cannot."}]))
    assert said.content == [{"type": "text", "text": "I cannot."}]


def test_marks_of_a_cache_are_no_content() -> None:
    content: list[str | dict[str, Any]] = [
        {"type": "text", "text": "Long", "cache_control": {"type": "ephemeral"}},
        {"cachePoint": {"type": "default"}},
    ]
    for message in (SystemMessage(content), HumanMessage(content)):
        (part,) = told(message).content
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
def test_the_model_is_told_that_a_tool_has_failed(content: Any, text: str) -> None:
    said = told(ToolMessage(content, tool_call_id="c1", status="error"))
    parts = [said.content] if isinstance(said.content, str) else said.content
    assert "".join(p if isinstance(p, str) else p["text"] for p in parts) == text
    assert told(ToolMessage(content, tool_call_id="c1")).content == content


def test_a_tools_answer_that_is_no_text_is_told_as_json() -> None:
    said = told(ToolMessage([{"type": "json", "json": {"é": 1}}, "b"], tool_call_id="c1"))
    assert said.content == [{"type": "text", "text": '{"type": "json", "json": {"é": 1}}'}, "b"]


def test_a_tools_answer_has_the_tools_name_whoever_knows_it() -> None:
    messages = [
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("found", tool_call_id="c1"),
        ToolMessage("found", tool_call_id="c1", name="other"),
        ToolMessage("found", tool_call_id="c9"),
        FunctionMessage(content="found", name="old"),
    ]
    assert [said.name for said in to_core(messages)] == [None, "search", "other", None, "old"]


def test_anthropics_results_in_a_users_message_are_a_tools_answers() -> None:
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
    assert [(said.content, said.name) for said in to_core(messages)] == [
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
def test_a_document_of_plain_text_is_told_as_text(block: dict[str, Any], text: str) -> None:
    assert told(HumanMessage([block])).content == [{"type": "text", "text": text}]

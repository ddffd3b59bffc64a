"""Messages to the core's, events to chunks."""

from __future__ import annotations

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGenerationChunk

import replicate_stream as core
from langchain_replicate_stream._convert import text_chunk, to_core
from replicate_stream import Message, TextDelta, ToolCall


def test_a_chunk_of_text_is_what_the_constructors_make_and_shares_nothing() -> None:
    first, second = text_chunk(TextDelta("a")), text_chunk(TextDelta("a"))
    made = ChatGenerationChunk(message=AIMessageChunk(content="a"))
    assert first == second == made
    assert first.model_dump() == made.model_dump()
    assert first.model_dump(exclude_unset=True) == made.model_dump(exclude_unset=True)
    assert first.message.model_fields_set == made.message.model_fields_set
    for name, value in vars(first.message).items():
        if isinstance(value, dict | list):
            assert getattr(second.message, name) is not value, name


def test_messages_of_every_kind_are_told_apart() -> None:
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
        Message("tool", "found", tool_call_id="c1"),
        Message("assistant", "So"),
    ]


def test_a_message_that_no_model_can_be_told_is_an_error() -> None:
    with pytest.raises(core.InvalidInputError, match="RemoveMessage"):
        to_core([RemoveMessage(id="1")])

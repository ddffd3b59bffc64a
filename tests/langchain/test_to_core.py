"""Messages to the core's, as far as they are told."""

from __future__ import annotations

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
        Message("tool", "found", name="search", tool_call_id="c1"),
        Message("assistant", "So"),
    ]


def test_a_message_that_no_model_can_be_told_is_an_error() -> None:
    with pytest.raises(core.InvalidInputError, match="RemoveMessage"):
        to_core([RemoveMessage(id="1")])

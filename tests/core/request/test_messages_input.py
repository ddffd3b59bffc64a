"""Conversations in inputs for messages and for history."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from replicate_stream import Message, PreparedInput, ToolCall

Prepare = Callable[..., PreparedInput]
TEXT = {"type": "string"}
CHAT = [
    Message("system", "be brief"),
    Message("user", "one"),
    Message("assistant", "two"),
    Message("user", "three"),
]


def test_the_system_text_goes_into_messages_that_replace_the_other_inputs(prepare: Prepare) -> None:
    description = "A JSON string of messages. If provided, prompt and system_prompt are ignored."
    properties = {
        "prompt": TEXT,
        "system_prompt": TEXT,
        "messages": {"type": "array", "items": {"type": "object"}, "description": description},
    }
    prepared = prepare(CHAT, properties=properties)
    assert prepared.input == {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ]
    }


def test_messages_go_beside_a_system_input_that_is_not_ignored(prepare: Prepare) -> None:
    properties = {
        "system_prompt": TEXT,
        "messages": {"type": "array", "items": {"type": "object"}, "description": "The chat."},
    }
    prepared = prepare(CHAT, properties=properties)
    assert prepared.input["system_prompt"] == "be brief"
    assert [m["role"] for m in prepared.input["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    "properties",
    [
        {"messages": {**TEXT, "description": "JSON string containing a list of messages"}},
        {"prompt": {**TEXT, "description": "The JSON stringified of the messages to predict on"}},
    ],
)
def test_messages_are_encoded_as_json_for_a_string_input(
    prepare: Prepare, properties: dict[str, Any]
) -> None:
    prepared = prepare([Message("user", "wie spät?")], properties=properties)
    (text,) = prepared.input.values()
    assert json.loads(text) == [{"role": "user", "content": "wie spät?"}]
    assert "spät" in text


def test_messages_hold_tool_calls_and_results_of_a_model_with_tools(prepare: Prepare) -> None:
    native = {
        "messages": {"type": "array", "items": {"type": "object"}},
        "tools": {"type": "array", "items": {"type": "object"}},
    }
    chat = [
        Message("user", "hi"),
        Message("assistant", "", tool_calls=(ToolCall("c1", "add", {"a": 1}),)),
        Message("tool", "2", tool_call_id="c1"),
    ]
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    assert prepare(chat, properties=native).input["messages"][1:] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
    ]


def test_history_alternates_and_ends_before_the_last_question(prepare: Prepare) -> None:
    properties = {"prompt": TEXT, "history": {"type": "array", "items": TEXT}}
    assert prepare("hi", properties=properties).input == {"prompt": "hi"}
    chat = [*CHAT[1:3], Message("user", "three"), Message("user", "four")]
    assert prepare(chat, properties=properties).input == {
        "history": ["one", "two"],
        "prompt": "three\n\nfour",
    }


def test_images_of_earlier_messages_are_marked_if_the_description_asks_for_it(
    prepare: Prepare,
) -> None:
    description = (
        "Earlier messages. Include <image> to specify which message to attach the image to."
    )
    properties = {
        "prompt": TEXT,
        "image": {"type": "string", "format": "uri"},
        "history": {"type": "array", "items": TEXT, "description": description},
    }
    image = {"type": "image", "url": "https://example.com/cat.png"}
    chat = [
        {"role": "user", "content": [image, "one"]},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    assert prepare(chat, properties=properties).input == {
        "history": ["<image>\none", "two"],
        "prompt": "three",
        "image": "https://example.com/cat.png",
    }

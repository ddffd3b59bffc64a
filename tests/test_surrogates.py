"""Lone surrogates in what is sent: U+FFFD, through the core and both adapters alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock

from langchain_replicate_stream import ChatReplicate
from llama_index_replicate_stream import Replicate
from replicate_stream import Message, ToolCall, prepare_input
from replicate_stream.testing import Emulator

LONE, SAFE = "a\ud800b\udc00é", "a\ufffdb\ufffdé"
TEXT = {"type": "string"}
OBJECTS = {"type": "array", "items": {"type": "object"}}
SCHEMAS: dict[str, dict[str, Any]] = {
    "prompt": {"prompt": TEXT, "mood": TEXT, "system_prompt": TEXT, "stop_sequences": TEXT},
    "messages": {"messages": OBJECTS, "tools": OBJECTS, "mood": TEXT, "stop": {"type": "array"}},
    "messages as JSON": {"messages": TEXT, "tools": TEXT, "mood": TEXT},
}
MESSAGES = [
    Message("system", LONE),
    Message("user", LONE, name=LONE),
    Message("assistant", [{"text": LONE}], tool_calls=(ToolCall(LONE, LONE, {LONE: [LONE]}),)),
    Message("tool", LONE, name=LONE, tool_call_id=LONE),
    Message("user", [{"type": "text", "text": LONE}]),
]
PARAMETERS = {"type": "object", "properties": {LONE: {"type": "string", "description": LONE}}}
TOOL = {"name": LONE, "description": LONE, "parameters": PARAMETERS}


@pytest.mark.parametrize("model", ["acme/oracle", "mistralai/mistral-small-3.2", "qwen/qwen3-32b"])
@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_lone_surrogate_becomes_a_replacement_character(schema: str, model: str) -> None:
    parameters: dict[str, Any] = {
        "system_prompt": LONE,
        "stop": [LONE],
        "tools": [TOOL],
        "extra_input": {"mood": LONE},
    }
    prepared = prepare_input(
        MESSAGES, model=model, schema={"properties": SCHEMAS[schema]}, **parameters
    )
    sent = json.dumps(prepared.input, ensure_ascii=False)
    sent.encode()
    assert sent.count(SAFE) > 10
    assert prepared.input["mood"] == SAFE
    assert prepared.stop == (SAFE,)
    assert "\\ud8" not in sent


def test_surrogates_that_are_a_pair_become_their_character() -> None:
    prepared = prepare_input("\ud83e\udd89\ud83e", model="a/b", schema=None)
    assert "🦉\ufffd" in prepared.input["prompt"]


def test_a_prompt_without_surrogates_is_sent_as_it_is() -> None:
    text = "owl 🦉 \0 \ufffd \uffff"
    assert prepare_input(text, model="a/b", schema=None).input == {"prompt": text}


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_both_frameworks_send_the_same(replicate_emulator: Emulator, schema: str) -> None:
    schemas = {"type": "object", "properties": SCHEMAS[schema]}
    replicate_emulator.add_model("acme/oracle", schemas, official=True)
    server = {"api_key": replicate_emulator.token, "base_url": replicate_emulator.base_url}
    calls = [{"name": LONE, "args": {LONE: LONE}, "id": "c1"}]
    settings: dict[str, Any] = {"model": "acme/oracle", "stop": [LONE], **server}
    await ChatReplicate(**settings, model_kwargs={"mood": LONE}).ainvoke(
        [
            SystemMessage(LONE),
            HumanMessage(LONE),
            AIMessage(LONE, tool_calls=calls),
            ToolMessage(LONE, tool_call_id="c1"),
        ]
    )
    call = ToolCallBlock(tool_call_id="c1", tool_name=LONE, tool_kwargs={LONE: LONE})
    await Replicate(**settings, additional_kwargs={"mood": LONE}).achat(
        [
            ChatMessage(role="system", content=LONE),
            ChatMessage(role="user", content=LONE),
            ChatMessage(role="assistant", blocks=[TextBlock(text=LONE), call]),
            ChatMessage(role="tool", content=LONE, additional_kwargs={"tool_call_id": "c1"}),
        ]
    )
    one, other = (each.input for each in replicate_emulator.predictions.values())
    assert one == other
    assert json.dumps(one, ensure_ascii=False).count(SAFE) >= 6

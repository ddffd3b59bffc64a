"""Lone surrogates in what is sent: U+FFFD, through the core and both adapters alike."""

from __future__ import annotations

import json
import sys
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock

from langchain_replicate_stream import ChatReplicate
from llama_index_replicate_stream import Replicate
from replicate_stream import Client, InvalidInputError, Message, ToolCall, ToolSpec, prepare_input
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


KEYS = {"type": "object", "properties": {LONE: {"enum": [LONE]}}, "required": [LONE]}
KEYS_OFFERED = {"title": LONE, "description": LONE, **KEYS}


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_an_answer_fits_a_schema_whose_keys_have_surrogates(
    replicate_emulator: Emulator, method: Any
) -> None:
    answer = {SAFE: SAFE}
    call = json.dumps({"name": SAFE, "arguments": answer}, ensure_ascii=False)
    is_json = method == "json_schema"
    replicate_emulator.reply = json.dumps(answer) if is_json else f"<tool_call>{call}</tool_call>"
    llm = ChatReplicate(model=replicate_emulator.model)
    assert await llm.with_structured_output(KEYS_OFFERED, method=method).ainvoke("Hi") == answer


@pytest.mark.parametrize("tool", [ToolSpec(LONE, LONE, KEYS), {"name": LONE, "parameters": KEYS}])
async def test_a_call_names_the_tool_and_the_arguments_that_were_sent(
    replicate_emulator: Emulator, tool: Any
) -> None:
    call = json.dumps({"name": SAFE, "arguments": {SAFE: SAFE}}, ensure_ascii=False)
    replicate_emulator.reply = f"<tool_call>{call}</tool_call>"
    async with Client() as client:
        answer = await client.complete(
            replicate_emulator.model, "Hi", tools=[tool], tool_choice=LONE
        )
    assert [(each.name, each.arguments) for each in answer.tool_calls] == [(SAFE, {SAFE: SAFE})]


def test_surrogates_that_are_a_pair_become_their_character() -> None:
    prepared = prepare_input("\ud83e\udd89\ud83e", model="a/b", schema=None)
    assert "🦉\ufffd" in prepared.input["prompt"]


def test_a_prompt_without_surrogates_is_sent_as_it_is() -> None:
    text = "owl 🦉 \0 \ufffd \uffff"
    assert prepare_input(text, model="a/b", schema=None).input == {"prompt": text}


def test_what_is_nested_too_deeply_is_refused_where_surrogates_are_replaced() -> None:
    schema: dict[str, Any] = {}
    for _ in range(sys.getrecursionlimit()):
        schema = {"items": schema}
    with pytest.raises(InvalidInputError, match="stop"):
        prepare_input("Hi", model="a/b", schema=None, stop=cast("Any", [schema]))
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    llm = ChatReplicate(model="a/b", api_key="r8_fake").bind_tools([tool])
    with pytest.raises(InvalidInputError, match="tools is nested too deeply"):
        llm.invoke("Hi")


def test_inputs_that_are_nested_too_deeply_are_refused_by_both_adapters(
    replicate_emulator: Emulator,
) -> None:
    deep: dict[str, Any] = {}
    for _ in range(sys.getrecursionlimit()):
        deep = {"a": deep}
    model, inputs = replicate_emulator.model, {"temperature": deep}
    server: dict[str, Any] = {
        "api_key": replicate_emulator.token, "base_url": replicate_emulator.base_url
    }  # fmt: skip
    with pytest.raises(InvalidInputError, match="extra_input is nested too deeply"):
        ChatReplicate(model=model, model_kwargs=inputs, **server).invoke("Hi")
    with pytest.raises(InvalidInputError, match="extra_input is nested too deeply"):
        Replicate(model=model, additional_kwargs=inputs, **server).complete("Hi")


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

"""Servers of models that have ways of their own (docs/replicate-api.md 5.4)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from replicate_stream import PreparedInput

Prepare = Callable[..., PreparedInput]
TEXT = {"type": "string"}
LIST = {"type": "array", "items": {"type": "object"}}
IMAGES = {"type": "array", "items": {"type": "string", "format": "uri"}}
GRANITE: dict[str, Any] = {
    "prompt": {**TEXT, "description": "Completion API user prompt."},
    "messages": {**LIST, "description": "Chat completion API messages."},
    "tools": LIST,
    "tool_choice": TEXT,
    "system_prompt": {**TEXT, "description": "Completion API system prompt."},
    "chat_template": {**TEXT, "description": "A template to format the prompt with."},
    "max_completion_tokens": {"type": "integer"},
    "stream": {"type": "boolean", "default": False, "description": "Request streaming response."},
}
STRUCTURED: dict[str, Any] = {
    "prompt": {**TEXT, "description": "Ignored if input_item_list is provided."},
    "instructions": {**TEXT, "description": "A system (or developer) message for the context."},
    "image_input": IMAGES,
    "json_schema": {"type": "object"},
    "input_item_list": {**LIST, "description": "A list of input items to the model."},
    "tools": LIST,
}
SIDE_BY_SIDE: dict[str, Any] = {
    "prompt": {**TEXT, "description": "Do not use if using messages."},
    "system_prompt": TEXT,
    "messages": {**LIST, "description": "If provided, prompt and system_prompt are ignored."},
    "image_input": IMAGES,
}
SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Why?"},
]
TOOL = {"name": "add", "description": "adds", "parameters": {"type": "object", "properties": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
TOOL_TURNS = [
    {"role": "user", "content": "Add."},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "3", "tool_call_id": "c1"},
]
GRANITES = ["ibm-granite/granite-3.3-8b-instruct", "ibm-granite/granite-4.1-8b"]


@pytest.mark.parametrize("model", GRANITES)
def test_a_question_for_granite_is_a_prompt_with_a_system_prompt_and_streams(
    prepare: Prepare, model: str
) -> None:
    prepared = prepare([SYSTEM, TURNS[0]], model=model, properties=GRANITE)
    assert prepared.input == {"prompt": "Hi", "system_prompt": "Be brief.", "stream": True}


@pytest.mark.parametrize("model", GRANITES)
def test_several_turns_for_granite_are_a_prompt_in_its_own_marks(
    prepare: Prepare, model: str
) -> None:
    prepared = prepare([SYSTEM, *TURNS], model=model, properties=GRANITE)
    assert set(prepared.input) == {"prompt", "stream"}
    prompt = prepared.input["prompt"]
    assert prompt.startswith("<|start_of_role|>system<|end_of_role|>Be brief.")
    assert prompt.endswith(
        "user<|end_of_role|>Why?<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>"
    )


@pytest.mark.parametrize("model", GRANITES)
def test_tools_for_granite_stand_in_the_prompt_because_the_server_drops_calls(
    prepare: Prepare, model: str
) -> None:
    prepared = prepare("Hi", model=model, properties=GRANITE, tools=[TOOL])
    assert set(prepared.input) == {"prompt", "stream"}
    assert prepared.input["prompt"].startswith("<|start_of_role|>")
    assert "adds" in prepared.input["prompt"]


def test_extra_input_can_still_send_messages_to_granite(prepare: Prepare) -> None:
    extra = {"messages": TURNS, "stream": False}
    prepared = prepare("Hi", model=GRANITES[1], properties=GRANITE, extra_input=extra)
    assert (prepared.input["messages"], prepared.input["stream"]) == (TURNS, False)


def test_gpt_5_structured_gets_items_of_the_responses_api(prepare: Prepare) -> None:
    prepared = prepare(
        [SYSTEM, *TOOL_TURNS], model="openai/gpt-5-structured", properties=STRUCTURED, tools=[TOOL]
    )
    assert prepared.input["instructions"] == "Be brief."
    assert prepared.input["tools"] == [{"type": "function", **TOOL}]
    assert prepared.input["input_item_list"] == [
        {"role": "user", "content": "Add."},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "3"},
    ]


def test_the_names_of_speakers_are_kept_in_items(prepare: Prepare) -> None:
    turns = [{**turn, "name": "Ann"} if turn["role"] == "user" else turn for turn in TURNS]
    prepared = prepare(turns, model="openai/gpt-5-structured", properties=STRUCTURED)
    texts = [item["content"] for item in prepared.input["input_item_list"]]
    assert texts == ["Ann: Hi", "Hello", "Ann: Why?"]


def test_gpt_5_structured_gets_a_schema_in_the_form_that_it_takes(prepare: Prepare) -> None:
    part = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    listed = {"type": "array", "items": part}
    schema = {"type": "object", "properties": {"parts": listed}, "required": ["parts"]}
    prepared = prepare(
        model="openai/gpt-5-structured",
        properties=STRUCTURED,
        response_format={"title": "Sum", **schema},
    )
    closed = {"additionalProperties": False}
    listed = {"type": "array", "items": {**part, **closed}}
    expected: dict[str, Any] = {"title": "Sum", **schema, "properties": {"parts": listed}, **closed}
    sent = {"type": "json_schema", "name": "Sum", "schema": expected}
    assert prepared.input["json_schema"] == {"format": sent}


NUMBER = {"type": "integer"}
CLOSED = {"type": "object", "properties": {"n": NUMBER}, "required": ["n"]}


@pytest.mark.parametrize(
    "schema",
    [
        {**CLOSED, "required": []},
        {**CLOSED, "additionalProperties": NUMBER},
        {**CLOSED, "properties": {"n": {"type": ["object", "null"], "additionalProperties": True}}},
        {**CLOSED, "properties": {"n": {"anyOf": [NUMBER, TEXT]}}},
        {**CLOSED, "properties": {"n": {"$ref": "#"}}},
        {**CLOSED, "properties": {"n": {"type": "array", "items": {**CLOSED, "required": []}}}},
        {"type": "array", "items": NUMBER},
    ],
)
def test_the_prompt_asks_for_a_schema_that_gpt_5_structured_refuses(
    prepare: Prepare, schema: dict[str, Any]
) -> None:
    prepared = prepare(
        model="openai/gpt-5-structured", properties=STRUCTURED, response_format=schema
    )
    assert "json_schema" not in prepared.input
    assert json.dumps(schema["type"]) in prepared.input["instructions"]
    assert any("prompt asks for the response format" in note for note in prepared.notes)


@pytest.mark.parametrize("turns", [TURNS, TURNS[:1], TURNS[1:]])
def test_o1_mini_gets_the_system_text_from_the_user(
    prepare: Prepare, turns: list[dict[str, str]]
) -> None:
    properties = {"prompt": TEXT, "messages": LIST}
    prepared = prepare([SYSTEM, *turns], model="openai/o1-mini", properties=properties)
    sent = prepared.input["messages"]
    assert sent[0]["role"] == "user"
    assert sent[0]["content"].startswith("Be brief.")
    assert {each["role"] for each in sent} <= {"user", "assistant"}
    assert all(turn["content"] in json.dumps(sent) for turn in turns)
    other = prepare([SYSTEM, *turns], model="openai/o3-mini", properties=properties)
    assert other.input["messages"][0] == SYSTEM


def test_images_of_several_turns_are_numbered_where_they_were_sent(prepare: Prepare) -> None:
    first, second = ({"type": "image", "url": f"https://example.com/{n}"} for n in (1, 2))
    turns = [
        {"role": "user", "content": ["What is this?", first]},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": ["And this?", second]},
    ]
    prepared = prepare([SYSTEM, *turns], model="openai/gpt-5", properties=SIDE_BY_SIDE)
    assert "messages" not in prepared.input
    assert prepared.input["image_input"] == ["https://example.com/1", "https://example.com/2"]
    assert prepared.input["system_prompt"] == "Be brief."
    prompt = prepared.input["prompt"]
    parts = ["[image 1]\nWhat is this?", "A cat.", "[image 2]\nAnd this?"]
    places = [prompt.index(part) for part in parts]
    assert places == sorted(places)
    assert any("numbered" in note for note in prepared.notes)


IMAGE = {"type": "image", "url": "https://example.com/1"}
IMAGE_PART = {"type": "input_image", "image_url": "https://example.com/1"}


def text_part(text: str) -> dict[str, str]:
    return {"type": "input_text", "text": f"[image 1]\n{text}"}


@pytest.mark.parametrize("tools", [[], [TOOL]])
@pytest.mark.parametrize("has_instructions", [True, False])
def test_an_image_for_gpt_5_structured_stands_in_its_item(
    prepare: Prepare, tools: list[Any], has_instructions: bool
) -> None:
    properties = {k: v for k, v in STRUCTURED.items() if has_instructions or k != "instructions"}
    turns = [{**TURNS[0], "content": ["Hi", IMAGE]}, *TURNS[1:]]
    prepared = prepare(
        [SYSTEM, *turns], model="openai/gpt-5-structured", properties=properties, tools=tools
    )
    assert not {"image_input", "prompt"} & set(prepared.input)
    *_, first, second, third = prepared.input["input_item_list"]
    assert first == {"role": "user", "content": [text_part("Hi"), IMAGE_PART]}
    assert [second, third] == TURNS[1:]


def test_images_of_results_and_answers_stand_in_items_too(prepare: Prepare) -> None:
    question, call, result = cast("list[dict[str, Any]]", TOOL_TURNS)
    turns: list[Any] = [question, call, {**result, "content": ["3", IMAGE]}]
    prepared = prepare(turns, model="openai/gpt-5-structured", properties=STRUCTURED)
    output = [text_part("3"), IMAGE_PART]
    assert prepared.input["input_item_list"][2]["output"] == output
    turns = [TURNS[0], {"role": "assistant", "content": ["A cat.", IMAGE]}, TURNS[2]]
    prepared = prepare(turns, model="openai/gpt-5-structured", properties=STRUCTURED)
    assert prepared.input["input_item_list"][1:3] == [
        {"role": "assistant", "content": "[image 1]\nA cat."},
        {"role": "user", "content": [IMAGE_PART]},
    ]


def test_an_image_of_the_system_text_stays_in_its_input(prepare: Prepare) -> None:
    system = {"role": "system", "content": ["Be brief.", IMAGE]}
    for tools in ([], [TOOL]):
        prepared = prepare(
            [system, *TURNS], model="openai/gpt-5-structured", properties=STRUCTURED, tools=tools
        )
        assert prepared.input["image_input"] == ["https://example.com/1"]
        assert any("numbered" in note for note in prepared.notes)


def test_an_image_of_one_question_needs_no_number(prepare: Prepare) -> None:
    question = {"role": "user", "content": ["What?", {"type": "image", "url": "https://e.org/1"}]}
    prepared = prepare([SYSTEM, question], model="openai/gpt-5", properties=SIDE_BY_SIDE)
    assert prepared.input["prompt"] == "What?"


def test_text_of_several_turns_is_still_sent_as_messages(prepare: Prepare) -> None:
    prepared = prepare(TURNS, model="openai/gpt-5", properties=SIDE_BY_SIDE)
    assert prepared.input == {"messages": TURNS}


@pytest.mark.parametrize(
    ("model", "mark"),
    [
        ("acme/phi-4", "<|im_sep|>"),
        ("acme/falcon3-7b", "<|user|>"),
        ("acme/glm-4.5-air", "<|user|>"),
        ("acme/mistral-small-3.2", "[INST]"),
        ("tomasmcm/zephyr-7b-beta", "<|user|>"),
    ],
)
def test_chat_models_that_take_a_raw_prompt_get_their_template(
    prepare: Prepare, model: str, mark: str
) -> None:
    tokens = {"type": "integer"}
    if not model.startswith("tomasmcm"):
        tokens["description"] = "Maximum number of tokens to generate per output sequence."
    prepared = prepare("Hi", model=model, properties={"prompt": TEXT, "max_tokens": tokens})
    assert mark in prepared.input["prompt"]

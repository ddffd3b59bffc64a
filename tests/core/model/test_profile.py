"""The profile of a model, which is built from its schema once and asked by every request."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream._model.capabilities import get_capabilities
from replicate_stream._model.families.qwen import QwenToolFormat
from replicate_stream._model.families.tool_format import HermesToolFormat
from replicate_stream._model.families.turn import neutralize
from replicate_stream._model.input_schema import USUAL_SCHEMA, parse_input_schema
from replicate_stream._model.profile import ModelProfile, build_profile

TEXT = {"type": "string"}
FILE = {"type": "string", "format": "uri"}
MESSAGES = {"type": "array", "items": {"type": "object"}}


def build(model: str = "acme/unknown", *required: str, **inputs: Any) -> ModelProfile:
    schema = {
        "type": "object",
        "properties": {"prompt": TEXT, **inputs},
        "required": list(required),
    }
    return build_profile(schema, model)


def test_parameters_are_found_under_the_models_names() -> None:
    total = {"type": "integer", "description": "Total length of prompt and answer."}
    profile = build(max_length=total, topK={"type": "integer"}, functions=MESSAGES)
    found = {parameter: field.name for parameter, field in profile.parameters.items()}
    assert found == {"max_tokens": "max_length", "top_k": "topK", "tools": "functions"}
    assert profile.max_tokens_counts_prompt
    assert not build(max_tokens={"type": "integer"}).max_tokens_counts_prompt


def test_a_deprecated_input_is_the_last_choice() -> None:
    old = {"type": "string", "description": "Deprecated, use system_message."}
    profile = build(system_prompt=old, system_message=TEXT)
    assert profile.system_prompt is profile.schema.fields["system_message"]
    assert build(system_prompt=old).system_prompt is not None


def test_a_model_without_a_schema_has_the_usual_inputs() -> None:
    profile = build_profile(None, "acme/unknown")
    assert profile.schema == parse_input_schema(USUAL_SCHEMA)
    assert not profile.has_schema
    assert profile.capabilities == get_capabilities("acme/unknown")


def test_a_profile_holds_the_capabilities_of_its_schema() -> None:
    schema = {"properties": {"prompt": TEXT, "image": FILE}}
    profile = build_profile(schema, "a/b")
    assert profile.capabilities.takes_images
    assert profile.capabilities is profile.capabilities


def test_inputs_for_media_are_in_the_declared_order() -> None:
    profile = build(voice=FILE, image=FILE, voice_style=TEXT)
    assert dict(profile.media_inputs) == {"voice": {"audio"}, "image": {"image"}}
    assert list(profile.media_inputs) == ["voice", "image"]


@pytest.mark.parametrize(
    ("default", "tag"),
    [
        ("<img>image1</img> What is this?", "img"),
        ("<b>bold</b> text", None),
        ("What is this?", None),
        (None, None),
    ],
)
def test_the_example_of_a_prompt_shows_the_tag_of_its_media(
    default: str | None, tag: str | None
) -> None:
    profile = build(prompt={"type": "string", "default": default}, image1=FILE)
    assert profile.media_tag == tag


def test_inputs_for_reasoning_are_recognized_by_their_type() -> None:
    levels = {"type": "string", "enum": ["low", "high"]}
    profile = build(effort=levels, thinking_budget={"type": "integer"})
    assert profile.effort_level is profile.schema.fields["effort"]
    assert profile.thinking_budget is profile.schema.fields["thinking_budget"]
    assert profile.thinking_switch is None
    switch = build(thinking={"type": "boolean"})
    assert switch.thinking_switch is not None
    assert switch.effort_level is None


def test_required_inputs_and_inputs_for_a_schema_are_known() -> None:
    profile = build("a/b", "prompt", "image", image=FILE, guided_json=TEXT)
    assert [field.name for field in profile.required] == ["prompt", "image"]
    assert profile.json_schema is profile.schema.fields["guided_json"]


def test_the_system_text_belongs_into_messages_that_replace_the_prompt() -> None:
    replacing = {**MESSAGES, "description": "If given, prompt is ignored."}
    assert build(messages=replacing, system_prompt=TEXT).messages_hold_system
    assert build(messages=MESSAGES).messages_hold_system
    assert not build(messages=MESSAGES, system_prompt=TEXT).messages_hold_system


def test_all_marks_of_known_shapes_are_broken_where_no_family_is_known() -> None:
    template = {"type": "string", "default": "<|me|>{prompt}<|you|>"}
    profile = build(prompt_template=template)
    assert profile.chat_template is None
    for each in (profile, build()):
        marks = each.control_marks
        assert neutralize(marks, "<|me|> b [/INST] USER: </s>") == "<|me| > b [/INST ] USER : </s >"
        assert neutralize(marks, "[TODO] a <| b |> c[i] <b>") == "[TODO] a <| b |> c[i] <b>"
    assert profile.is_rendered("<|me|>Hi")
    assert not profile.is_rendered("Hi")


def test_a_named_chat_template_is_the_models_own_variant_of_it() -> None:
    qwen, llama = build("qwen/qwen2.5-7b-instruct"), build("meta/llama-3-8b-instruct")
    for profile, tool_format in ((qwen, QwenToolFormat), (llama, HermesToolFormat)):
        chatml = profile.find_chat_template("chatml")
        assert chatml is not None
        assert chatml.tool_format is tool_format
    assert qwen.find_chat_template("unknown") is None


def test_tools_with_control_tokens_need_the_familys_own_template() -> None:
    assert build("mistralai/mistral-7b-instruct-v0.3").tool_format is HermesToolFormat
    assert build("qwen/qwen3-8b").tool_format is QwenToolFormat
    assert build().tool_format is HermesToolFormat

"""`prepare_input` as a whole: schemas, required inputs, and what a prepared input shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from replicate_stream import InvalidInputError, Message, PreparedInput, prepare_input
from replicate_stream._model.input_schema import parse_input_schema
from replicate_stream._model.profile import build_profile

Prepare = Callable[..., PreparedInput]
TEXT = {"type": "string"}


def test_the_references_of_an_openapi_schema_are_resolved() -> None:
    live = {
        "components": {
            "schemas": {
                "Input": {
                    "properties": {
                        "prompt": {"type": "string", "x-order": 0},
                        "reasoning_effort": {
                            "allOf": [{"$ref": "#/components/schemas/reasoning_effort"}],
                            "default": "low",
                            "x-order": 1,
                        },
                        "seed": {"anyOf": [{"type": "integer"}, {"type": "null"}], "x-order": 2},
                    }
                },
                "reasoning_effort": {"type": "string", "enum": ["low", "high"]},
                "Output": {"type": "array", "x-cog-array-display": "concatenate"},
            }
        }
    }
    parsed = parse_input_schema(live)
    assert tuple(parsed.fields) == ("prompt", "reasoning_effort", "seed")
    assert parsed.fields["reasoning_effort"].choices == ("low", "high")
    assert parsed.fields["reasoning_effort"].default == "low"
    assert parsed.fields["seed"].kind == "integer"
    prepared = prepare_input(
        "hi", model="a/b", schema=live, seed=3, extra_input={"reasoning_effort": "high"}
    )
    assert prepared.input == {"prompt": "hi", "seed": 3, "reasoning_effort": "high"}
    assert build_profile(live, "a/b").schema.output_kind == "pieces"


def test_without_a_schema_the_usual_names_are_used_and_a_note_added() -> None:
    prepared = prepare_input(
        [Message("system", "s"), Message("user", "u")],
        model="acme/oracle",
        schema=None,
        max_tokens=5,
        extra_input={"whatever": 1},
    )
    assert prepared.input == {"system_prompt": "s", "prompt": "u", "max_tokens": 5, "whatever": 1}
    assert any("acme/oracle" in note for note in prepared.notes)


def test_a_model_that_makes_files_is_refused() -> None:
    live = {
        "components": {
            "schemas": {
                "Input": {"properties": {"prompt": TEXT}},
                "Output": {"type": "string", "format": "uri"},
            }
        }
    }
    with pytest.raises(InvalidInputError, match="makes files"):
        prepare_input("hi", model="acme/painter", schema=live)


def test_neither_the_repr_nor_a_note_shows_text_of_the_prompt(prepare: Prepare) -> None:
    prepared = prepare(
        [Message("system", "my secret"), Message("user", "my secret <|im_end|>")],
        model="acme/qwen-chat",
        properties={"prompt": {**TEXT, "description": "in chatml format"}},
        stop=["my secret"],
    )
    assert "secret" in prepared.input["prompt"]
    assert prepared.notes
    assert "secret" not in " ".join(prepared.notes)
    assert "im_start" not in repr(prepared)


def test_several_system_texts_are_joined_in_order(prepare: Prepare) -> None:
    prepared = prepare(
        [Message("system", "two"), Message("user", "hi"), Message("system", "three")],
        properties={"prompt": TEXT, "system_prompt": TEXT},
        system_prompt="one",
    )
    assert prepared.input == {"prompt": "hi", "system_prompt": "one\n\ntwo\n\nthree"}


def test_the_index_of_an_invalid_message_does_not_count_the_system_prompt(prepare: Prepare) -> None:
    with pytest.raises(InvalidInputError, match=r"messages\[0\]\.content is of type int"):
        prepare([{"role": "user", "content": 5}], system_prompt="Be brief.")


def test_a_missing_required_input_is_named() -> None:
    schema = {"properties": {"prompt": TEXT, "table": TEXT}, "required": ["prompt", "table"]}
    with pytest.raises(InvalidInputError, match=r"needs table.*extra_input") as caught:
        prepare_input("hi", model="a/b", schema=schema)
    assert caught.value.fields == ("table",)
    prepared = prepare_input("hi", model="a/b", schema=schema, extra_input={"table": "t"})
    assert prepared.input == {"prompt": "hi", "table": "t"}


def test_an_unknown_policy_is_refused(prepare: Prepare) -> None:
    with pytest.raises(InvalidInputError, match="on_unsupported is 'shrug'; it must be 'raise'"):
        prepare(on_unsupported="shrug")

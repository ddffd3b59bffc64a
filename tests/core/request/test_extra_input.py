"""Extra inputs, tools and the response format in a model's own inputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from replicate_stream import InvalidInputError, PreparedInput, ToolSpec

Prepare = Callable[..., PreparedInput]
TEXT = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}


def test_extra_input_wins_and_none_removes_an_input(prepare: Prepare) -> None:
    properties = {"prompt": TEXT, "temperature": NUMBER, "debug": {"type": "boolean"}}
    prepared = prepare(
        properties=properties,
        temperature=0.5,
        extra_input={"temperature": None, "debug": True, "prompt": "mine"},
    )
    assert prepared.input == {"prompt": "mine", "debug": True}


@pytest.mark.parametrize(
    ("spec", "value"),
    [(INTEGER, "many"), ({**NUMBER, "maximum": 1}, 2), ({"type": "string", "enum": ["a"]}, "b")],
)
def test_extra_input_is_checked_against_the_schema(
    prepare: Prepare, spec: dict[str, Any], value: Any
) -> None:
    with pytest.raises(InvalidInputError, match="knob must be") as caught:
        prepare(properties={"prompt": TEXT, "knob": spec}, extra_input={"knob": value})
    assert caught.value.fields == ("knob",)


def test_extra_input_takes_penalties_under_their_usual_name(prepare: Prepare) -> None:
    properties = {"prompt": TEXT, "repeat_penalty": NUMBER}
    prepared = prepare(properties=properties, extra_input={"repetition_penalty": 1.1})
    assert prepared.input == {"prompt": "hi", "repeat_penalty": 1.1}


def test_tools_and_the_response_format_go_into_the_models_inputs(prepare: Prepare) -> None:
    tool = ToolSpec("add", "adds", {"type": "object", "properties": {}})
    parameters: dict[str, Any] = {"type": "object", "properties": {}}
    function = {"name": "add", "description": "adds", "parameters": parameters}
    properties = {
        "prompt": TEXT,
        "tools": {"type": "array", "items": {"type": "object"}},
        "tool_choice": TEXT,
        "json_schema": TEXT,
    }
    response_format = {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {"type": "object"}},
    }
    prepared = prepare(
        properties=properties, tools=[tool], tool_choice="any", response_format=response_format
    )
    assert prepared.input["tools"] == [{"type": "function", "function": function}]
    assert prepared.input["tool_choice"] == "required"
    assert json.loads(prepared.input["json_schema"]) == {"type": "object"}
    assert prepared.input["prompt"] == "hi"


def test_a_format_without_a_schema_is_not_sent_in_an_input_for_schemas(prepare: Prepare) -> None:
    properties = {"prompt": TEXT, "json_schema": TEXT}
    prepared = prepare(properties=properties, response_format={"type": "json_object"})
    assert "json_schema" not in prepared.input
    assert "one JSON object" in prepared.input["prompt"]

"""Extra inputs, `reasoning_effort`, tools and the response format in a model's own inputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from replicate_stream import InvalidInputError, ParameterWarning, PreparedInput, ToolSpec

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


@pytest.mark.parametrize(
    ("fields", "effort", "sent"),
    [
        ({"reasoning_effort": {"enum": ["low", "high"]}}, "high", {"reasoning_effort": "high"}),
        ({"thinking_level": {"enum": ["low", "high"]}}, "low", {"thinking_level": "low"}),
        ({"thinking": {"enum": ["medium", "None"]}}, "none", {"thinking": "None"}),
        ({"thinking_budget": {**INTEGER, "maximum": 4000}}, "high", {"thinking_budget": 4000}),
        ({"thinking_budget": INTEGER}, "none", {"thinking_budget": 0}),
        (
            {"extended_thinking": {"type": "boolean"}, "thinking_budget_tokens": INTEGER},
            "medium",
            {"extended_thinking": True, "thinking_budget_tokens": 8192},
        ),
    ],
)
def test_reasoning_effort_reaches_every_kind_of_input(
    prepare: Prepare, fields: dict[str, Any], effort: str, sent: dict[str, Any]
) -> None:
    prepared = prepare(
        properties={"prompt": TEXT, **fields}, extra_input={"reasoning_effort": effort}
    )
    assert prepared.input == {"prompt": "hi", **sent}


def test_an_effort_between_two_levels_becomes_the_nearest_with_a_warning(prepare: Prepare) -> None:
    properties = {"prompt": TEXT, "thinking_level": {"enum": ["low", "high"]}}
    with pytest.warns(ParameterWarning, match="thinking_level is low"):
        prepared = prepare(properties=properties, extra_input={"reasoning_effort": "minimal"})
    assert prepared.input["thinking_level"] == "low"


@pytest.mark.parametrize("name", ["reasoning_effort", "thinking_level", "effort"])
@pytest.mark.parametrize(
    ("wanted", "levels", "sent"),
    [
        ("xhigh", ["minimal", "low", "medium", "high"], "high"),
        ("minimal", ["none", "high"], "none"),
        ("max", ["low", "xhigh"], "xhigh"),
    ],
)
def test_an_unknown_level_under_the_models_own_name_becomes_the_nearest_with_a_warning(
    prepare: Prepare, name: str, wanted: str, levels: list[str], sent: str
) -> None:
    properties = {"prompt": TEXT, name: {"type": "string", "enum": levels}}
    with pytest.warns(ParameterWarning, match=f"{name} is {sent} instead of {name}={wanted}"):
        prepared = prepare(properties=properties, extra_input={name: wanted})
    assert prepared.input[name] == sent


def test_a_word_that_is_no_level_is_refused_under_the_models_own_name(prepare: Prepare) -> None:
    properties = {"prompt": TEXT, "reasoning_effort": {"type": "string", "enum": ["low", "high"]}}
    with pytest.raises(InvalidInputError, match="must be one of low, high"):
        prepare(properties=properties, extra_input={"reasoning_effort": "much"})

"""Tools: their schemas, whole, and the arguments of a call that do not fit them."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream import ToolSpec
from replicate_stream._types.tool_choice import find_arguments_problem, parse_tool_choice

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NODE: Any = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}},
    "required": ["name"],
}
RECURSIVE: Any = {"$ref": "#/$defs/Node", "$defs": {"Node": NODE}}


@pytest.mark.parametrize(
    "tool",
    [
        ToolSpec("walk", "Walks.", RECURSIVE),
        {"name": "walk", "description": "Walks.", "parameters": RECURSIVE},
        {"name": "walk", "description": "Walks.", "input_schema": RECURSIVE},
        {"type": "function", "function": {"name": "walk", "parameters": RECURSIVE}},
    ],
    ids=["ToolSpec", "plain", "Anthropic", "OpenAI"],
)
def test_a_recursive_schema_reaches_the_model_with_its_root(tool: Any) -> None:
    choice = parse_tool_choice([tool], None, None)
    assert choice is not None
    expected = {**NODE, "$defs": {"Node": NODE}}
    assert choice.tools[0].parameters == expected
    assert choice.openai_tools[0]["function"]["parameters"] == expected


@pytest.mark.parametrize(
    ("parameters", "arguments", "problem"),
    [
        (CITY, {"city": "Rome"}, None),
        (CITY, {"city": "Rome", "further": 1}, None),
        (CITY, {"city": 1}, "its call of find['city'] does not fit the schema (type)"),
        (CITY, {}, "its call of find does not fit the schema (required: city)"),
        (CITY, {"properties": {"city": "secret"}}, "its call of find is wrapped in an object"),
        (CITY, {"Find": {"city": "secret"}}, "its call of find is wrapped in an object"),
        (RECURSIVE, {"name": "a", "next": {"name": "b"}}, None),
        (RECURSIVE, {"name": "a", "next": {"name": 2}}, "its call of find['next']['name'] does"),
        ({"type": "no such type"}, {"city": 1}, None),
        ({"type": "object"}, {"city": 1}, None),
    ],
)
def test_arguments_are_held_against_the_schema_of_their_tool(
    parameters: Any, arguments: Any, problem: str | None
) -> None:
    found = find_arguments_problem(ToolSpec("find", "", parameters), arguments)
    assert (found is None) == (problem is None)
    assert found is None or (found.startswith(problem or "") and "secret" not in found)

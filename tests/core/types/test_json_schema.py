"""JSON schemas: references at the root, arguments that are no object, values that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, RootModel

from replicate_stream._types.json_schema import (
    find_mismatch,
    find_schema_problem,
    inline_root,
    to_parameters,
)
from tests.work import count_calls


class Node(BaseModel):
    """A node."""

    name: str
    children: list[Node] = []


class Nodes(RootModel[list[Node]]):
    """Several nodes."""


class ByName(RootModel[dict[str, Node]]):
    """Nodes by their names."""


class Either(RootModel[Node | list[Node]]):
    """A node, or several."""


SELF: Any = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "next": {"$ref": "#"}},
    "required": ["name"],
}
LISTS: Any = {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"$ref": "#"}]}}
LEAF = {"name": "leaf", "children": []}
TREE = {"name": "root", "children": [LEAF]}


def fits(schema: Any, value: Any) -> bool:
    return Draft202012Validator(schema).is_valid(value)


def test_a_reference_at_the_root_is_replaced_by_its_definition() -> None:
    schema = Node.model_json_schema()
    assert "$ref" in schema
    root = inline_root(schema)
    assert (root["type"], root["title"]) == ("object", "Node")
    assert root["properties"].keys() == {"name", "children"}
    assert root["$defs"] == schema["$defs"]
    assert "properties" not in schema  # the argument is not changed


def test_words_beside_a_reference_win_over_those_of_its_definition() -> None:
    schema = {**Node.model_json_schema(), "description": "The first.", "type": "object"}
    root = inline_root(schema)
    assert root["description"] == "The first."
    assert root["properties"].keys() == {"name", "children"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
        {"$ref": "#/$defs/A", "type": "array", "$defs": {"A": {"type": "object"}}},
        {"$ref": "#/$defs/none"},
    ],
)
def test_a_reference_that_leads_nowhere_or_contradicts_its_neighbours_ends(schema: Any) -> None:
    assert inline_root(schema).keys() >= schema.keys() - {"$ref"}


@pytest.mark.parametrize(
    "schema",
    [
        SELF,
        Node.model_json_schema(),
        ByName.model_json_schema(),
        {},
        {"anyOf": [SELF, {"type": "object"}]},
        {"type": ["object", "null"]},
    ],
)
def test_the_schema_of_an_object_is_that_of_the_arguments(schema: Any) -> None:
    parameters = to_parameters(schema)
    assert "object" in parameters["type"]
    assert fits(parameters, TREE) == fits(schema, TREE)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (Nodes.model_json_schema(), [TREE], [{"name": "x", "children": [{}]}]),
        (Either.model_json_schema(), TREE, [{"children": []}]),
        (LISTS, [1, [2, [3]]], [1, ["x"]]),
        ({"type": "integer"}, 3, "x"),
        ({"enum": ["a", "b"]}, "a", "c"),
    ],
)
def test_another_value_becomes_a_property_of_the_arguments(
    schema: Any, good: Any, bad: Any
) -> None:
    parameters = to_parameters(schema)
    assert parameters["type"] == "object"
    assert fits(parameters, {"root": good})
    assert not fits(parameters, {"root": bad})
    assert not fits(parameters, {})


ODD: Any = {
    "$defs": {"a/b %": {"type": "string"}, "c": {"$anchor": "here"}},
    "anyOf": [{"$ref": "#/$defs/a~1b%20%25"}, {"$ref": "#here"}, {"$ref": "#/anyOf/0"}],
}


@pytest.mark.parametrize("schema", [SELF, LISTS, ODD, Node.model_json_schema(), {}, {"$ref": "#"}])
def test_a_schema_whose_references_lead_somewhere_is_valid(schema: Any) -> None:
    assert find_schema_problem(schema) is None


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "no such type"}, "is not valid under any"),
        ({"items": {"$ref": "#/$defs/none"}}, "'#/$defs/none' refers to nothing"),
        ({"items": {"$ref": "#/type/x"}, "type": "array"}, "refers to nothing"),
        ({"anyOf": [{"$ref": "#/anyOf/7"}]}, "refers to nothing"),
        ({"$ref": "https://example.org/schema.json"}, "refers to nothing"),
    ],
)
def test_an_invalid_schema_is_described(schema: Any, problem: str) -> None:
    assert problem in str(find_schema_problem(schema))


@pytest.mark.parametrize(
    ("schema", "value", "mismatch"),
    [
        (SELF, {"name": "a", "next": {"name": "b"}}, None),
        (SELF, {"name": "a", "next": {"name": 1}}, "['next']['name'] does not fit"),
        (Node.model_json_schema(), TREE, None),
        (Node.model_json_schema(), {"name": "a", "children": [{}]}, "['children'][0] does not"),
        (ByName.model_json_schema(), {"secret": TREE}, None),
        (ByName.model_json_schema(), {"secret": {"name": 1}}, "['name'] does not fit"),
        (SELF, "secret", " does not fit the schema (type)"),
        ({"$ref": "#"}, {}, " is nested too deeply"),
    ],
)
def test_a_mismatch_is_described_without_any_text_of_the_value(
    schema: Any, value: Any, mismatch: str | None
) -> None:
    found = find_mismatch(schema, value, "node")
    assert (found is None) == (mismatch is None)
    assert found is None or (found.startswith(mismatch or "") and "secret" not in found)


@pytest.mark.parametrize("key", ["properties", "parameters", "arguments", "node", "Node"])
def test_a_value_under_the_name_of_its_schema_is_a_mismatch(key: str) -> None:
    all_optional = {"type": "object", "properties": {"name": {"type": "string"}}}
    assert find_mismatch(all_optional, {key: {"name": "a"}}, "Node") == (
        " is wrapped in an object of one key"
    )
    declared = {"type": "object", "properties": {key: {"type": "object"}}}
    for schema in (declared, ByName.model_json_schema(), {"type": "object"}):
        assert find_mismatch(schema, {key: TREE}, "Node") is None


def test_a_schema_is_held_against_the_metaschema_once() -> None:
    """Programs send the same schema in every call, in an object that may be a new one."""

    def check() -> int:
        schema = {"properties": {f"once{index}": {"type": "string"} for index in range(50)}}
        return count_calls(lambda: find_schema_problem(schema))

    first, again = check(), check()
    assert again < first / 10


def test_a_schema_that_was_changed_is_checked_again() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"changed": {"type": "string"}}}
    assert find_schema_problem(schema) is None
    schema["properties"]["changed"]["type"] = "text"
    assert find_schema_problem(schema) is not None
    schema["properties"]["changed"]["type"] = "string"
    assert find_schema_problem(schema) is None


@pytest.mark.parametrize("levels", [30, 49, 98])
def test_a_deep_schema_is_checked(levels: int) -> None:
    schema: dict[str, Any] = {"type": "string"}
    value: Any = "x"
    for _ in range(levels):
        schema, value = {"type": "array", "items": schema}, [value]
    assert find_schema_problem(schema) is None
    assert find_mismatch(schema, value, "") is None

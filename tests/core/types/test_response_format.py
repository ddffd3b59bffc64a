"""Response formats: parsed, sent to the model, and compared with an answer."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from replicate_stream import InvalidInputError, prepare_input
from replicate_stream._types.response_format import parse_response_format

CITY = {
    "title": "City",
    "type": "object",
    "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
    "required": ["name"],
}
NODE: Any = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}},
            "required": ["name"],
        }
    },
}
OPENAI = {"type": "json_schema", "json_schema": {"name": "City", "schema": CITY, "strict": True}}


@pytest.mark.parametrize(
    ("schema", "text", "problem"),
    [
        (CITY, '{"name": "Rome", "size": 3}', None),
        (CITY, "", "it holds no JSON"),
        (CITY, "I know none.", "it holds no JSON"),
        ({"type": "json_object"}, "[1]", "it holds no JSON"),
        (CITY, '{"name": "Ro', "malformed, or breaks off"),
        (CITY, '{"name": 7}', r"\['name'\] does not fit the schema \(type\)"),
        (CITY, "{}", r"does not fit the schema \(required: name\)"),
        ({"type": "json_object"}, '{"any": 1}', None),
        (OPENAI, '{"size": "secret words"}', "does not fit"),
        (OPENAI, '{"city": {"name": "secret"}}', "is wrapped in an object of one key"),
        (CITY, '{"name": "Rome", "size": NaN}', "malformed"),
        ({"type": "json_object"}, '{"size": 1e400}', "malformed"),
        ({"type": "json_object"}, '{"size": [-1e999]}', "malformed"),
        (CITY, '{"name": ' + "[" * 100_000, "malformed"),
        (NODE, '{"name": "a", "next": {"name": "b"}}', None),
        (NODE, '{"name": "a", "next": {"name": 1}}', r"\['next'\]\['name'\] does not fit"),
    ],
)
def test_an_answer_is_checked_against_its_format(
    schema: Any, text: str, problem: str | None
) -> None:
    response_format = parse_response_format(schema)
    assert response_format is not None
    found = response_format.find_problem(text)
    assert (found is None) == (problem is None)
    assert found is None or (re.search(problem or "", found) and "secret" not in found)


@pytest.mark.parametrize("schema", [None, {"type": "text"}])
def test_plain_text_has_no_response_format(schema: Any) -> None:
    assert parse_response_format(schema) is None


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        ("json", "response_format is of type str"),
        ({"type": "json_schema"}, "no json_schema.schema"),
        ({"type": "no such type"}, "is not a valid JSON schema"),
        (
            {"$ref": "#/$defs/City"},
            r"valid JSON schema: '#/\$defs/City' refers to nothing",
        ),
        ({"type": "integer"}, "is of type integer; it must be an object or an array"),
        ({"type": ["string", "null"]}, "it must be an object or an array"),
    ],
)
def test_an_invalid_format_is_refused(schema: Any, error: str) -> None:
    with pytest.raises(InvalidInputError, match=error):
        parse_response_format(schema)


@pytest.mark.parametrize("declared", [["object", "null"], ["array"], ["object", "string"]])
def test_a_format_may_have_several_types(declared: list[str]) -> None:
    parsed = parse_response_format({"type": declared})
    assert parsed is not None
    assert parsed.first_characters == "{["
    assert parsed.find_problem("{}" if "object" in declared else "[]") is None


def test_a_format_is_sent_in_an_input_of_the_model_or_else_in_the_prompt() -> None:
    def prepare(**properties: Any) -> dict[str, Any]:
        text = {"type": "string"}
        schema = {"type": "object", "properties": {"prompt": text, **properties}}
        return prepare_input("hi", model="a/b", schema=schema, response_format=OPENAI).input

    assert prepare(response_format={"type": "object"})["response_format"] == OPENAI
    assert json.loads(prepare(json_schema={"type": "string"})["json_schema"]) == CITY
    prompt = prepare()["prompt"]
    assert json.dumps(CITY) in prompt
    assert prompt.endswith("\n\nhi")


@pytest.mark.parametrize(
    "response_format",
    [
        NODE,
        {"type": "json_schema", "json_schema": {"name": "Node", "schema": NODE}},
        {"type": "json_schema", "name": "Node", "schema": NODE},
    ],
)
def test_a_recursive_schema_reaches_the_model_with_its_root(response_format: Any) -> None:
    parsed = parse_response_format(response_format)
    assert parsed is not None
    assert parsed.schema == {**NODE["$defs"]["Node"], "$defs": NODE["$defs"]}
    sent = parsed.openai_format
    assert sent.get("json_schema", sent)["schema"] == parsed.schema
    assert parsed.first_characters == "{"

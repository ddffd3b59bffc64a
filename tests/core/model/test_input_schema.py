"""Input and output schemas, parsed."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream._model.input_schema import get_output_kind, parse_input_schema


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "array", "items": {}, "x-cog-array-display": "concatenate"}, "pieces"),
        ({"type": "array", "items": {"type": "string"}}, "alternatives"),
        ({"type": "string"}, "text"),
        ({"type": "string", "format": "uri"}, "file"),
        ({"type": "array", "items": {"type": "string", "format": "uri"}}, "file"),
        ({"type": "object"}, "object"),
        ({}, None),
        (None, None),
    ],
)
def test_the_kind_of_an_output_schema(schema: Any, kind: str | None) -> None:
    assert get_output_kind(schema) == kind


def test_inputs_are_ordered_by_x_order() -> None:
    parsed = parse_input_schema({"properties": {"b": {"x-order": 1}, "a": {"x-order": 0}, "c": {}}})
    assert tuple(parsed.fields) == ("a", "b", "c")


def test_a_schema_that_refers_to_itself_is_parsed() -> None:
    loop = {"$ref": "#/components/schemas/Loop"}
    live = {"components": {"schemas": {"Input": {"properties": {"x": loop}}, "Loop": loop}}}
    assert tuple(parse_input_schema(live).fields) == ("x",)


TEXT, TEXTS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({}, "any"),
        ({"anyOf": [TEXT, TEXTS]}, "any"),
        ({"oneOf": [TEXT, {"type": "null"}]}, "string"),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "number"),
        ({"anyOf": [TEXTS, {"type": "object"}]}, "array"),
        ({"type": ["integer", "string"]}, "any"),
        ({"type": ["null", "string"]}, "string"),
        ({"allOf": [{"$ref": "#/components/schemas/Text"}, {"maxLength": 9}]}, "string"),
        ({"anyOf": [{"$ref": "#/components/schemas/Text"}, {"maxLength": 9, **TEXT}]}, "string"),
        ({"$ref": "#/components/schemas/Gone"}, "any"),
        ({"items": {}}, "array"),
        ({"properties": {}}, "object"),
        ({"default": "hi"}, "string"),
        ({"default": False}, "boolean"),
        ({"default": 0}, "any"),
        ({"enum": [1, 2]}, "any"),
    ],
)
def test_the_kind_of_an_input_without_a_single_type(spec: Any, kind: str) -> None:
    schemas = {"Input": {"properties": {"x": spec}}, "Text": TEXT}
    parsed = parse_input_schema({"components": {"schemas": schemas}})
    assert parsed.fields["x"].kind == kind


def test_a_file_among_alternatives_makes_an_input_one_for_files() -> None:
    uri = {"type": "string", "format": "uri"}
    for options in ([uri, {"type": "array", "items": TEXT}], [{"type": "array", "items": uri}]):
        parsed = parse_input_schema({"properties": {"source": {"anyOf": options}}})
        assert parsed.fields["source"].is_file


def test_alternatives_that_refer_to_themselves_are_parsed() -> None:
    loop = {"anyOf": [{"$ref": "#/components/schemas/Loop"}] * 20}
    live = {"components": {"schemas": {"Input": {"properties": {"x": loop}}, "Loop": loop}}}
    assert parse_input_schema(live).fields["x"].kind == "any"

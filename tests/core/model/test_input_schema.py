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

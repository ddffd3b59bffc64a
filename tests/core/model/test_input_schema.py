"""The kind of a model's output, by its output schema."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream._model.input_schema import get_output_kind


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

"""The kind of output that a model announces in its schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replicate_stream._types.prepared import OutputKind


def output_kind(schema: Mapping[str, Any] | None) -> OutputKind | None:
    """What a model's `Output` schema announces; None if it announces nothing.

    `pieces` are to be joined (`x-cog-array-display: concatenate`), `alternatives` are separate
    answers (replicate-api.md 5.2).
    """
    if not schema:
        return None
    declared = schema.get("type")
    if declared == "array":
        items = schema.get("items")
        if isinstance(items, Mapping) and items.get("format") == "uri":
            return "file"
        joined = schema.get("x-cog-array-display") == "concatenate"
        return "pieces" if joined else "alternatives"
    if declared == "string":
        return "file" if schema.get("format") == "uri" else "text"
    return "object" if declared == "object" else None

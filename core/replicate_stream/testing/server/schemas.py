"""The schemas that the emulated models have unless a test gives its own.

The input restates the shape of Meta's instruct models on Replicate (names, types, ranges and the
order of declaration), which is what most text models there look like.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT_MODEL = "meta/meta-llama-3-70b-instruct"

TEXT_STREAM: Mapping[str, Any] = {
    "type": "array",
    "items": {"type": "string"},
    "title": "Output",
    "x-cog-array-type": "iterator",
    "x-cog-array-display": "concatenate",
}
"""The output of a model whose text can be streamed (replicate-api.md 5.2)."""


def _fields(*rows: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    return {
        name: {
            "type": kind,
            "title": name.replace("_", " ").title(),
            "x-order": order,
            **rest,
        }
        for order, (name, kind, rest) in enumerate(rows)
    }


TEXT_INPUT: Mapping[str, Any] = {
    "type": "object",
    "title": "Input",
    "required": ["prompt"],
    "properties": _fields(
        ("prompt", "string", {"description": "Prompt to send to the model."}),
        (
            "system_prompt",
            "string",
            {
                "default": "You are a helpful assistant.",
                "description": "System prompt, put before the prompt.",
            },
        ),
        (
            "max_tokens",
            "integer",
            {"default": 512, "minimum": 1, "description": "The most tokens to generate."},
        ),
        ("min_tokens", "integer", {"minimum": -1, "description": "The fewest tokens to generate."}),
        ("temperature", "number", {"default": 0.6, "minimum": 0, "maximum": 5}),
        ("top_p", "number", {"default": 0.9, "minimum": 0, "maximum": 1}),
        ("top_k", "integer", {"default": 50, "minimum": -1}),
        (
            "stop_sequences",
            "string",
            {"description": "A comma-separated list of sequences to stop generation at."},
        ),
        ("presence_penalty", "number", {"default": 0}),
        ("frequency_penalty", "number", {"default": 0}),
        ("prompt_template", "string", {"default": "", "description": "With `{prompt}` in it."}),
        ("seed", "integer", {"description": "Random seed."}),
    ),
}


def openapi_schema(
    input_schema: Mapping[str, Any],
    output_schema: Mapping[str, Any],
    components: Mapping[str, Any],
) -> dict[str, Any]:
    """A version's `openapi_schema`; its `paths` are not sent since 2025-06."""
    return {
        "info": {"title": "Cog", "version": "0.1.0"},
        "openapi": "3.0.2",
        "components": {
            "schemas": {**components, "Input": dict(input_schema), "Output": dict(output_schema)}
        },
    }

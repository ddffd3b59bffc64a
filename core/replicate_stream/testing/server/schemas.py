"""The default schemas of emulated models, and the form in which the service sends schemas.

The input has the shape of Meta's instruct models on Replicate (names, types, ranges and order),
which most text models there resemble.
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
"""The output of a model whose text can be streamed (docs/replicate-api.md 5.2)."""


def define_input(type_: str, description: str | None = None, **keywords: Any) -> dict[str, Any]:
    """Define one field of an input: its JSON type, its description and further keywords."""
    described = {} if description is None else {"description": description}
    return {"type": type_, **keywords, **described}


def build_input_schema(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Build the schema of an input out of its fields, which get their `x-order` and title."""
    return {
        "type": "object",
        "title": "Input",
        "properties": {
            name: {"title": name.replace("_", " ").title(), "x-order": order, **field}
            for order, (name, field) in enumerate(fields.items())
        },
    }


TEXT_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "prompt": define_input("string", "Prompt to send to the model."),
    "system_prompt": define_input(
        "string", "System prompt, put before the prompt.", default="You are a helpful assistant."
    ),
    "max_tokens": define_input("integer", "The most tokens to generate.", default=512, minimum=1),
    "min_tokens": define_input("integer", "The fewest tokens to generate.", minimum=-1),
    "temperature": define_input("number", default=0.6, minimum=0, maximum=5),
    "top_p": define_input("number", default=0.9, minimum=0, maximum=1),
    "top_k": define_input("integer", default=50, minimum=-1),
    "stop_sequences": define_input(
        "string", "A comma-separated list of sequences to stop generation at."
    ),
    "presence_penalty": define_input("number", default=0),
    "frequency_penalty": define_input("number", default=0),
    "prompt_template": define_input("string", "With `{prompt}` in it.", default=""),
    "seed": define_input("integer", "Random seed."),
}
TEXT_INPUT: Mapping[str, Any] = {**build_input_schema(TEXT_FIELDS), "required": ["prompt"]}


def build_openapi_schema(
    input_schema: Mapping[str, Any] | None,
    output_schema: Mapping[str, Any] | None,
    components: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Build a version's `openapi_schema`, without `paths` as sent since 2025-06.

    None stands for the default model's input, a text stream, and no further schemas.

    Source: docs/replicate-api.md 5.1.
    """
    schemas = {
        **(components or {}),
        "Input": dict(TEXT_INPUT if input_schema is None else input_schema),
        "Output": dict(TEXT_STREAM if output_schema is None else output_schema),
    }
    return {
        "info": {"title": "Cog", "version": "0.1.0"},
        "openapi": "3.0.2",
        "components": {"schemas": schemas},
    }

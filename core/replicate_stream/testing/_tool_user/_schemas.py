"""The schema of a model that takes tools natively, as OpenAI's API does.

There is none on Replicate whose schema was seen; this one has the inputs of the models there that
take `messages`, and beside them those of OpenAI's chat completions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OBJECTS = {"type": "array", "items": {"type": "object"}, "default": []}


def _fields(**specs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"title": name.replace("_", " ").title(), "x-order": order, **spec}
        for order, (name, spec) in enumerate(specs.items())
    }


NATIVE_INPUT: Mapping[str, Any] = {
    "type": "object",
    "title": "Input",
    "properties": _fields(
        prompt={"type": "string", "default": "", "description": "The prompt, without messages."},
        system_prompt={"type": "string", "default": "", "description": "The system prompt."},
        messages={**_OBJECTS, "description": "Messages, instead of prompt and system_prompt."},
        tools={**_OBJECTS, "description": "Functions that the model may call."},
        tool_choice={
            "default": "auto",
            "anyOf": [{"type": "string"}, {"type": "object"}],
            "description": "auto, none, required, or a function to call.",
        },
        parallel_tool_calls={"type": "boolean", "default": True},
        response_format={"type": "object", "description": "text, json_object or json_schema."},
        max_completion_tokens={"type": "integer", "default": 4096, "minimum": 1},
        temperature={"type": "number", "default": 1, "minimum": 0, "maximum": 2},
        top_p={"type": "number", "default": 1, "minimum": 0, "maximum": 1},
        seed={"type": "integer"},
    ),
}

NATIVE_OUTPUT: Mapping[str, Any] = {"type": "object", "title": "Output"}

"""The format of an answer that must be JSON: parsed, written into a prompt, and checked.

Models put words and code fences around JSON. The text that is delivered is bare JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._errors import InvalidInputError, wrong_type
from replicate_stream._types.json_schema import find_mismatch, find_schema_problem, inline_root
from replicate_stream._types.strict_json import parse_strict_json

_FIRST_CHARACTERS = {"object": "{", "array": "["}
_SCALARS = frozenset({"string", "number", "integer", "boolean", "null"})
_NOTHING_ELSE = "with nothing else: no code fence, and no words before it or after it."


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The format that an answer must have.

    Attributes:
        schema: The JSON schema of the answer; None for any JSON object.
        openai_format: The same in OpenAI's format, for models with an input for it.
    """

    schema: Mapping[str, Any] | None = field(repr=False)
    openai_format: Mapping[str, Any] = field(repr=False)

    @property
    def first_characters(self) -> str:
        """The characters that the JSON can start with."""
        declared = "object" if self.schema is None else self.schema.get("type")
        return _FIRST_CHARACTERS.get(str(declared), "{[")

    def instruction(self, *, has_tools: bool) -> str:
        """Write the format in words, for a prompt."""
        answer = "Unless you call a function, answer" if has_tools else "Answer"
        if self.schema is None:
            return f"{answer} with one JSON object and {_NOTHING_ELSE}"
        schema = json.dumps(self.schema, ensure_ascii=False)
        return f"{answer} with JSON that fits the JSON schema below, and {_NOTHING_ELSE}\n{schema}"

    def find_problem(self, text: str) -> str | None:
        """Describe why an answer does not fit, without its text; None if it fits."""
        if not text.startswith(tuple(self.first_characters)):
            return "it holds no JSON"
        try:
            value = parse_strict_json(text)
        except ValueError:
            return "its JSON is malformed, or breaks off"
        if self.schema is None:
            return None
        mismatch = find_mismatch(self.schema, value, self._name)
        return None if mismatch is None else f"its JSON{mismatch}"

    @property
    def _name(self) -> str:
        """The name of the format, or else of its schema."""
        named = self.openai_format.get("json_schema") or self.openai_format
        return str(named.get("name") or "")


def parse_response_format(response_format: Any) -> ResponseFormat | None:
    """Parse the argument `response_format`.

    Args:
        response_format: OpenAI's `{"type": "text" | "json_object" | "json_schema", …}`, or a JSON
            schema.

    Returns:
        The format; None for text.

    Raises:
        InvalidInputError: It is something else, or its schema is not a valid JSON schema.
    """
    if response_format is None:
        return None
    if not isinstance(response_format, Mapping):
        raise wrong_type("response_format", response_format, "a dict")
    kind = response_format.get("type")
    if kind == "text":
        return None
    # With `properties` it is a JSON schema whose type is mistaken, which is refused below.
    if kind == "json_object" and "properties" not in response_format:
        return ResponseFormat(None, response_format)
    if kind == "json_schema":
        inner = response_format.get("json_schema")
        outer = inner if isinstance(inner, Mapping) else response_format
        if not isinstance(outer.get("schema"), Mapping):
            raise _invalid_format("has no json_schema.schema")
        schema = _parse_schema(outer["schema"])
        outer = {**outer, "schema": schema}
        is_nested = isinstance(inner, Mapping)
        return ResponseFormat(
            schema, {**response_format, "json_schema": outer} if is_nested else outer
        )
    schema = _parse_schema(response_format)
    json_schema = {"name": str(schema.get("title") or "answer"), "schema": schema}
    return ResponseFormat(schema, {"type": "json_schema", "json_schema": json_schema})


def _parse_schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    problem = find_schema_problem(schema)
    if problem is not None:
        raise _invalid_format(f"is not a valid JSON schema: {problem}")
    root = inline_root(schema)
    declared = root.get("type")
    kinds = set(declared if isinstance(declared, list) else [declared])
    if kinds <= _SCALARS:
        raise _invalid_format(f"is of type {root['type']}; it must be an object or an array")
    return root


def _invalid_format(problem: str) -> InvalidInputError:
    return InvalidInputError(f"response_format {problem}", fields=("response_format",))

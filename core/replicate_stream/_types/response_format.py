"""The format of an answer that must be JSON: parsed, written into a prompt, and checked.

Models put words and code fences around JSON. The text that is delivered is bare JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._errors import InvalidInputError, wrong_type

_FIRST_CHARACTERS = {"object": "{", "array": "["}
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
            value = json.loads(text)
        except ValueError:
            return "its JSON is malformed, or breaks off"
        if self.schema is None:
            return None
        # Imported here for the same reason as in `_check_schema`.
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match

        error = best_match(Draft202012Validator(dict(self.schema)).iter_errors(value))
        if error is None:
            return None
        path = "".join(f"[{key!r}]" for key in error.absolute_path)
        return f"its JSON{path} does not fit the schema ({error.validator})"


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
        schema = outer.get("schema")
        if not isinstance(schema, Mapping):
            raise _invalid_format("has no json_schema.schema")
        _check_schema(schema)
        return ResponseFormat(schema, response_format)
    _check_schema(response_format)
    name = str(response_format.get("title") or "answer")
    json_schema = {"name": name, "schema": dict(response_format)}
    return ResponseFormat(response_format, {"type": "json_schema", "json_schema": json_schema})


def _check_schema(schema: Mapping[str, Any]) -> None:
    # Imported here, because it costs more than all of this package and few requests need it.
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        raise _invalid_format(f"is not a valid JSON schema: {error.message}") from None


def _invalid_format(problem: str) -> InvalidInputError:
    return InvalidInputError(f"response_format {problem}", fields=("response_format",))

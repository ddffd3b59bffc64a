"""The form of an answer: JSON, told in the prompt, taken out of the answer, and held against.

Models put words and code fences around JSON. None of that is delivered; what is, is strict JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._errors import InvalidInputError, wrong_type

_BEGINNINGS = {"object": "{", "array": "["}
_PLAIN = "with nothing else: no code fence, and no words before it or after it."


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """What an answer has to be.

    Attributes:
        schema: The JSON schema that it must fit; None for any JSON object.
        native: What was asked for, for models that take it themselves.
    """

    schema: Mapping[str, Any] | None = field(repr=False)
    native: Mapping[str, Any] = field(repr=False)

    @property
    def beginnings(self) -> str:
        """What the JSON may begin with."""
        declared = "object" if self.schema is None else self.schema.get("type")
        return _BEGINNINGS.get(str(declared), "{[")

    def instruction(self, *, has_tools: bool) -> str:
        """What the model is told, where it has no input for the form."""
        when = "Unless you call a function, answer" if has_tools else "Answer"
        if self.schema is None:
            return f"{when} with one JSON object and {_PLAIN}"
        schema = json.dumps(self.schema, ensure_ascii=False)
        return f"{when} with JSON that fits the JSON schema below, and {_PLAIN}\n{schema}"

    def problem(self, text: str) -> str | None:
        """What is wrong with an answer, without its text; None if it fits."""
        if not text.startswith(tuple(self.beginnings)):
            return "it holds no JSON"
        try:
            value = json.loads(text)
        except ValueError:
            return "its JSON is malformed, or breaks off"
        if self.schema is None:
            return None
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match

        error = best_match(Draft202012Validator(dict(self.schema)).iter_errors(value))
        if error is None:
            return None
        where = "".join(f"[{each!r}]" for each in error.absolute_path)
        return f"its JSON{where} does not fit the schema ({error.validator})"


def parse_response_format(given: Any) -> ResponseFormat | None:
    """Every accepted form of `response_format` as one; None for plain text.

    Args:
        given: OpenAI's `{"type": "text" | "json_object" | "json_schema", …}`, or a JSON schema.

    Raises:
        InvalidInputError: It is none of these, or its schema is no JSON schema.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise wrong_type("response_format", given, "a dict")
    kind = given.get("type")
    if kind == "text":
        return None
    if kind == "json_object" and "properties" not in given:
        return ResponseFormat(None, given)
    if kind == "json_schema":
        inner = given.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, Mapping) else given.get("schema")
        if not isinstance(schema, Mapping):
            raise _refuse("has no json_schema.schema")
        return _checked(schema, given)
    name = str(given.get("title") or "answer")
    native = {"type": "json_schema", "json_schema": {"name": name, "schema": dict(given)}}
    return _checked(given, native)


def _checked(schema: Mapping[str, Any], native: Mapping[str, Any]) -> ResponseFormat:
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        raise _refuse(f"is no JSON schema: {error.message}") from None
    return ResponseFormat(schema, native)


def _refuse(why: str) -> InvalidInputError:
    return InvalidInputError(f"response_format {why}", fields=("response_format",))

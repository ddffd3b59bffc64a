"""The form of an answer: JSON, told in the prompt, taken out of the answer, and held against.

Models put words and code fences around JSON. None of that is delivered; what is, is strict JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._chat.tools.lenient import JsonScanner
from replicate_stream._errors import InvalidInputError, wrong_type

_END = " \t\r\n`"  # what may come behind JSON: the end of its code fence
_BEGINNINGS = {"object": "{", "array": "["}
_PLAIN = "with nothing else: no code fence, and no words before it or after it."


@dataclass(frozen=True, slots=True)
class Form:
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


def read_form(given: Any) -> Form | None:
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
        return Form(None, given)
    if kind == "json_schema":
        inner = given.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, Mapping) else given.get("schema")
        if not isinstance(schema, Mapping):
            raise _refuse("has no json_schema.schema")
        return _checked(schema, given)
    name = str(given.get("title") or "answer")
    native = {"type": "json_schema", "json_schema": {"name": name, "schema": dict(given)}}
    return _checked(given, native)


def _checked(schema: Mapping[str, Any], native: Mapping[str, Any]) -> Form:
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        raise _refuse(f"is no JSON schema: {error.message}") from None
    return Form(schema, native)


def _refuse(why: str) -> InvalidInputError:
    return InvalidInputError(f"response_format {why}", fields=("response_format",))


class FormReader:
    """Takes the JSON out of an answer, as it comes.

    Args:
        beginnings: The characters that the JSON may begin with.

    Attributes:
        is_ended: Whether words follow the JSON, so that nothing more is wanted.
    """

    __slots__ = ("_begins", "_read", "_scanner", "_tail", "_tried", "_words", "is_ended")

    def __init__(self, beginnings: str) -> None:
        self.is_ended = False
        self._begins = re.compile(f"[{re.escape(beginnings)}]")
        self._words: list[str] = []  # all that came before JSON, which may be all there is
        self._tail = ""  # what may be the beginning of JSON
        self._tried: JsonScanner | None = None  # reads it
        self._read = 0  # and has come so far
        self._scanner: JsonScanner | None = None

    def feed(self, text: str) -> str:
        """Take more of the answer; gives more of the JSON."""
        if self._scanner is not None:
            return self._go_on(self._scanner, text)
        self._words.append(text)
        self._tail += text
        return self._search()

    def flush(self) -> str:
        """Say that the answer has ended; gives the words that are all there was."""
        words, self._words = self._words, []
        return "" if self._scanner is not None else "".join(words)

    def _search(self) -> str:
        """Find where JSON begins; gives as much of it as is there."""
        start = 0
        while True:
            if self._tried is None:
                begin = self._begins.search(self._tail, start)
                self._tail = "" if begin is None else self._tail[begin.start() :]
                if begin is None:
                    return ""
                self._tried, self._read = JsonScanner(), 0
            scanner = self._tried
            self._read = scanner.feed(self._tail, self._read)
            if scanner.is_done or _is_json(scanner):
                return self._begin(scanner, self._tail[self._read :])
            if not scanner.is_broken:
                return ""
            self._tried, start = None, 1

    def _begin(self, scanner: JsonScanner, rest: str) -> str:
        self._scanner, self._tail = scanner, ""
        read = scanner.text
        return read + (scanner.with_rest(rest) if scanner.is_broken else self._go_on(scanner, rest))

    def _go_on(self, scanner: JsonScanner, text: str) -> str:
        if scanner.is_done:
            self.is_ended = self.is_ended or bool(text.strip(_END))
            return ""
        new = text
        if not scanner.is_broken:
            before = scanner.size
            end = scanner.feed(text)
            new = scanner.part(before)
            if scanner.is_broken:
                new += scanner.with_rest(text[end:])
            elif scanner.is_done:
                self.is_ended = bool(text[end:].strip(_END))
        return new


def _is_json(scanner: JsonScanner) -> bool:
    """Whether what was read is more than words in brackets: a first value has begun."""
    in_list = scanner.size > 1 and scanner.part(0, 1) == "["
    return in_list or any(member.start is not None for member in scanner.members)

"""Values that fit a JSON schema, made of what a text says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from replicate_stream.testing._tool_user._facts import Facts
from replicate_stream.testing._tool_user._numbers import number_for
from replicate_stream.testing._tool_user._strings import (
    is_left_out,
    is_mentioned,
    is_place,
    spoken_of,
    string_for,
)

_DEPTH = 6  # of objects in objects, where a schema refers to itself
_NUMERIC = frozenset({"integer", "number"})
Schema = Mapping[str, Any]


def arguments_for(schema: Schema, about: str, facts: Facts) -> dict[str, Any]:
    """An object that fits a schema.

    Args:
        schema: The schema; `$ref`s are looked up in it.
        about: What it is for: the description of a tool.
        facts: What the text says; what goes into the object is used up.
    """
    value = Filler(schema, about, facts).value(schema, "", 0)
    return value if isinstance(value, dict) else {}


class Filler:
    """Fills one object.

    Args:
        root: The schema that `$ref`s point into.
        about: What the object is for.
        facts: What there is to say.
    """

    def __init__(self, root: Schema, about: str, facts: Facts) -> None:
        self._root = root
        self._about = about
        self._facts = facts

    def value(self, schema: Schema, name: str, depth: int) -> Any:
        """A value that fits a schema, for a field of that name."""
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._option(schema["enum"])
        kind = kind_of(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in _NUMERIC:
            return number_for(schema, name, self._facts, is_integer=kind == "integer")
        if kind == "boolean":
            return not is_left_out(name, self._facts)
        if kind == "null":
            return None
        return string_for(schema, name, self._about, self._facts)

    def _resolved(self, schema: Schema, depth: int) -> Schema:
        """A schema without references and alternatives."""
        for _ in range(20):
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**self._referred(str(schema["$ref"])), **rest}
            elif schema.get("allOf"):
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                schema = _merged([*schema["allOf"], rest])
            elif schema.get("anyOf") or schema.get("oneOf"):
                schema = self._alternative(schema, depth)
            else:
                break
        return schema

    def _referred(self, reference: str) -> Schema:
        found: Any = self._root
        for part in reference.lstrip("#/").split("/"):
            if part:
                found = found[part.replace("~1", "/").replace("~0", "~")]
        return found if isinstance(found, Mapping) else {}

    def _alternative(self, schema: Schema, depth: int) -> Schema:
        key = "anyOf" if schema.get("anyOf") else "oneOf"
        rest = {each: value for each, value in schema.items() if each not in {key, "default"}}
        options = [{**rest, **option} for option in schema[key]]
        if depth >= _DEPTH:
            options.sort(key=lambda option: option.get("type") != "null")
            return options[0]
        real = [option for option in options if option.get("type") != "null"] or options
        numeric = [o for o in real if kind_of(o) in _NUMERIC]
        if numeric and self._facts.numbers:
            return numeric[0]
        return next((o for o in real if self._is_told(o)), real[0])

    def _is_told(self, option: Schema) -> bool:
        if "$ref" in option:
            option = {**self._referred(str(option["$ref"])), "title": option["$ref"].split("/")[-1]}
        title = option.get("title")
        return isinstance(title, str) and is_mentioned(title, self._facts)

    def _option(self, options: list[Any]) -> Any:
        """The option that the text names, else the first that is no null."""
        lower = self._facts.text.lower()
        named = [o for o in options if isinstance(o, str) and _occurs(o.lower(), lower)]
        numbered = [o for o in options if str(o) in self._facts.numbers]
        described = spoken_of([o for o in options if isinstance(o, str)], self._about, self._facts)
        chosen = [*named, *numbered, *([described] if described else []), *options]
        return next((option for option in chosen if option is not None), options[0])

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        made: dict[str, Any] = {}
        needed = [*required(schema), *self._spare(schema)]
        for name, inner in properties.items():
            if name in needed or (depth < _DEPTH and self._is_wanted(name, inner, depth)):
                made[name] = self.value(inner, name, depth + 1)
        return made

    def _spare(self, schema: Schema) -> list[str]:
        """The numbers that need not be there, if the request has just enough for all of them."""
        properties = schema.get("properties") or {}
        needed = required(schema)
        numeric = [name for name, inner in properties.items() if kind_of(inner) in _NUMERIC]
        spare = [name for name in numeric if name not in needed]
        return spare if len(numeric) == len(self._facts.asked_numbers) > len(spare) else []

    def _is_wanted(self, name: str, inner: Schema, depth: int) -> bool:
        """Whether the text has something for a field that need not be there."""
        resolved = self._resolved(inner, depth)
        if "enum" in resolved:
            lower = self._facts.request.lower()
            return any(isinstance(o, str) and _occurs(o.lower(), lower) for o in resolved["enum"])
        if kind_of(resolved) in _NUMERIC and not self._facts.numbers:
            return False
        if kind_of(resolved) == "string" and is_place(name) and self._facts.places:
            return True
        return is_mentioned(name, self._facts)

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        items = schema.get("items")
        items = self._resolved(items if isinstance(items, Mapping) else {}, depth)
        most = schema.get("maxItems", 100)
        least = schema.get("minItems", 1)
        values: list[Any] = []
        count = max(least, 1) if depth < _DEPTH else least
        if kind_of(items) in _NUMERIC:
            count = max(count, len(self._facts.numbers))
        elif kind_of(items) == "string" and "enum" not in items:
            count = max(count, len(self._facts.quotes) or len(self._facts.places))
        elif "enum" in items:
            lower = self._facts.request.lower()
            values = [o for o in items["enum"] if isinstance(o, str) and _occurs(o.lower(), lower)]
        for _ in range(min(count, most) - len(values)):
            value = self.value(items, name, depth + 1)
            if not (schema.get("uniqueItems") and value in values):
                values.append(value)
        return values[:most]


def kind_of(schema: Schema) -> str:
    """The type of what fits a schema; the first one that is no null if there are several."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def required(schema: Schema) -> list[str]:
    """The fields that must be there: those without a default where a schema does not say."""
    properties = schema.get("properties") or {}
    listed = schema.get("required")
    if isinstance(listed, list):
        return [name for name in properties if name in listed]
    return [name for name, inner in properties.items() if "default" not in inner]


def _merged(schemas: list[Schema]) -> Schema:
    merged: dict[str, Any] = {}
    for each in schemas:
        for key, value in each.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "required":
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged[key] = value
    return merged


def _occurs(word: str, text: str) -> bool:
    return bool(word) and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None

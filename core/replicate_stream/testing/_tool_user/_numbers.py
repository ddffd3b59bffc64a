"""Numbers for arguments: those that a text names, within what a schema allows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from replicate_stream.testing._tool_user._facts import Facts
from replicate_stream.testing._tool_user._words import words

_VALUE = r"(-?\d+(?:\.\d+)?)"


def number_for(
    schema: Mapping[str, Any], name: str, facts: Facts, *, is_integer: bool
) -> int | float:
    """The number that stands beside the field's name, else the next one that is not used yet."""
    beside = _beside(name, facts)
    candidates = [beside] if beside else []
    for told in [*candidates, *facts.numbers]:
        value = _read(told, is_integer=is_integer)
        if value is not None and _fits(value, schema):
            if told in facts.numbers:
                facts.numbers.remove(told)
            return value
    return _within(schema, is_integer=is_integer)


def _beside(name: str, facts: Facts) -> str | None:
    for word in [re.escape(name), *(f"{re.escape(each)}\\w*" for each in words(name))]:
        for pattern in (
            rf"\b{word}\s*(?:=|:|is|of|to|as)?\s*{_VALUE}",
            rf"{_VALUE}\s*{word}\b",
        ):
            told = re.search(pattern, facts.text, re.IGNORECASE)
            if told and told[1] in facts.numbers:
                return told[1]
    return None


def _read(told: str, *, is_integer: bool) -> int | float | None:
    value = float(told)
    if value.is_integer() and (is_integer or "." not in told):
        return int(value)
    return None if is_integer else value


def _fits(value: float, schema: Mapping[str, Any]) -> bool:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    over, under = (
        schema.get("exclusiveMinimum", -math.inf),
        schema.get("exclusiveMaximum", math.inf),
    )
    step = schema.get("multipleOf")
    return low <= value <= high and over < value < under and (not step or value % step == 0)


def _within(schema: Mapping[str, Any], *, is_integer: bool) -> int | float:
    """Any number that a schema allows, where the text names none."""
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    step = schema.get("multipleOf")
    tries: list[float] = (
        [schema["default"]] if isinstance(schema.get("default"), (int, float)) else []
    )
    tries += [1, 0]
    for edge in (low, high):
        if edge is not None:
            tries += [edge, math.floor(edge) + 1, math.ceil(edge) - 1]
    if low is not None and high is not None:
        tries.append((low + high) / 2)
    if step:
        tries += [step, -step, step * math.ceil((low or 0) / step), step * ((low or 0) // step + 1)]
    for value in tries:
        if _fits(value, schema) and (not is_integer or float(value).is_integer()):
            return int(value) if float(value).is_integer() else value
    return 1

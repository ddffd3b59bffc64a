"""JSON that every parser reads in the same way, and bounds within which none fails."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

MAX_JSON_DEPTH = 100
"""Levels of the deepest JSON that is read and written, far below Python's limit of recursion."""


def parse_strict_json(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: The text is no JSON, or parsers differ about it: a key that stands twice, `NaN`
            and `Infinity`, a number that no float can hold, brackets that are nested too deeply.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_to_dict, parse_constant=_to_float, parse_float=_to_float
        )
    except RecursionError as error:
        raise ValueError("The JSON is nested too deeply") from error


def parse_arguments(name: str | None, text: str) -> dict[str, Any] | None:
    """Parse the arguments of a tool call; None if the call is malformed.

    Args:
        name: The tool. Without one, the text is where the model broke off: never arguments.
        text: The text that the model wrote.
    """
    try:
        value = parse_strict_json(text) if name else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def is_too_deep(value: Any) -> bool:
    """Return True if decoded JSON has more levels of dicts and lists than `MAX_JSON_DEPTH`."""
    level = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        containers = [each for each in level if isinstance(each, (dict, list, tuple))]
        if not containers:
            return False
        level = [
            item
            for each in containers
            for item in (each.values() if isinstance(each, dict) else each)
        ]
    return True


def replace_surrogates(value: Any, levels: int = MAX_JSON_DEPTH) -> Any:
    """Put U+FFFD in place of each lone surrogate, which neither UTF-8 nor the API can hold.

    Args:
        value: Decoded JSON.
        levels: The levels of dicts and lists that are searched. JSON with more is never sent.
    """
    if isinstance(value, str):
        try:
            if not value.isascii():  # that a text is ASCII is known without reading it
                value.encode()
        except UnicodeEncodeError:
            # Two surrogates that are a pair become their character.
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return value
    if not levels:
        return value
    if isinstance(value, (dict, Mapping)):
        return {replace_surrogates(k): replace_surrogates(v, levels - 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [replace_surrogates(each, levels - 1) for each in value]
    return value


def _to_dict(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(members)
    if len(parsed) < len(members):
        raise ValueError("A key stands twice in the JSON")
    return parsed


def _to_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("The JSON holds a number that no float can hold")
    return number

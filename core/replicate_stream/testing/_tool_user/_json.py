"""JSON inside of other text."""

from __future__ import annotations

import json
from typing import Any

_DECODER = json.JSONDecoder()


def value_at(text: str, at: int) -> tuple[Any, int] | None:
    """The JSON value at a place, or after white space there, and its end; None if there is none."""
    while at < len(text) and text[at].isspace():
        at += 1
    try:
        return _DECODER.raw_decode(text, at)
    except ValueError:
        return None


def value_after(text: str, at: int, beginnings: str = "{") -> tuple[Any, int, int] | None:
    """The first JSON object (or list) after a place, its start and its end."""
    for start in range(at, len(text)):
        if text[start] in beginnings and (found := value_at(text, start)):
            return found[0], start, found[1]
    return None


def dump(value: Any) -> str:
    """JSON as models write it: readable in any script."""
    return json.dumps(value, ensure_ascii=False)

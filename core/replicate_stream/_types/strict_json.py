"""Parse JSON that every parser reads in the same way."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any


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

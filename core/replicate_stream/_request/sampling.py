"""Parameters onto a model's own fields: its names, its types, its ranges.

Out of range costs a 422 and an unknown name costs money for nothing (replicate-api.md 5.3). So the
nearest value allowed is sent and said, unless it would mean something else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from replicate_stream._errors import invalid_value
from replicate_stream._model import field_names
from replicate_stream._model.input_schema import InputField, InputSchema
from replicate_stream._request.notes import Notes

_LEAST = {"max_tokens": 1, "min_tokens": 0, "temperature": 0, "top_p": 0, "min_p": 0, "top_k": -1}
_MOST = {"top_p": 1, "min_p": 1}
_WHOLE = frozenset({"max_tokens", "min_tokens", "top_k", "seed"})


def put_numbers(
    given: Mapping[str, Any], schema: InputSchema, target: dict[str, Any], notes: Notes
) -> None:
    """Put the numeric parameters that were given (not None) into `target`.

    Raises:
        InvalidInputError: A value is no number, or has no meaning.
        UnsupportedParameterError: The model has no such field, and `on_unsupported` is `raise`.
    """
    for parameter, value in given.items():
        if value is None:
            continue
        number = _check(parameter, value)
        field = field_names.find_parameter(schema, parameter)
        if field is None:
            notes.handle_unsupported(parameter)
            continue
        if parameter == "max_tokens" and field_names.counts_prompt(field):
            notes.add(f"{field.name} bounds the prompt and the answer together.")
        target[field.name] = _fit(parameter, number, field, notes)


def _check(parameter: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise invalid_value(parameter, value, "a number")
    if parameter in _WHOLE and value != int(value):
        raise invalid_value(parameter, value, "a whole number")
    least, most = _LEAST.get(parameter), _MOST.get(parameter)
    if least is not None and value < least:
        raise invalid_value(parameter, value, f"{least} or more")
    if most is not None and value > most:
        raise invalid_value(parameter, value, f"{most} or less")
    return value


def _fit(parameter: str, value: float, field: InputField, notes: Notes) -> Any:
    """The value as the field's type, moved into its range."""
    allowed = value
    if field.minimum is not None:
        allowed = max(allowed, field.minimum)
    if field.maximum is not None:
        allowed = min(allowed, field.maximum)
    if allowed != value:
        if _means_something_else(parameter, value, allowed):
            raise invalid_value(parameter, value, f"{_range(field)} for the model's {field.name}")
        notes.warn(f"{field.name} is {allowed:g} instead of {value:g}: it must be {_range(field)}.")
    return _typed(allowed, field)


def _means_something_else(parameter: str, value: float, allowed: float) -> bool:
    """Whether the nearest value is no approximation: `off` became `on`, or the sign turned."""
    if parameter == "top_k":
        return value <= 0
    return value < 0 < allowed or allowed < 0 < value


def _range(field: InputField) -> str:
    if field.minimum is None:
        return f"{field.maximum:g} or less"
    if field.maximum is None:
        return f"{field.minimum:g} or more"
    return f"{field.minimum:g} to {field.maximum:g}"


def _typed(value: float, field: InputField) -> Any:
    if field.kind == "integer":
        return round(value)
    return f"{value:g}" if field.kind == "string" else value

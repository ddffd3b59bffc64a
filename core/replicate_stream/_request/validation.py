"""Whether a value fits a field's JSON Schema.

The keywords that Cog writes are checked by hand, which takes microseconds; a schema with any other
is left to jsonschema, whose import is not free and therefore waits until it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# Keywords that say nothing about validity, or are dealt with below.
_KNOWN = frozenset(
    {
        "type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength",
        "maxLength", "minItems", "maxItems", "items", "nullable", "title", "description", "default",
        "format", "deprecated", "examples", "example", "readOnly", "writeOnly", "$comment",
    }
)  # fmt: skip

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: _is_number(v) and (isinstance(v, int) or v.is_integer()),
    "number": lambda v: _is_number(v),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
    "null": lambda v: v is None,
}


def problem(value: Any, spec: Mapping[str, Any]) -> str | None:
    """What a value would have to be, in words without the value; None if it fits."""
    if not _is_simple(spec):
        return _by_jsonschema(value, spec)
    if value is None and spec.get("nullable"):
        return None
    return (
        _wrong_type(value, spec)
        or _wrong_choice(value, spec)
        or _out_of_range(value, spec)
        or _wrong_size(value, spec)
        or _wrong_item(value, spec)
    )


def _is_simple(spec: Mapping[str, Any]) -> bool:
    items = spec.get("items") or {}
    known = all(key in _KNOWN or key.startswith("x-") for key in spec)
    return known and isinstance(items, Mapping) and (not items or _is_simple(items))


def _wrong_type(value: Any, spec: Mapping[str, Any]) -> str | None:
    declared = spec.get("type")
    if declared is None:
        return None
    names = declared if isinstance(declared, list) else [declared]
    if any(name not in _TYPES or _TYPES[name](value) for name in names):
        return None
    return f"of type {' or '.join(names)}"


def _wrong_choice(value: Any, spec: Mapping[str, Any]) -> str | None:
    choices = spec.get("enum")
    if choices is None or any(_same(value, each) for each in choices):
        return None
    return f"one of {', '.join(map(str, choices))}"


def _same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _out_of_range(value: Any, spec: Mapping[str, Any]) -> str | None:
    if not _is_number(value):
        return None
    if "minimum" in spec and value < spec["minimum"]:
        return f"{spec['minimum']} or more"
    if "maximum" in spec and value > spec["maximum"]:
        return f"{spec['maximum']} or less"
    if "exclusiveMinimum" in spec and value <= spec["exclusiveMinimum"]:
        return f"more than {spec['exclusiveMinimum']}"
    if "exclusiveMaximum" in spec and value >= spec["exclusiveMaximum"]:
        return f"less than {spec['exclusiveMaximum']}"
    return None


def _wrong_size(value: Any, spec: Mapping[str, Any]) -> str | None:
    what, unit = ("Length", "characters") if isinstance(value, str) else ("Items", "items")
    if not isinstance(value, str | list):
        return None
    if len(value) < spec.get(f"min{what}", 0):
        return f"{spec[f'min{what}']} {unit} or more"
    most = spec.get(f"max{what}")
    return f"{most} {unit} or fewer" if most is not None and len(value) > most else None


def _wrong_item(value: Any, spec: Mapping[str, Any]) -> str | None:
    items = spec.get("items")
    if not isinstance(value, list) or not items:
        return None
    found = next((p for each in value if (p := problem(each, items))), None)
    return f"a list whose items are {found}" if found else None


def _by_jsonschema(value: Any, spec: Mapping[str, Any]) -> str | None:
    from jsonschema import Draft202012Validator

    if value is None and spec.get("nullable"):
        return None
    error = next(Draft202012Validator(dict(spec)).iter_errors(value), None)
    return None if error is None else f"valid by its schema ({error.validator})"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

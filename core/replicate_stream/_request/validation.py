"""Validate the input against the model's JSON Schema before anything is paid.

The keywords that Cog writes are checked here, which takes microseconds. A schema with any other
keyword is left to jsonschema, which is slow to import and therefore imported on demand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from replicate_stream._errors import InvalidInputError
from replicate_stream._model.input_schema import InputField, InputSchema

# Keywords that are checked below, or have no effect on validity.
_SUPPORTED = frozenset(
    {
        "type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength",
        "maxLength", "minItems", "maxItems", "items", "nullable", "title", "description", "default",
        "format", "deprecated", "examples", "example", "readOnly", "writeOnly", "$comment",
    }
)  # fmt: skip

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    # JSON Schema counts 2.0 among the integers.
    "integer": lambda v: _is_number(v) and (isinstance(v, int) or v.is_integer()),
    "number": lambda v: _is_number(v),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
    "null": lambda v: v is None,
}


def check_input(schema: InputSchema, model_input: Mapping[str, Any]) -> None:
    """Validate an input whose names are all in the schema.

    Raises:
        InvalidInputError: Names every invalid input, and what it must be.
    """
    invalid = {
        name: requirement
        for name, value in model_input.items()
        if (requirement := find_violation(value, schema.fields[name].spec))
    }
    if invalid:
        listed = "; ".join(f"{name} must be {each}" for name, each in invalid.items())
        raise InvalidInputError(listed, fields=tuple(invalid))


def check_required(
    required: Iterable[InputField], given: Collection[str], *, attachable: Collection[str] = ()
) -> None:
    """Reject an input that lacks what the model requires.

    Args:
        required: The inputs that the model requires.
        given: The names of those that it gets.
        attachable: The names of those that an attachment of a message fills.

    Raises:
        InvalidInputError: Names every missing input, and how to give it.
    """
    missing = tuple([each.name for each in required if each.name not in given])
    if not missing:
        return
    remedy = "give it in extra_input"
    if any(name in attachable for name in missing):
        remedy = f"attach it to a message, or {remedy}"
    raise InvalidInputError(f"The model also needs {', '.join(missing)}: {remedy}", fields=missing)


def find_violation(value: Any, spec: Mapping[str, Any]) -> str | None:
    """The requirement that a value violates, without the value itself; None if it is valid.

    Nothing violates a schema that cannot be applied, such as `{"minLength": "a"}`.
    """
    if value is None and spec.get("nullable"):
        return None
    check = _check if _is_supported(spec) else _validate_with_jsonschema
    try:
        return check(value, spec)
    except Exception:  # noqa: BLE001 - the model's author may have written anything
        return None  # the service judges, too


def _check(value: Any, spec: Mapping[str, Any]) -> str | None:
    return (
        _check_type(value, spec)
        or _check_enum(value, spec)
        or _check_range(value, spec)
        or _check_length(value, spec)
        or _check_items(value, spec)
    )


def _is_supported(spec: Mapping[str, Any]) -> bool:
    for key in spec:
        if key not in _SUPPORTED and not key.startswith("x-"):
            return False
    items = spec.get("items")
    return not items or (isinstance(items, Mapping) and _is_supported(items))


def _check_type(value: Any, spec: Mapping[str, Any]) -> str | None:
    declared = spec.get("type")
    if declared is None:
        return None
    names = declared if isinstance(declared, list) else [declared]
    for name in names:
        if name not in _TYPES or _TYPES[name](value):
            return None
    return f"of type {' or '.join(names)}"


def _check_enum(value: Any, spec: Mapping[str, Any]) -> str | None:
    choices = spec.get("enum")
    if choices is None or any(_is_equal(value, each) for each in choices):
        return None
    return f"one of {', '.join(map(str, choices))}"


def _is_equal(one: Any, other: Any) -> bool:
    # In Python `True == 1`, in JSON it is not.
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _check_range(value: Any, spec: Mapping[str, Any]) -> str | None:
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


def _check_length(value: Any, spec: Mapping[str, Any]) -> str | None:
    if isinstance(value, str):
        least, most, unit = spec.get("minLength", 0), spec.get("maxLength"), "characters"
    elif isinstance(value, list):
        least, most, unit = spec.get("minItems", 0), spec.get("maxItems"), "items"
    else:
        return None
    if len(value) < least:
        return f"{least} {unit} or more"
    return f"{most} {unit} or fewer" if most is not None and len(value) > most else None


def _check_items(value: Any, spec: Mapping[str, Any]) -> str | None:
    items = spec.get("items")
    if not isinstance(value, list) or not items:
        return None
    violation = next((found for each in value if (found := find_violation(each, items))), None)
    return f"a list whose items are {violation}" if violation else None


def _validate_with_jsonschema(value: Any, spec: Mapping[str, Any]) -> str | None:
    # Few schemas need it, and its import is slow.
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # By default jsonschema requests every URL that a schema refers to.
    validator = Draft202012Validator(dict(spec), registry=Registry[Any]())
    error = next(validator.iter_errors(value), None)
    return None if error is None else f"valid by its schema ({error.validator})"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

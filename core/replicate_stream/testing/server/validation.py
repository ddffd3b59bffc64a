"""Checks of create requests, refused with the texts of the service.

Types, ranges, enumerations and required fields are checked; inputs that the model does not have
are ignored (docs/replicate-api.md 5.3). The names and texts of invalid fields are those of 1.4;
where that has no example they are those of gojsonschema, whose names its examples have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jsonschema import Draft7Validator, ValidationError

from replicate_stream.testing.server.http import RefusalError, Response

SHORTEST_DEADLINE = 5.0
"""The shortest `Cancel-After`, in seconds."""

_PREFER = re.compile(r"wait(?:=([1-9]|[1-9][0-9]))?")
_CANCEL_AFTER = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?")
_FILE = re.compile(r"(https?://|data:)")

_BODY_FIELDS: Mapping[str, Any] = {
    "input": {"type": "object"},
    "stream": {"type": "boolean"},
    "webhook": {"type": "string"},
    "webhook_events_filter": {
        "type": "array",
        "items": {"enum": ["start", "output", "logs", "completed"]},
    },
}
# An unknown field beside `input` is refused, and so is `version` beside a model's own path
# (docs/replicate-api.md 2.1).
MODEL_BODY: Mapping[str, Any] = {
    "type": "object",
    "required": ["input"],
    "additionalProperties": False,
    "properties": _BODY_FIELDS,
}
"""Schema of the body for the endpoints of models and deployments."""
VERSION_BODY: Mapping[str, Any] = {
    **MODEL_BODY,
    "required": ["version", "input"],
    "properties": {**_BODY_FIELDS, "version": {"type": "string"}},
}
"""Schema of the body for `POST /v1/predictions`."""


class InvalidField(NamedTuple):
    """An entry of `invalid_fields` in a 422 (docs/replicate-api.md 1.4)."""

    type: str
    field: str
    description: str


def check_body(body: Any, schema: Mapping[str, Any]) -> None:
    """Check the body of a create request, except the fields of its `input`.

    Raises:
        RefusalError: It has invalid fields, which the 422 lists.
    """
    _refuse(_validate(schema, body, path=""))


def check_input(value: Mapping[str, Any], openapi: Mapping[str, Any]) -> None:
    """Check an input against a version's schema; unknown fields are ignored.

    Raises:
        RefusalError: It has invalid fields, which the 422 lists.
    """
    components = openapi["components"]
    schema = components["schemas"]["Input"]
    # OpenAPI 3.0 has `nullable` in the place of a null type; JSON Schema does not know it.
    fields = {
        name: field
        for name, field in schema.get("properties", {}).items()
        if not (field.get("nullable") and value.get(name, "") is None)
    }
    known = {
        "components": components,
        "required": schema.get("required", []),
        "properties": fields,
    }
    # The format is checked by hand: the service takes data URIs and web addresses only.
    wrong_files = [
        InvalidField("format", f"input.{name}", "Does not match format 'uri'")
        for name, field in fields.items()
        if field.get("format") == "uri"
        and isinstance(value.get(name), str)
        and not _FILE.match(value[name])
    ]
    _refuse(_validate(known, value, path="input") + wrong_files)


def parse_prefer(value: str | None) -> float | None:
    """Parse `Prefer`: seconds to hold the reply to a creation, at most 60; None without it.

    Raises:
        RefusalError: The header does not match the published pattern.
    """
    if value is None:
        return None
    match = _PREFER.fullmatch(value)
    if match is None:
        raise _refuse_header("Prefer must be wait or wait=n with n from 1 to 60")
    return min(60.0, float(match[1] or 60))


def parse_cancel_after(value: str | None) -> float | None:
    """Parse `Cancel-After` into seconds, e.g. `90`, `30s`, `1h30m45s`; None without it.

    Raises:
        RefusalError: The header has another form, or is shorter than 5 seconds.
    """
    if value is None:
        return None
    match = _CANCEL_AFTER.fullmatch(value.strip())
    if match is None or not any(match.groups()):
        raise _refuse_header("Cancel-After must be a duration such as 30s, 5m or 1h30m45s")
    hours, minutes, seconds = (int(group or 0) for group in match.groups())
    total = float(hours * 3600 + minutes * 60 + seconds)
    if total < SHORTEST_DEADLINE:
        raise _refuse_header(f"Cancel-After must be at least {SHORTEST_DEADLINE:g} seconds")
    return total


def _refuse(invalid: list[InvalidField]) -> None:
    if invalid:
        detail = "".join(f"- {_get_prefix(field)}{field.description}\n" for field in invalid)
        fields = [field._asdict() for field in invalid]
        raise RefusalError(
            Response.problem(422, detail, "Input validation failed", invalid_fields=fields)
        )


def _refuse_header(detail: str) -> RefusalError:
    return RefusalError(Response.problem(422, detail, "Invalid header"))


def _validate(schema: Mapping[str, Any], value: Any, path: str) -> list[InvalidField]:
    return [
        InvalidField(type_, ".".join([path, *map(str, error.absolute_path)]).strip("."), text)
        for error in Draft7Validator(schema).iter_errors(value)
        for type_, text in _describe(error)
    ]


def _describe(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Name a violation as the service does: pairs of type and description."""
    rule: Any = error.validator_value
    instance: Any = error.instance
    schema: Any = error.schema
    match error.validator:
        case "required":
            # jsonschema reports each missing name on its own, with the whole list as its rule.
            name = next(n for n in rule if n not in instance and error.message.startswith(repr(n)))
            yield "required", f"{name} is required"
        case "additionalProperties":
            for name in sorted(set(instance) - set(schema["properties"])):
                yield (
                    "additional_property_not_allowed",
                    f"Additional property {name} is not allowed",
                )
        case "type":
            kind = _get_json_type(instance)
            yield "invalid_type", f"Invalid type. Expected: {rule}, given: {kind}"
        case "enum":
            name = error.absolute_path[-1] if error.absolute_path else "value"
            allowed = ", ".join(json.dumps(value) for value in rule)
            yield "enum", f"{name} must be one of the following: {allowed}"
        case "minimum":
            yield "number_gte", f"Must be greater than or equal to {_format_number(rule)}"
        case "maximum":
            yield "number_lte", f"Must be less than or equal to {_format_number(rule)}"
        case other:
            yield str(other), error.message


def _format_number(value: Any) -> str:
    return f"{value:g}" if abs(value) < 1e6 else str(value)


def _get_json_type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "null" if value is None else names.get(type(value), "object")


def _get_prefix(field: InvalidField) -> str:
    has_name = field.type in {"required", "additional_property_not_allowed", "enum"}
    return "" if has_name or not field.field else f"{field.field}: "

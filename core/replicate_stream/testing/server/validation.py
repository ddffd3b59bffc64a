"""What the API refuses of a request, in the words that it refuses it with.

It checks types, ranges, enumerations and required fields, and passes over inputs that the model
does not have (replicate-api.md 5.3). The names and texts of the findings are those of 1.4; where
that has no example they are those of gojsonschema, whose names its examples have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from jsonschema import Draft7Validator, ValidationError

from replicate_stream.testing.server.http import Response, problem

SHORTEST_DEADLINE = 5.0
"""The shortest `Cancel-After`, in seconds."""

_PREFER = re.compile(r"wait(?:=([1-9]|[1-9][0-9]))?")
_CANCEL_AFTER = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
_FILE = re.compile(r"(https?://|data:)")

_BODY_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["input"],
    "additionalProperties": False,
    "properties": {
        "input": {"type": "object"},
        "stream": {"type": "boolean"},
        "webhook": {"type": "string"},
        "webhook_events_filter": {
            "type": "array",
            "items": {"enum": ["start", "output", "logs", "completed"]},
        },
    },
}
BY_NAME: Mapping[str, Any] = _BODY_SCHEMA
"""The body that the endpoints of models and deployments take."""
BY_VERSION: Mapping[str, Any] = {
    **_BODY_SCHEMA,
    "required": ["version", "input"],
    "properties": {**_BODY_SCHEMA["properties"], "version": {"type": "string"}},
}
"""The body that `POST /v1/predictions` takes."""

Finding = Mapping[str, str]


def check_body(body: Any, schema: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with the body of a create request, beside its `input`'s fields."""
    return _findings(Draft7Validator(schema), body, at="")


def check_input(value: Mapping[str, Any], openapi: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with an input; fields that the model does not have are not looked at."""
    components = openapi["components"]
    schema = components["schemas"]["Input"]
    fields = {name: _nullable(field) for name, field in schema.get("properties", {}).items()}
    known = {
        "components": components,
        "required": schema.get("required", []),
        "properties": fields,
    }
    findings = _findings(Draft7Validator(known), value, at="input")
    return findings + [
        {
            "type": "format",
            "field": f"input.{name}",
            "description": "Does not match format 'uri'",
        }
        for name, field in fields.items()
        if field.get("format") == "uri"
        and isinstance(value.get(name), str)
        and not _FILE.match(value[name])
    ]


def refusal(findings: list[Finding]) -> Response:
    """The 422 that tells of findings."""
    return problem(
        422,
        "".join(f"- {_where(f)}{f['description']}\n" for f in findings),
        "Input validation failed",
        invalid_fields=findings,
    )


def parse_prefer(value: str | None) -> float | None:
    """How many seconds to hold a create reply, at most 60; None for not at all.

    Raises:
        ValueError: The header does not have the published pattern.
    """
    if value is None:
        return None
    match = _PREFER.fullmatch(value)
    if match is None:
        raise ValueError("Prefer must be wait or wait=n with n from 1 to 60")
    return min(60.0, float(match[1] or 60))


def parse_cancel_after(value: str | None) -> float | None:
    """The seconds of a `Cancel-After` header, e.g. `90`, `30s`, `1h30m45s`; None without one.

    Raises:
        ValueError: It has another form, or is shorter than 5 seconds.
    """
    if value is None:
        return None
    match = _CANCEL_AFTER.fullmatch(value.strip())
    if match is None or not any(match.groups()):
        raise ValueError("Cancel-After must be a duration such as 30s, 5m or 1h30m45s")
    hours, minutes, seconds = (int(group or 0) for group in match.groups())
    total = float(hours * 3600 + minutes * 60 + seconds)
    if total < SHORTEST_DEADLINE:
        raise ValueError(f"Cancel-After must be at least {SHORTEST_DEADLINE:g} seconds")
    return total


def _nullable(field: Mapping[str, Any]) -> Mapping[str, Any]:
    # OpenAPI 3.0 has this keyword in the place of a null type, which JSON Schema does not know.
    return {"anyOf": [{"type": "null"}, field]} if field.get("nullable") else field


def _findings(validator: Draft7Validator, value: Any, at: str) -> list[Finding]:
    found: list[Finding] = []
    for error in validator.iter_errors(value):
        path = ".".join([at, *map(str, error.absolute_path)]).strip(".")
        found += [
            {"type": kind, "field": path, "description": text} for kind, text in _describe(error)
        ]
    return found


def _describe(error: ValidationError) -> list[tuple[str, str]]:
    rule: Any = error.validator_value
    given: Any = error.instance
    if error.validator == "required":
        # jsonschema reports each missing name on its own, all of them with the whole rule.
        name = next(n for n in rule if n not in given and error.message.startswith(repr(n)))
        return [("required", f"{name} is required")]
    if error.validator == "additionalProperties":
        schema: Any = error.schema
        return [
            ("additional_property_not_allowed", f"Additional property {name} is not allowed")
            for name in sorted(set(given) - set(schema["properties"]))
        ]
    kind, text = _TEXTS.get(str(error.validator), (str(error.validator), lambda e: e.message))
    return [(kind, text(error))]


def _type_text(error: ValidationError) -> str:
    expected = error.validator_value
    return f"Invalid type. Expected: {expected}, given: {_json_type(error.instance)}"


def _enum_text(error: ValidationError) -> str:
    name = error.absolute_path[-1] if error.absolute_path else "value"
    rule: Any = error.validator_value
    allowed = ", ".join(json.dumps(value) for value in rule)
    return f"{name} must be one of the following: {allowed}"


_TEXTS: Mapping[str, tuple[str, Callable[[ValidationError], str]]] = {
    "type": ("invalid_type", _type_text),
    "enum": ("enum", _enum_text),
    "minimum": (
        "number_gte",
        lambda e: f"Must be greater than or equal to {_number(e.validator_value)}",
    ),
    "maximum": (
        "number_lte",
        lambda e: f"Must be less than or equal to {_number(e.validator_value)}",
    ),
}


def _number(value: Any) -> str:
    return f"{value:g}" if abs(value) < 1e6 else str(value)


def _json_type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "null" if value is None else names.get(type(value), "object")


def _where(finding: Finding) -> str:
    is_named = finding["type"] in {"required", "additional_property_not_allowed", "enum"}
    return "" if is_named or not finding["field"] else f"{finding['field']}: "

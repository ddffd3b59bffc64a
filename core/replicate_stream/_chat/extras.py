"""Inputs beyond the usual parameters: tools, forms of the answer, and `extra_input`.

An unknown name in `extra_input` would be ignored by the service without a word, so it is an error
here, with the name that was probably meant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from replicate_stream._chat import fields
from replicate_stream._chat.effort import put_effort
from replicate_stream._chat.messages import ToolSpec
from replicate_stream._chat.report import Report
from replicate_stream._chat.schema import InputField, InputSchema
from replicate_stream._chat.validation import problem
from replicate_stream._errors import InvalidInputError

_SCHEMAS = ("json_schema", "jsonschema", "response_schema", "guided_json")
# Parameters without an argument of their own, reachable in `extra_input` by their canonical name.
_CANONICAL = frozenset({"repetition_penalty", "min_tokens", "min_p"})


def put_natives(
    tools: Sequence[ToolSpec | Mapping[str, Any]] | None,
    tool_choice: Any,
    response_format: Any,
    schema: InputSchema,
    target: dict[str, Any],
    report: Report,
) -> None:
    """Put tools and the form of the answer into the model's own inputs, where it has them."""
    if tools:
        _put("tools", [_tool(each) for each in tools], schema, target, report)
    if tool_choice is not None:
        _put("tool_choice", tool_choice, schema, target, report)
    if response_format is not None:
        form = fields.find(schema, _SCHEMAS)
        answer = _answer_schema(response_format)
        if form is not None and answer is not None and "response_format" not in schema.fields:
            target[form.name] = _as_field(answer, form)
            report.note(f"response_format went into {form.name}.")
        else:
            _put("response_format", response_format, schema, target, report)


def put_extra(
    extra: Mapping[str, Any], schema: InputSchema, target: dict[str, Any], report: Report
) -> None:
    """Put `extra_input` into `target`, where it wins. None takes an input out.

    Raises:
        UnsupportedParameterError: The model has no such input, and `report` is to raise.
        InvalidInputError: A value does not fit the input's schema.
    """
    for name, value in extra.items():
        field = schema.fields.get(name)
        if field is None and name in _CANONICAL:
            field = fields.find_parameter(schema, name)
        if field is None:
            is_effort = name == "reasoning_effort" and put_effort(value, schema, target, report)
            if not is_effort:
                report.unsupported(name)
        elif value is None and not field.spec.get("nullable"):
            target.pop(field.name, None)
        else:
            target[field.name] = value


def check(schema: InputSchema, target: Mapping[str, Any]) -> None:
    """Hold an input against the model's schema, with unknown inputs forbidden.

    Raises:
        InvalidInputError: Names every input that is at fault or missing, and what it must be.
    """
    wrong = {
        name: found
        for name, value in target.items()
        if (found := problem(value, schema.fields[name].spec))
    }
    if wrong:
        said = "; ".join(f"{name} must be {found}" for name, found in wrong.items())
        raise InvalidInputError(said, fields=tuple(wrong))


def _put(
    parameter: str, value: Any, schema: InputSchema, target: dict[str, Any], report: Report
) -> None:
    field = fields.find_parameter(schema, parameter)
    if field is None:
        report.unsupported(parameter)
    else:
        target[field.name] = _as_field(value, field)


def _as_field(value: Any, field: InputField) -> Any:
    """A JSON text where the field takes text, else the value itself."""
    if field.kind == "string" and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return value


def _tool(tool: ToolSpec | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(tool, ToolSpec):
        return dict(tool)
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}


def _answer_schema(response_format: Any) -> Any:
    """The JSON schema in a form of the answer; None if there is none in it.

    It is bare, or inside OpenAI's `{"type": "json_schema", "json_schema": {"schema": …}}`, whose
    other types (`json_object`, `text`) name no schema.
    """
    if not isinstance(response_format, Mapping):
        return None
    if response_format.get("type") in {"json_object", "text"}:
        return None
    inner = response_format.get("json_schema", response_format)
    return inner.get("schema", inner) if isinstance(inner, Mapping) else None

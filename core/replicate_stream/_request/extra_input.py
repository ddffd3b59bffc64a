"""Inputs beyond the usual parameters: tools, forms of the answer, and `extra_input`.

An unknown name in `extra_input` would be ignored by the service without a word, so it is an error
here, with the name that was probably meant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from replicate_stream._errors import InvalidInputError
from replicate_stream._model import field_names
from replicate_stream._model.input_schema import InputField, InputSchema
from replicate_stream._request.conversation import PromptInstructions
from replicate_stream._request.notes import Notes
from replicate_stream._request.reasoning_effort import put_effort
from replicate_stream._request.validation import problem
from replicate_stream._types.response_format import ResponseFormat
from replicate_stream._types.tool_choice import ToolChoice

_SCHEMAS = ("json_schema", "jsonschema", "response_schema", "guided_json")
# Parameters without an argument of their own, reachable in `extra_input` by their canonical name.
_CANONICAL = frozenset({"repetition_penalty", "min_tokens", "min_p"})


def put_natives(
    tools: ToolChoice | None,
    form: ResponseFormat | None,
    schema: InputSchema,
    target: dict[str, Any],
    report: Notes,
) -> PromptInstructions:
    """Put tools and the form of the answer into the model's own inputs, where it has them.

    Returns:
        What the model has to be told in words, because it has no input for it.
    """
    offered = tools if tools is not None and tools.is_offered else None
    field = field_names.find_parameter(schema, "tools")
    if offered is not None and field is not None:
        _put_tools(offered, field, schema, target)
    elif offered is not None:
        report.note("The tools are told in the prompt: the model has no input for them.")
    has_form = form is not None and _put_form(form, schema, target, report)
    if form is not None and not has_form:
        report.note("The form of the answer is told in the prompt: the model has no input for it.")
    has_choice = field is not None and field_names.find_parameter(schema, "tool_choice") is not None
    return PromptInstructions(
        offered,
        None if has_form else form,
        demand="" if offered is None or has_choice else offered.demand,
        has_native_tools=field is not None,
    )


def _put_tools(
    tools: ToolChoice, field: InputField, schema: InputSchema, target: dict[str, Any]
) -> None:
    target[field.name] = _as_field(list(tools.native), field)
    choice = field_names.find_parameter(schema, "tool_choice")
    if choice is not None and tools.choice != "auto":
        target[choice.name] = _as_field(tools.native_choice, choice)
    parallel = field_names.find_parameter(schema, "parallel_tool_calls")
    if parallel is not None and tools.is_single:
        target[parallel.name] = False


def _put_form(
    form: ResponseFormat, schema: InputSchema, target: dict[str, Any], report: Notes
) -> bool:
    field = field_names.find_parameter(schema, "response_format")
    if field is not None:
        target[field.name] = _as_field(dict(form.native), field)
        return True
    only = field_names.find(schema, _SCHEMAS)
    if only is None or form.schema is None:
        return False
    target[only.name] = _as_field(dict(form.schema), only)
    report.note(f"response_format went into {only.name}.")
    return True


def put_extra(
    extra: Mapping[str, Any], schema: InputSchema, target: dict[str, Any], report: Notes
) -> None:
    """Put `extra_input` into `target`, where it wins. None takes an input out.

    Raises:
        UnsupportedParameterError: The model has no such input, and `report` is to raise.
        InvalidInputError: A value does not fit the input's schema.
    """
    for name, value in extra.items():
        field = schema.fields.get(name)
        if field is None and name in _CANONICAL:
            field = field_names.find_parameter(schema, name)
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


def _as_field(value: Any, field: InputField) -> Any:
    """A JSON text where the field takes text, else the value itself."""
    if field.kind == "string" and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return value

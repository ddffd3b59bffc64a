"""Put tools, the response format and `extra_input` into the model's own inputs.

Replicate ignores an unknown input silently, so an unknown name in `extra_input` is an error here,
which suggests the closest name that the model has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from replicate_stream._errors import invalid_value
from replicate_stream._model.families.tool_format import to_json
from replicate_stream._model.families.turn import neutralize
from replicate_stream._model.input_schema import InputField
from replicate_stream._request.conversation import PromptInstructions
from replicate_stream._request.input_builder import InputBuilder
from replicate_stream._types.json_schema import close_objects
from replicate_stream._types.response_format import ResponseFormat
from replicate_stream._types.tool_choice import ToolChoice

# Parameters without an argument of their own; `extra_input` takes them under these names too.
_CANONICAL_NAMES = frozenset({"repetition_penalty", "min_tokens", "min_p"})
_LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Tokens for each level; `low` to `high` as Google maps them (ai.google.dev/gemini-api/docs/openai).
_BUDGETS = (0, 512, 1024, 8192, 24576, 32768, 32768)


def put_tools_and_format(
    tools: ToolChoice | None, response_format: ResponseFormat | None, builder: InputBuilder
) -> PromptInstructions:
    """Put tools and the response format into the model's own inputs if it has them.

    Returns:
        The instructions that the prompt has to carry instead.
    """
    tools_field = builder.profile.parameters.get("tools")
    if response_format is not None and _put_format(response_format, builder):
        response_format = None
    elif response_format is not None:
        builder.note("The prompt asks for the response format: no input of the model takes it.")
    if tools is not None and tools_field is None:
        builder.note("The prompt describes the tools: the model has no input for them.")
    tool_choice = ""
    if tools is not None and (tools_field is None or not _put_tools(tools, tools_field, builder)):
        tool_choice = tools.instruction
    return PromptInstructions(tools, response_format, tool_choice)


def _put_tools(tools: ToolChoice, field: InputField, builder: InputBuilder) -> bool:
    """Put tools and their choice into their inputs; returns whether the choice has one."""
    profile, model_input = builder.profile, builder.input
    listed: list[Any] = list(tools.openai_tools)
    if profile.takes_items:
        listed = [{"type": "function", **each["function"]} for each in listed]
    written = to_json(listed)
    safe = neutralize(profile.control_marks, written)
    # The model's own template writes them into its prompt, where a mark would open a turn.
    model_input[field.name] = _encode(listed if safe == written else json.loads(safe), field)
    choice = profile.parameters.get("tool_choice")
    if choice is not None and tools.choice != "auto":
        model_input[choice.name] = _encode(tools.openai_choice, choice)
    parallel = profile.parameters.get("parallel_tool_calls")
    if parallel is not None and tools.is_single:
        model_input[parallel.name] = False
    return choice is not None


def _put_format(response_format: ResponseFormat, builder: InputBuilder) -> bool:
    profile, model_input = builder.profile, builder.input
    field = profile.parameters.get("response_format")
    if field is not None:
        model_input[field.name] = _encode(dict(response_format.openai_format), field)
        return True
    field = profile.json_schema
    if field is None or response_format.schema is None:
        return False
    schema: Any = dict(response_format.schema)
    if profile.takes_items:  # the server hands it on as `text` (docs/replicate-api.md 5.4)
        schema = close_objects(schema) if schema.get("type") == "object" else None
        if schema is None:
            return False
        named = response_format.openai_format.get("json_schema", response_format.openai_format)
        schema = {"format": {"type": "json_schema", "name": named["name"], "schema": schema}}
    model_input[field.name] = _encode(schema, field)
    builder.note(f"response_format went into {field.name}.")
    return True


def _encode(value: Any, field: InputField) -> Any:
    """The value as JSON if the input is a string, else the value itself."""
    if field.kind == "string" and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return value


def put_extra_input(extra_input: Mapping[str, Any], builder: InputBuilder) -> None:
    """Put `extra_input` into the input, over what is there. None removes an input.

    Raises:
        UnsupportedParameterError: The model has no such input, and `on_unsupported` is `raise`.
        InvalidInputError: An unknown level of `reasoning_effort`.
    """
    profile, model_input = builder.profile, builder.input
    for name, value in extra_input.items():
        field = profile.schema.fields.get(name)
        if field is None and name in _CANONICAL_NAMES:
            field = profile.parameters.get(name)
        is_level = field is not None and field is profile.effort_level
        if field is None:
            if name != "reasoning_effort" or not _put_reasoning_effort(value, builder):
                builder.handle_unsupported(name)
        elif is_level and value not in field.choices and value in _LEVELS:
            model_input[field.name] = _choose_level(name, _LEVELS.index(value), field, builder)
        # Where the schema is nullable, None is a value of its own.
        elif value is None and not field.spec.get("nullable"):
            model_input.pop(field.name, None)
        else:
            model_input[field.name] = value


def _put_reasoning_effort(value: Any, builder: InputBuilder) -> bool:
    """Put a level of effort into the model's input for it.

    Models have an enum of levels, each with its own selection, a token budget, or an on/off switch.

    Returns:
        Whether the model has such an input.

    Raises:
        InvalidInputError: The level is unknown.
    """
    if value not in _LEVELS:
        raise invalid_value("reasoning_effort", value, f"one of {', '.join(_LEVELS)}")
    level = _LEVELS.index(value)
    profile, model_input = builder.profile, builder.input
    enum, switch, budget = profile.effort_level, profile.thinking_switch, profile.thinking_budget
    if enum is not None:
        model_input[enum.name] = _choose_level("reasoning_effort", level, enum, builder)
        return True
    if switch is not None:
        model_input[switch.name] = level > 0
        builder.note(f"{switch.name} is {level > 0} for reasoning_effort {value}.")
    # With the switch off the budget counts for nothing, and 0 is below the minimum of most.
    if budget is not None and (level > 0 or switch is None):
        model_input[budget.name] = _clamp(_BUDGETS[level], budget)
        builder.note(f"{budget.name} is {model_input[budget.name]} for reasoning_effort {value}.")
    return switch is not None or budget is not None


def _choose_level(parameter: str, level: int, enum: InputField, builder: InputBuilder) -> Any:
    """Choose the model's own value for the level, or for the nearest level that it has."""
    known = {_LEVELS.index(str(c).lower()): c for c in enum.choices if str(c).lower() in _LEVELS}
    if level in known:
        return known[level]
    if not known:
        return enum.choices[min(level, len(enum.choices) - 1)]
    chosen = known[min(known, key=lambda each: (abs(each - level), each))]
    builder.warn(
        f"{enum.name} is {chosen} instead of {parameter}={_LEVELS[level]}: "
        f"it must be one of {', '.join(map(str, enum.choices))}."
    )
    return chosen


def _clamp(value: int, field: InputField) -> int:
    raised = value if field.minimum is None else max(value, round(field.minimum))
    return raised if field.maximum is None else min(raised, round(field.maximum))

"""Map `reasoning_effort` onto the model's own input for it.

Models have an enum of levels, each with its own selection, a token budget, or an on/off switch.
"""

from __future__ import annotations

from typing import Any

from replicate_stream._errors import invalid_value
from replicate_stream._model.input_schema import InputField
from replicate_stream._request.input_builder import InputBuilder

LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh")
# Tokens for each level; `low` to `high` as Google maps them (ai.google.dev/gemini-api/docs/openai).
_BUDGETS = (0, 512, 1024, 8192, 24576, 32768)


def put_reasoning_effort(value: Any, builder: InputBuilder) -> bool:
    """Put a level of effort into the model's input for it.

    Returns:
        Whether the model has such an input.

    Raises:
        InvalidInputError: The level is unknown.
    """
    if value not in LEVELS:
        raise invalid_value("reasoning_effort", value, f"one of {', '.join(LEVELS)}")
    level = LEVELS.index(value)
    profile, model_input = builder.profile, builder.input
    enum, switch, budget = profile.effort_level, profile.thinking_switch, profile.thinking_budget
    if enum is not None:
        model_input[enum.name] = _choose_level(level, enum, builder)
        return True
    if switch is not None:
        model_input[switch.name] = level > 0
        builder.note(f"{switch.name} is {level > 0} for reasoning_effort {value}.")
    # With the switch off the budget counts for nothing, and 0 is below the minimum of most.
    if budget is not None and (level > 0 or switch is None):
        model_input[budget.name] = _clamp(_BUDGETS[level], budget)
        builder.note(f"{budget.name} is {model_input[budget.name]} for reasoning_effort {value}.")
    return switch is not None or budget is not None


def _choose_level(level: int, enum: InputField, builder: InputBuilder) -> Any:
    """Choose the model's own value for the level, or for the nearest level that it has."""
    known = {LEVELS.index(str(c).lower()): c for c in enum.choices if str(c).lower() in LEVELS}
    if level in known:
        return known[level]
    if not known:
        return enum.choices[min(level, len(enum.choices) - 1)]
    chosen = known[min(known, key=lambda each: (abs(each - level), each))]
    builder.warn(
        f"{enum.name} is {chosen} instead of {LEVELS[level]}: "
        f"it must be one of {', '.join(map(str, enum.choices))}."
    )
    return chosen


def _clamp(value: int, field: InputField) -> int:
    raised = value if field.minimum is None else max(value, round(field.minimum))
    return raised if field.maximum is None else min(raised, round(field.maximum))

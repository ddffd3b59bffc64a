"""How much a model is to think, by one name for all: `reasoning_effort`.

Models have levels, of which none has all, a budget in tokens, or a switch.
"""

from __future__ import annotations

from typing import Any

from replicate_stream._model import field_names
from replicate_stream._model.input_schema import InputField, InputSchema
from replicate_stream._request.notes import Notes, refuse

LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh")
_BUDGETS = (0, 512, 1024, 8192, 24576, 32768)
_LEVEL_NAMES = ("reasoning_effort", "thinking_level", "effort", "thinking")
_BUDGET_NAMES = ("thinking_budget", "thinking_budget_tokens", "budget_tokens", "reasoning_budget")
_SWITCH_NAMES = ("extended_thinking", "enable_thinking", "thinking", "reasoning")


def put_effort(value: Any, schema: InputSchema, target: dict[str, Any], report: Notes) -> bool:
    """Put a level of effort into the input that the model has for it.

    Returns:
        Whether it has one.

    Raises:
        InvalidInputError: No such level.
    """
    if value not in LEVELS:
        raise refuse("reasoning_effort", value, f"one of {', '.join(LEVELS)}")
    at = LEVELS.index(value)
    levels = field_names.find(schema, _LEVEL_NAMES)
    if levels is not None and levels.choices:
        target[levels.name] = _nearest(at, levels, report)
        return True
    switch = field_names.find(schema, _SWITCH_NAMES)
    is_switched = switch is not None and switch.kind == "boolean"
    if switch is not None and is_switched:
        target[switch.name] = at > 0
        report.note(f"{switch.name} is {at > 0} for reasoning_effort {value}.")
    budget = field_names.find(schema, _BUDGET_NAMES)
    if budget is None or budget.kind not in {"integer", "number"}:
        return is_switched
    if at > 0 or not is_switched:
        target[budget.name] = _within(_BUDGETS[at], budget)
        report.note(f"{budget.name} is {target[budget.name]} for reasoning_effort {value}.")
    return True


def _nearest(at: int, field: InputField, report: Notes) -> Any:
    """The field's own value for the level, or for the level nearest to it."""
    own = {LEVELS.index(str(c).lower()): c for c in field.choices if str(c).lower() in LEVELS}
    if at in own:
        return own[at]
    if not own:
        return field.choices[min(at, len(field.choices) - 1)]
    chosen = own[min(own, key=lambda level: (abs(level - at), level))]
    report.warn(
        f"{field.name} is {chosen} instead of {LEVELS[at]}: "
        f"it must be one of {', '.join(map(str, field.choices))}."
    )
    return chosen


def _within(value: int, field: InputField) -> int:
    least = value if field.minimum is None else max(value, round(field.minimum))
    return least if field.maximum is None else min(least, round(field.maximum))

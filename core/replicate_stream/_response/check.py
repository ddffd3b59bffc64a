"""Whether an answer is what was asked for, judged by what is delivered of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from replicate_stream._types.messages import ToolCall
from replicate_stream._types.prepared import ExpectedAnswer


def problem_of(reading: ExpectedAnswer, text: str, calls: Sequence[ToolCall]) -> str | None:
    """What an answer lacks of what was asked for, without its text; None for nothing.

    Args:
        reading: What was asked for.
        text: The answer's text.
        calls: The tools that it calls.
    """
    use, form = reading.tools, reading.form
    is_forced = use is not None and use.is_forced
    if use is not None and is_of_another(reading, calls):
        return f"it calls another tool than {use.name}, which had to be called"
    if calls:
        is_malformed = is_forced and all(isinstance(call.arguments, str) for call in calls)
        return "its call of a tool is malformed, or breaks off" if is_malformed else None
    if use is not None and is_forced:
        return f"it calls no tool, and {use.name or 'one'} had to be called"
    return None if form is None else form.problem(text)


def is_of_another(reading: ExpectedAnswer, calls: Sequence[ToolCall]) -> bool:
    """Whether another tool is called than the one that had to be."""
    named = None if reading.tools is None else reading.tools.name
    return named is not None and any(call.name != named for call in calls[:1])


def remedy_of(reading: ExpectedAnswer) -> str:
    """What to tell the model of what was asked for, when it is asked again."""
    use, form = reading.tools, reading.form
    if use is not None and use.is_forced:
        return use.demand
    return "" if form is None else form.instruction(has_tools=use is not None)

"""Check an answer against the tool choice and the response format of its request. Pure.

Only an answer without emitted text or calls can be repaired, so a rejected answer is withheld as
far as possible. Reasoning does not count: a repaired answer may have reasoning of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from replicate_stream._errors import AnswerFormatError
from replicate_stream._response.completion import CompletionBuilder
from replicate_stream._types.messages import (
    Finished,
    Message,
    ReasoningDelta,
    StreamEvent,
    ToolCall,
)
from replicate_stream._types.request import ExpectedAnswer, Missing
from replicate_stream._types.strict_json import parse_strict_json
from replicate_stream._types.tool_choice import ToolChoice, find_arguments_problem

_MALFORMED = "its call of a tool is malformed, or breaks off"
_MISSING: Mapping[Missing, str] = {
    "call": "its call of a tool stands in reasoning that has no end",
    "answer": "it announces an answer in words, and holds none",
}
_CALL_AGAIN = "Write the call again, in the format that you were shown, or answer without one."


class AnswerCheck:
    """Collects the events of one answer, judges it at its end, and prepares a repair.

    Args:
        expected: The tools and the format that the answer is checked against.

    Attributes:
        problem: After `close`: what `find_problem` returns for the answer.
        is_accepted: After `close`: True if the answer is handed on, with a problem or without.
        is_repairable: After `close`: True if it is rejected and the model can be asked again.
        missing: After `close`: what the rejected answer leaves out; None for anything else.
    """

    def __init__(self, expected: ExpectedAnswer) -> None:
        self.problem: str | None = None
        self.is_accepted = self.is_repairable = False
        self._expected = expected
        self.missing: Missing | None = None
        self._has_emitted = False
        self._pending: list[StreamEvent] = []
        self._builder = CompletionBuilder()

    def add(self, events: Iterable[StreamEvent]) -> Sequence[StreamEvent]:
        """Collect events; return those that can be emitted now."""
        new = list(events)
        for event in new:
            self._builder.add(event)
        self._has_emitted = self._has_emitted or not all(isinstance(e, ReasoningDelta) for e in new)
        return new

    def close(
        self,
        events: Iterable[StreamEvent],
        *,
        has_repairs_left: bool,
        missing: Missing | None = None,
    ) -> Sequence[StreamEvent]:
        """Collect the last events and judge the answer; return the events that are left to emit.

        Args:
            events: The last events before `Finished`.
            has_repairs_left: True while `max_repairs` is not reached.
            missing: What the parser found to be left out.
        """
        for event in events:
            self._builder.add(event)
            self._pending.append(event)
        calls = self._builder.tool_calls
        self.problem = find_problem(self._expected, self._builder.text, calls)
        # A malformed call still has its name and its text: the caller can answer it with an error.
        # One with a validator needs a valid value.
        is_usable = bool(calls) and not _calls_another_tool(self._expected, calls)
        is_usable = is_usable and self._expected.validator is None
        if self.problem is None and missing and not (calls or self._builder.text.strip()):
            # With no attempt left, the reasoning, or nothing, is all that the model has to say.
            self.missing, self.problem, is_usable = missing, _MISSING[missing], True
        self.is_repairable = self.problem is not None and has_repairs_left and not self._has_emitted
        self.is_accepted = not self.is_repairable and (self.problem is None or is_usable)
        return self._pending if self.is_accepted else []

    def accept_cut_off(self, finish_reason: str) -> Sequence[StreamEvent]:
        """Accept a malformed call if the limit of the answer cut it off; return its events.

        Asked again, the model would reach the same limit. A required call is asked for all the
        same: without it the answer is of no use.
        """
        tools = self._expected.tools
        is_cut_off = self.is_repairable and finish_reason == "length"
        if not is_cut_off or tools is None or tools.is_forced or not self._builder.tool_calls:
            return []
        self.is_accepted = True
        return self._pending

    def build_error(self, finished: Finished) -> AnswerFormatError:
        """Build the error for an answer that is neither accepted nor repaired."""
        self._builder.add(finished)
        return AnswerFormatError(self.problem or "", completion=self._builder.build())

    def build_repair_messages(self) -> list[Message]:
        """Build the messages that ask again: the answer, and a request that names its problem."""
        text, calls = self._builder.text, self._builder.tool_calls
        tools, response_format = self._expected.tools, self._expected.response_format
        instruction = ""
        if tools is not None and (tools.is_forced or calls or self.missing):
            instruction = tools.instruction or _CALL_AGAIN
        elif response_format is not None:
            instruction = response_format.instruction(has_tools=tools is not None)
        request = Message("user", f"That answer will not do: {self.problem}. {instruction}")
        # What has no name cannot be written as a call.
        text += "".join(str(call.arguments) for call in calls if not call.name)
        calls = tuple(call for call in calls if call.name)
        answer = Message("assistant", text, tool_calls=calls)
        return [answer, request] if text or calls else [request]


def find_problem(expected: ExpectedAnswer, text: str, calls: Sequence[ToolCall]) -> str | None:
    """Compare an answer with the expected one.

    Args:
        expected: The tools and the format of the request.
        text: The text of the answer.
        calls: The tool calls of the answer.

    Returns:
        The difference in words, without any text of the answer; None for an answer as expected.
    """
    tools, response_format = expected.tools, expected.response_format
    is_forced = tools is not None and tools.is_forced
    if tools is not None and _calls_another_tool(expected, calls):
        return f"it calls another tool than {tools.name}, which had to be called"
    if calls and tools is not None:
        if is_forced:
            problems = [_find_call_problem(expected, tools, call) for call in calls]
            return problems[0] if all(problems) else None
        # An answer that has text beside its malformed call is not lost.
        is_lost = not text.strip() and all(map(_is_malformed, calls))
        return _MALFORMED if is_lost else None
    if tools is not None and is_forced:
        return f"it calls no tool, and {tools.name or 'one'} had to be called"
    if response_format is None:
        return None
    problem = response_format.find_problem(text)
    if problem is None and expected.validator is not None:
        problem = _find_rejection(expected.validator, parse_strict_json(text), "its JSON")
    return problem


def _find_call_problem(expected: ExpectedAnswer, tools: ToolChoice, call: ToolCall) -> str | None:
    tool = next((each for each in tools.tools if each.name == call.name), None)
    if tool is None or isinstance(call.arguments, str):
        return _MALFORMED
    problem = find_arguments_problem(tool, call.arguments)
    if problem is None and expected.validator is not None and tools.name is not None:
        arguments = dict(call.arguments)
        problem = _find_rejection(expected.validator, arguments, f"its call of {tool.name}")
    return problem


def _find_rejection(validator: Callable[[Any], object], value: Any, name: str) -> str | None:
    try:
        validator(value)
    except Exception as error:  # noqa: BLE001 - a function of the user's may raise anything
        return f"{name} is not valid: {error}"
    return None


def _is_malformed(call: ToolCall) -> bool:
    return isinstance(call.arguments, str) or not call.name


def _calls_another_tool(expected: ExpectedAnswer, calls: Sequence[ToolCall]) -> bool:
    name = None if expected.tools is None else expected.tools.name
    return name is not None and any(call.name != name for call in calls[:1])

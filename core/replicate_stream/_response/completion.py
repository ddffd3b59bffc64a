"""Collect the events of an answer into a `Completion`, or into fewer and larger ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from replicate_stream._types.messages import (
    Completion,
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from replicate_stream._types.prediction import Prediction, Usage
from replicate_stream._types.strict_json import parse_arguments


def derive_finish_reason(
    usage: Usage | None, max_tokens: int | None, *, is_stopped: bool, has_calls: bool = False
) -> str:
    """Derive the finish reason of an answer: `length`, `tool_calls` or `stop`.

    Args:
        usage: The token counts of the prediction; None if unknown.
        max_tokens: The limit that was sent; None for no limit.
        is_stopped: True if the client ended the answer, at a stop sequence for example.
        has_calls: True if the answer calls a tool.
    """
    # The service names no reason (docs/replicate-api.md 3.4), but the counts show a reached limit.
    # It goes before `tool_calls`, because the limit may have cut off the last call.
    is_full = usage is not None and max_tokens is not None and usage.output_tokens >= max_tokens
    if is_full and not is_stopped:
        return "length"
    return "tool_calls" if has_calls else "stop"


class CompletionBuilder:
    """Builds a `Completion` from the events of a stream."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, list[ToolCallDelta]] = {}
        self._finished: Finished | None = None

    def add(self, event: StreamEvent) -> None:
        """Add the next event."""
        if isinstance(event, TextDelta):
            self._text.append(event.text)
        elif isinstance(event, ReasoningDelta):
            self._reasoning.append(event.text)
        elif isinstance(event, ToolCallDelta):
            self._calls.setdefault(event.index, []).append(event)
        elif isinstance(event, Finished):
            self._finished = event

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far; the last one may be incomplete."""
        return tuple(_to_call(deltas) for _, deltas in sorted(self._calls.items()))

    def build(self) -> Completion:
        """Build the completion.

        Raises:
            ValueError: The `Finished` event has not been added.
        """
        if self._finished is None:
            raise ValueError("The answer has no Finished event yet")
        return self._build(self._finished)

    def build_partial(self, prediction: Prediction) -> Completion:
        """Build the completion of an answer that an error ended."""
        return self._build(Finished("error", None, prediction.without_stream()))

    def _build(self, finished: Finished) -> Completion:
        return Completion(
            text=self.text,
            reasoning=self.reasoning,
            tool_calls=self.tool_calls,
            finish_reason=finished.reason,
            usage=finished.usage,
            prediction=finished.prediction,
        )


def merge_deltas(events: Iterable[StreamEvent]) -> list[StreamEvent]:
    """Merge adjacent pieces of the same text, reasoning or call; other events stay as they are."""
    merged: list[StreamEvent] = []
    run: list[StreamEvent] = []
    for event in events:
        if run and not _continues(run[-1], event):
            merged.append(_join(run))
            run = []
        run.append(event)
    return [*merged, _join(run)] if run else merged


def _continues(last: StreamEvent, event: StreamEvent) -> bool:
    if isinstance(event, ToolCallDelta):
        is_first = event.id is not None or event.name is not None
        return isinstance(last, ToolCallDelta) and last.index == event.index and not is_first
    return isinstance(event, TextDelta | ReasoningDelta) and type(last) is type(event)


def _join(run: Sequence[StreamEvent]) -> StreamEvent:
    first = run[0]
    if isinstance(first, TextDelta):
        return TextDelta("".join(e.text for e in run if isinstance(e, TextDelta)))
    if isinstance(first, ReasoningDelta):
        return ReasoningDelta("".join(e.text for e in run if isinstance(e, ReasoningDelta)))
    if isinstance(first, ToolCallDelta):
        arguments = "".join(e.arguments for e in run if isinstance(e, ToolCallDelta))
        return ToolCallDelta(first.index, first.id, first.name, arguments)
    return first


def _to_call(deltas: Sequence[ToolCallDelta]) -> ToolCall:
    name = deltas[0].name or ""
    text = "".join(delta.arguments for delta in deltas)
    arguments = parse_arguments(name, text)
    return ToolCall(deltas[0].id or "", name, text if arguments is None else arguments)

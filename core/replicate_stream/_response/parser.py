"""The text of an answer, as it comes, to events; and events back to a whole answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from replicate_stream._response.reasoning import Piece, ReasoningSplitter
from replicate_stream._response.stop import StopFilter
from replicate_stream._types.messages import (
    Completion,
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from replicate_stream._types.prediction import Usage
from replicate_stream._types.prepared import ExpectedAnswer

if TYPE_CHECKING:
    from replicate_stream._response.shaped import Shaped


class AnswerParser:
    """Reads one answer: its thoughts, its text, its calls, and where a stop sequence ends it.

    Args:
        stop: The stop sequences.
        reading: What the answer may hold beside text, and what it must be.
        new_id: Makes the id of a tool call.

    Attributes:
        is_stopped: Whether the answer has ended early: nothing of the rest is wanted.
        has_calls: Whether any tool was called.
    """

    def __init__(
        self, stop: Sequence[str], reading: ExpectedAnswer, new_id: Callable[[], str]
    ) -> None:
        self.is_stopped = self.has_calls = False
        self._splitter: ReasoningSplitter | None = ReasoningSplitter()
        self._cutter = StopFilter(stop) if stop else None
        self._shaped: Shaped | None = None
        if reading.tools is not None or reading.form is not None:
            from replicate_stream._response.shaped import Shaped

            self._shaped = Shaped(reading, new_id)

    def feed(self, texts: Sequence[str]) -> Iterable[StreamEvent]:
        """The events of the next pieces of text; empty pieces give none."""
        if self._is_plain():
            return _plain(texts)
        events: list[StreamEvent] = []
        rest = iter(texts)
        for text in rest:
            events += self._read(text)
            if self.is_stopped:
                break
            if self._is_plain():
                events += _plain(rest)  # there may be thousands in a batch
        return events

    def flush(self) -> Iterable[StreamEvent]:
        """What was held back, when the answer has ended without a stop sequence."""
        events: list[StreamEvent] = []
        if not self.is_stopped and self._splitter is not None:
            events += self._deliver(self._splitter.flush())
        if self._shaped is not None:
            events += self._cut(self._shaped.flush())
        return [*events, *self._release()]

    def _is_plain(self) -> bool:
        """Whether nothing has to be looked for any more."""
        return self._splitter is None and self._cutter is None and self._shaped is None

    def _read(self, text: str) -> list[StreamEvent]:
        if self._splitter is None:
            return self._deliver([("text", text)] if text else [])
        pieces = self._splitter.feed(text)
        if self._splitter.is_settled:
            self._splitter = None
        return self._deliver(pieces)

    def _deliver(self, pieces: Iterable[Piece]) -> list[StreamEvent]:
        """Pieces as events. Nothing is looked for in the thoughts."""
        events: list[StreamEvent] = []
        for kind, text in pieces:
            if kind == "reasoning":
                events.append(ReasoningDelta(text))
            elif self._shaped is not None:
                events += self._cut(self._shaped.feed(text))
                self.is_stopped = self.is_stopped or self._shaped.is_ended
            else:
                events += self._cut([TextDelta(text)])
        return events

    def _cut(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        """Stop sequences end the answer where its text has them; a call's arguments may."""
        wanted = list(events)
        if self._cutter is not None:
            wanted = [each for event in wanted for each in self._let_through(event, self._cutter)]
            self.is_stopped = self.is_stopped or self._cutter.stopped
        self.has_calls = self.has_calls or any(isinstance(e, ToolCallDelta) for e in wanted)
        return wanted

    def _let_through(self, event: StreamEvent, cutter: StopFilter) -> list[StreamEvent]:
        if not isinstance(event, TextDelta):
            before = self._release()
            return before if cutter.stopped else [*before, event]
        text, _ = cutter.feed(event.text)
        return [TextDelta(text)] if text else []

    def _release(self) -> list[StreamEvent]:
        """What may have become a stop sequence and has not."""
        rest = "" if self._cutter is None else self._cutter.flush()
        return [TextDelta(rest)] if rest else []


def _plain(texts: Iterable[str]) -> list[StreamEvent]:
    return [TextDelta(text) for text in texts if text]


def finish_reason(
    usage: Usage | None, max_tokens: int | None, *, is_stopped: bool, has_calls: bool = False
) -> str:
    """Why an answer ended: `length` if it used up the tokens that it was allowed, else `stop`.

    The service does not say it (replicate-api.md 3.4), but the counts tell. An answer with calls
    ends as `tool_calls`, unless it may have been cut off in one.
    """
    is_bound = usage is not None and max_tokens is not None and usage.output_tokens >= max_tokens
    if is_bound and not is_stopped:
        return "length"
    return "tool_calls" if has_calls else "stop"


class CompletionBuilder:
    """Puts a whole answer together out of its events."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, list[ToolCallDelta]] = {}
        self._finished: Finished | None = None

    def add(self, event: StreamEvent) -> None:
        """Take the next event."""
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
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls so far; the last may be half a call."""
        return tuple(_to_call(pieces) for _, pieces in sorted(self._calls.items()))

    def completion(self) -> Completion:
        """The answer, after its last event.

        Raises:
            ValueError: The last event has not come.
        """
        if self._finished is None:
            raise ValueError("the answer has not finished")
        return Completion(
            text=self.text,
            reasoning="".join(self._reasoning),
            tool_calls=self.tool_calls,
            finish_reason=self._finished.reason,
            usage=self._finished.usage,
            prediction=self._finished.prediction,
        )


def _to_call(pieces: Sequence[ToolCallDelta]) -> ToolCall:
    name = pieces[0].name or ""
    text = "".join(piece.arguments for piece in pieces)
    return ToolCall(pieces[0].id or "", name, _arguments(text) if name else text)


def _arguments(text: str) -> Mapping[str, Any] | str:
    try:
        read = json.loads(text)
    except ValueError:
        return text
    return read if isinstance(read, dict) else text

"""The text of an answer, as it comes, to events; and events back to a whole answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from replicate_stream._chat.messages import (
    Completion,
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from replicate_stream._chat.reasoning import Piece, ReasoningSplitter
from replicate_stream._chat.stops import StopCutter
from replicate_stream._records import Usage


class Answer:
    """Reads one answer: its thoughts, its text, and where a stop sequence ends it.

    Attributes:
        is_stopped: Whether a stop sequence has come: nothing of the rest is wanted.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self.is_stopped = False
        self._splitter: ReasoningSplitter | None = ReasoningSplitter()
        self._cutter = StopCutter(stop) if stop else None

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
        if self.is_stopped:
            return []
        events = self._deliver(self._splitter.flush() if self._splitter is not None else [])
        rest = "" if self._cutter is None or self.is_stopped else self._cutter.flush()
        return [*events, TextDelta(rest)] if rest else events

    def _is_plain(self) -> bool:
        """Whether nothing has to be looked for any more."""
        return self._splitter is None and self._cutter is None

    def _read(self, text: str) -> list[StreamEvent]:
        if self._splitter is None:
            return self._deliver([("text", text)] if text else [])
        pieces = self._splitter.feed(text)
        if self._splitter.is_settled:
            self._splitter = None
        return self._deliver(pieces)

    def _deliver(self, pieces: Iterable[Piece]) -> list[StreamEvent]:
        """Pieces as events. Stop sequences are looked for in the answer, not in the thoughts."""
        events: list[StreamEvent] = []
        for kind, text in pieces:
            wanted = text
            if kind == "reasoning":
                events.append(ReasoningDelta(text))
                continue
            if self._cutter is not None:
                wanted, self.is_stopped = self._cutter.feed(text)
            if wanted:
                events.append(TextDelta(wanted))
        return events


def _plain(texts: Iterable[str]) -> list[StreamEvent]:
    return [TextDelta(text) for text in texts if text]


def finish_reason(usage: Usage | None, max_tokens: int | None, *, is_stopped: bool) -> str:
    """Why an answer ended: `length` if it used up the tokens that it was allowed, else `stop`.

    The service does not say it (replicate-api.md 3.4), but the counts tell.
    """
    if is_stopped or usage is None or max_tokens is None:
        return "stop"
    return "length" if usage.output_tokens >= max_tokens else "stop"


class Collector:
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

    def completion(self) -> Completion:
        """The answer, after its last event.

        Raises:
            ValueError: The last event has not come.
        """
        if self._finished is None:
            raise ValueError("the answer has not finished")
        return Completion(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(_to_call(pieces) for _, pieces in sorted(self._calls.items())),
            finish_reason=self._finished.reason,
            usage=self._finished.usage,
            prediction=self._finished.prediction,
        )


def _to_call(pieces: Sequence[ToolCallDelta]) -> ToolCall:
    first = pieces[0]
    return ToolCall(
        id=first.id or "",
        name=first.name or "",
        arguments=_arguments("".join(piece.arguments for piece in pieces)),
    )


def _arguments(text: str) -> Mapping[str, Any] | str:
    try:
        read = json.loads(text)
    except ValueError:
        return text
    return read if isinstance(read, dict) else text

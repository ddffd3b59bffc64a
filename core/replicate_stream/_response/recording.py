"""Record the events of an answer while it is parsed, for observers that capture content. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from replicate_stream._response.output import CompletionReader
from replicate_stream._response.parser import AnswerParser
from replicate_stream._types.messages import StreamEvent


class RecordingParser(AnswerParser):
    """Parses one answer by another parser, and keeps all events that this one returns.

    Args:
        parser: The parser.
        completion: What the parser's text comes from, and may be held back by.
        events: The list that the events are added to.
    """

    def __init__(
        self, parser: AnswerParser, completion: CompletionReader, events: list[StreamEvent]
    ) -> None:
        self._parser = parser
        self._completion = completion
        self._recorded = events
        self._is_flushed = False
        self._copy_state()

    def feed(self, chunks: Sequence[str]) -> Iterable[StreamEvent]:
        """Parse the next chunks of text; return the events that are certain."""
        return self._record(self._parser.feed(chunks))

    def flush(self, *, is_cut_off: bool = False) -> Iterable[StreamEvent]:
        """Return the events of the pending text, after the last chunk."""
        self._is_flushed = True
        return self._record(self._parser.flush(is_cut_off=is_cut_off))

    def flush_pending(self) -> None:
        """Record the events of an answer that was left or that failed, whose end never came."""
        if not self._is_flushed:
            self.feed(self._completion.flush())
            self.flush(is_cut_off=True)

    def _record(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        new = list(events)
        self._recorded += new
        self._copy_state()
        return new

    def _copy_state(self) -> None:
        parser = self._parser
        self.is_stopped, self.has_calls = parser.is_stopped, parser.has_calls
        self.missing = parser.missing

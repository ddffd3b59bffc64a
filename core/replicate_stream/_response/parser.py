"""Parse the text of an answer into events while it streams. Pure.

Each token passes through here, so text that cannot change its meaning any more takes the shortest
way: it becomes `TextDelta`s in one list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from replicate_stream._response.completion import merge_deltas
from replicate_stream._response.reasoning import (
    Piece,
    ReasoningSplitter,
    find_unopened_reasoning,
    is_channel,
    skip_reasoning,
)
from replicate_stream._response.stop import StopFilter
from replicate_stream._types.messages import ReasoningDelta, StreamEvent, TextDelta, ToolCallDelta
from replicate_stream._types.request import ExpectedAnswer, Missing

if TYPE_CHECKING:
    from replicate_stream._response.json_answer import JsonAnswerReader
    from replicate_stream._response.tool_calls import ToolCallReader
    from replicate_stream._types.tool_choice import ToolChoice

# First characters of text that continues a tool call: JSON, or a mark inside a mark.
_MARK = re.compile(r"<[^<>]*>|\[[A-Z_]+\]")
_new, _set_text = object.__new__, vars(TextDelta)["text"].__set__
_CALL_STARTS = tuple("{[\"'`<")


class AnswerParser:
    """Parses one answer: its reasoning, its text and tool calls, and where a stop sequence ends it.

    The events are the same for every chunking of the text, but for where deltas are split.

    Args:
        stop: The stop sequences.
        expected: The tools and the format of the request.
        new_id: Creates the id of a tool call.
        is_buffered: True if nothing has to be returned before `flush`.

    Attributes:
        is_stopped: True once the answer has ended early. The rest of the stream is not needed.
        has_calls: True once a tool call was returned.
        missing: After `flush`: `call` if one stands in reasoning that the prompt has opened and
            that nothing closes, `answer` if the model only announces one; else None.
    """

    def __init__(
        self,
        stop: Sequence[str],
        expected: ExpectedAnswer,
        new_id: Callable[[], str],
        *,
        is_buffered: bool = False,
    ) -> None:
        self.is_stopped = self.has_calls = False
        self.missing: Missing | None = None
        self._is_passthrough = False  # True once all further text is emitted unchanged
        marks = ()
        if expected.tools is not None and expected.reasoning_tag:
            from replicate_stream._response.tool_call_marks import get_marks

            marks = get_marks(expected.tool_formats).starts
        self._splitter: ReasoningSplitter | None = ReasoningSplitter(expected.reasoning_tag, marks)
        channel = expected.prefix if is_channel(expected.prefix) else ""
        self._stop = StopFilter(stop) if stop else None
        self._content: _ContentParser | None = None
        self._assumed: list[str] = []  # reasoning that nothing has shown to be any
        if expected.tools is not None or expected.response_format is not None:
            in_text = replace(expected, prefix="") if channel else expected
            self._content = _ContentParser(in_text, new_id, is_buffered=is_buffered)
        if channel:
            self._to_events(self._splitter.feed(channel))  # a mark alone has no events

    def feed(self, chunks: Sequence[str]) -> Iterable[StreamEvent]:
        """Parse the next chunks of text; return the events that are certain."""
        events: list[StreamEvent] = []
        rest: Iterable[str] = chunks
        if not self._is_passthrough:
            rest = iter(chunks)
            for chunk in rest:
                events += self._parse(chunk)
                if self.is_stopped:
                    return events
                if self._is_passthrough:
                    break
        # All at once: a batch may hold thousands of chunks. A constructor costs 450 instructions.
        for chunk in rest:
            if chunk:
                delta = _new(TextDelta)
                _set_text(delta, chunk)
                events.append(delta)
        return events

    def flush(self, *, is_cut_off: bool = False) -> Iterable[StreamEvent]:
        """Return the events of the pending text, after the last chunk.

        Reasoning that the prompt has opened and that nothing closes is the text of the answer: the
        model, or its server, has left the reasoning out. A stream has delivered it as reasoning by
        then, and delivers it as text too. No call in it is made, because it may be a draft.

        Args:
            is_cut_off: True if the answer reached its limit, so that reasoning may lack its end.
        """
        events: list[StreamEvent] = []
        splitter = self._splitter
        if not self.is_stopped and splitter is not None:
            events += self._to_events(splitter.flush())
        if self._content is not None:
            events += self._apply_stop(self._content.flush())
            self.missing = "answer" if self._content.announces_answer else None
        if splitter is not None and splitter.is_assumed and not is_cut_off:
            events += self._read_assumed("".join(self._assumed))
        return [*events, *self._flush_stop()]

    def _read_assumed(self, text: str) -> list[StreamEvent]:
        """Return the events of a text that was taken for reasoning, and that nothing has closed."""
        if self._content is not None and self._content.has_calls(text):
            self.missing = "call"
            return []
        return self._apply_stop(_wrap(text))

    def _parse(self, chunk: str) -> list[StreamEvent]:
        if self._splitter is None:
            return self._to_events([("text", chunk)] if chunk else [])
        pieces = self._splitter.feed(chunk)
        self.is_stopped = self.is_stopped or self._splitter.is_over
        if self._splitter.is_done:
            self._splitter = None
            self._is_passthrough = self._stop is None and self._content is None
        return self._to_events(pieces)

    def _to_events(self, pieces: Iterable[Piece]) -> list[StreamEvent]:
        """Convert pieces to events. Tool calls and stop sequences in reasoning do not count."""
        events: list[StreamEvent] = []
        for kind, text in pieces:
            if kind == "reasoning":
                events.append(ReasoningDelta(text))
                if self._splitter is not None and self._splitter.is_assumed:
                    self._assumed.append(text)
            elif self._content is not None:
                events += self._apply_stop(self._content.feed(text))
                self.is_stopped = self.is_stopped or self._content.is_stopped
            else:
                events += self._apply_stop([TextDelta(text)])
        return events

    def _apply_stop(self, events: list[StreamEvent]) -> list[StreamEvent]:
        """Drop what follows a stop sequence in the text; tool arguments may contain one."""
        stop = self._stop
        if stop is not None:
            events = [each for event in events for each in self._filter_event(event, stop)]
            self.is_stopped = self.is_stopped or stop.is_stopped
        self.has_calls = self.has_calls or any(isinstance(e, ToolCallDelta) for e in events)
        return events

    def _filter_event(self, event: StreamEvent, stop: StopFilter) -> list[StreamEvent]:
        if isinstance(event, TextDelta):
            return _wrap(stop.feed(event.text))
        # No stop sequence reaches across a call, so the text before it is not pending any more.
        before = self._flush_stop()
        return before if stop.is_stopped else [*before, event]

    def _flush_stop(self) -> list[StreamEvent]:
        return [] if self._stop is None else _wrap(self._stop.flush())


class MergingAnswerParser(AnswerParser):
    """Parses one answer, and returns the events of each call in as few pieces as there can be."""

    def feed(self, chunks: Sequence[str]) -> Sequence[StreamEvent]:
        """Parse the next chunks of text as one, because each chunk has its cost."""
        return merge_deltas(super().feed(("".join(chunks),)))

    def flush(self, *, is_cut_off: bool = False) -> Sequence[StreamEvent]:
        """Return the events of the pending text, after the last chunk."""
        return merge_deltas(super().flush(is_cut_off=is_cut_off))


class BufferedAnswerParser(AnswerParser):
    """Parses one answer whose events are needed at its end only, and so knows more of it.

    Args:
        stop: As for `AnswerParser`, like all others.
        expected: As for `AnswerParser`.
        new_id: As for `AnswerParser`.
    """

    def __init__(
        self, stop: Sequence[str], expected: ExpectedAnswer, new_id: Callable[[], str]
    ) -> None:
        super().__init__(stop, expected, new_id, is_buffered=True)
        self._arguments = stop, expected, new_id
        self._chunks: list[str] = []
        self._events: list[StreamEvent] = []

    def feed(self, chunks: Sequence[str]) -> Iterable[StreamEvent]:
        """Parse the next chunks of text; return nothing."""
        if chunks:
            self._chunks += chunks
            self._events += super().feed(("".join(chunks),))  # as one, because each has its cost
        return ()

    def flush(self, *, is_cut_off: bool = False) -> Iterable[StreamEvent]:
        """Return all events, after the last chunk."""
        stop, expected, new_id = self._arguments
        tag = find_unopened_reasoning("".join(self._chunks))
        if not tag or expected.reasoning_tag:
            events = [*self._events, *super().flush(is_cut_off=is_cut_off)]
            if self._splitter is not None and self._splitter.is_assumed:
                # As text alone, if it turned out to be that.
                return [e for e in events if not isinstance(e, ReasoningDelta)] or events
            return events
        parser = AnswerParser(stop, replace(expected, reasoning_tag=tag), new_id, is_buffered=True)
        events = [*parser.feed(self._chunks), *parser.flush()]
        self.is_stopped, self.has_calls = parser.is_stopped, parser.has_calls
        self.missing = parser.missing
        return events


class _ContentParser:
    """Parses the content of an answer that may hold tool calls or must be JSON.

    Text is emitted at once, unless a tool must be called: then it waits for the call, because an
    answer without one is rejected, and can be repaired only while nothing was emitted.

    Args:
        expected: The tools and the format of the request.
        new_id: Creates the id of a tool call.
        is_buffered: As for `AnswerParser`.

    Attributes:
        is_stopped: True once the rest of the answer is not needed.
    """

    def __init__(
        self, expected: ExpectedAnswer, new_id: Callable[[], str], *, is_buffered: bool
    ) -> None:
        tools, response_format = expected.tools, expected.response_format
        self.is_stopped = False
        self._tools = tools
        self._new_id = new_id
        self._prefix = skip_reasoning(expected.prefix)
        # Text that repeats the prefix begins with one of its marks, or with the prefix if it is
        # bare JSON. Behind a mark that a name follows, the answer begins with the name.
        self._marks = tuple(_MARK.findall(self._prefix)) or (self._prefix.strip(),)
        names = () if tools is None or "{" in self._prefix else tools.names
        self._names = (*names, *(f"functions.{name}" for name in names))
        self._start: str | None = "" if expected.prefix else None  # None: the start is parsed
        self._blanks: list[str] = []  # before the start; a string would be copied for each token
        self._pending: list[StreamEvent] | None = None  # None: events do not wait for a call
        self._call_reader: ToolCallReader | None = None
        self._json_reader: JsonAnswerReader | None = None
        # Each reader is imported only for the requests that need it.
        if response_format is not None:
            from replicate_stream._response.json_answer import JsonAnswerReader

            self._json_reader = JsonAnswerReader(response_format, is_buffered=is_buffered)
        if tools is not None:
            from replicate_stream._response.tool_calls import ToolCallReader

            self._pending = [] if tools.is_forced else None
            self._call_reader = ToolCallReader(
                tools.schemas, new_id, expected.tool_formats, is_single=tools.is_single
            )

    def feed(self, text: str) -> list[StreamEvent]:
        """Parse more text; return the events that are certain."""
        if self._start is None:
            return self._parse(text)
        body = text if self._start else text.lstrip()
        self._blanks.append(text[: len(text) - len(body)])
        self._start += body
        may_grow = any(each.startswith(self._start) for each in (*self._marks, *self._names))
        return [] if may_grow else self._parse_start()

    def flush(self) -> list[StreamEvent]:
        """Return the events of the pending text, after the last text."""
        events = self._parse_start() if self._start or any(self._blanks) else []
        if self._call_reader is not None and not self.is_stopped:
            events += self._filter(self._call_reader.flush())
        if self._json_reader is not None:
            events += _wrap(self._json_reader.flush())
        pending, self._pending = [*(self._pending or []), *events], None
        if self._tools is not None and self._tools.choice == "named" and not self.is_stopped:
            return self._read_arguments(self._tools, pending)
        return pending

    def _read_arguments(self, tools: ToolChoice, events: list[StreamEvent]) -> list[StreamEvent]:
        """Take an answer for the arguments of the call that it had to be, if they are all of it."""
        if not all(isinstance(event, TextDelta) for event in events):
            return events
        from replicate_stream._response.bare_arguments import find_arguments

        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        arguments = find_arguments(text, tools)
        if arguments is None:
            return events
        return [ToolCallDelta(0, self._new_id(), tools.name, arguments)]

    @property
    def announces_answer(self) -> bool:
        """True if a call stood for an answer in words."""
        return self._call_reader is not None and self._call_reader.announces_answer

    def has_calls(self, text: str) -> bool:
        """Return True if a text has calls of tools. To be called after `flush`, at the very end."""
        reader = self._call_reader
        events = () if reader is None else (*reader.feed(text), *reader.flush())
        return any(isinstance(event, ToolCallDelta) for event in events)

    def _parse_start(self) -> list[StreamEvent]:
        """Parse the start, after the prefix that the prompt ends with.

        The model may also ignore the prefix: it repeats its mark, or begins with words.
        """
        first, self._start = self._start or "", None
        blanks, self._blanks = "".join(self._blanks), []
        start = blanks + first
        is_call = first.startswith((*_CALL_STARTS, *self._names))
        if first.startswith(self._marks) or (first and not is_call):
            return self._parse(start)
        if self._call_reader is not None:
            self._call_reader.has_prefix = "{" in self._prefix
        return self._parse(self._prefix + start)

    def _parse(self, text: str) -> list[StreamEvent]:
        if self._call_reader is None:
            return self._filter([TextDelta(text)])
        events = self._filter(self._call_reader.feed(text))
        self.is_stopped = self.is_stopped or self._call_reader.is_stopped
        return events

    def _filter(self, parsed: Iterable[StreamEvent]) -> list[StreamEvent]:
        """Reduce text to its JSON, and keep events that have to wait for a call."""
        events: list[StreamEvent] = []
        for event in parsed:
            if isinstance(event, TextDelta):
                events += self._filter_text(event)
            elif isinstance(event, ToolCallDelta) and event.name is not None:
                events = self._start_call(event, events)
            else:
                events.append(event)
            if self.is_stopped:
                break
        if self._pending is None:
            return events
        self._pending += events
        return []

    def _filter_text(self, event: TextDelta) -> list[StreamEvent]:
        if self._json_reader is None:
            return [event]
        text = self._json_reader.feed(event.text)
        self.is_stopped = self.is_stopped or self._json_reader.is_stopped
        return _wrap(text)

    def _start_call(self, event: ToolCallDelta, before: list[StreamEvent]) -> list[StreamEvent]:
        """Release the pending events before a call, unless it calls another tool than it must."""
        required = None if self._tools is None or self._pending is None else self._tools.name
        if required not in {None, event.name}:
            self.is_stopped = True
            return [*before, event]
        pending, self._pending = self._pending or [], None
        words = "" if self._json_reader is None else self._json_reader.flush()
        return [*pending, *before, *_wrap(words), event]


def _wrap(text: str) -> list[StreamEvent]:
    return [TextDelta(text)] if text else []

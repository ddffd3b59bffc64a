"""An answer that may hold calls, or must have a form: what is delivered of it.

Text goes on at once, unless it can turn out to be what was not asked for: where a call is required,
it waits for the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from replicate_stream._response.json_answer import JsonAnswerReader
from replicate_stream._response.tool_calls import ToolReader
from replicate_stream._types.messages import StreamEvent, TextDelta, ToolCallDelta
from replicate_stream._types.prepared import ExpectedAnswer

_GOES_ON = frozenset("{[\"'`<")  # what a call can go on with: JSON, or another mark


class Shaped:
    """Reads the text of one answer.

    Args:
        reading: What the answer may hold, and what it must be.
        new_id: Makes the id of a call.

    Attributes:
        is_ended: Whether nothing of the rest is wanted.
    """

    def __init__(self, reading: ExpectedAnswer, new_id: Callable[[], str]) -> None:
        tools, form = reading.tools, reading.form
        self._use = tools
        self._tools: ToolReader | None = None
        self._form = JsonAnswerReader(form.beginnings) if form is not None else None
        self._waiting: list[StreamEvent] | None = None
        self._prefix = reading.prefix
        self._mark = reading.prefix.split("{")[0].strip() or reading.prefix
        self._beginning: str | None = "" if reading.prefix else None
        self.is_ended = False
        if tools is not None:
            self._tools = ToolReader(
                tools.names, new_id, is_bare=reading.is_bare, is_single=tools.is_single
            )
            self._waiting = [] if tools.is_forced else None

    def feed(self, text: str) -> list[StreamEvent]:
        """Take more text; gives what is certain by now."""
        if self._beginning is None:
            return self._read(text)
        self._beginning += text
        begun = self._beginning.lstrip()
        return [] if self._mark.startswith(begun) else self._begin()

    def flush(self) -> list[StreamEvent]:
        """Say that the text has ended; gives what was held back."""
        events = self._begin() if self._beginning else []
        if self._tools is not None and not self.is_ended:
            events += self._shape(self._tools.flush())
        if self._form is not None:
            events += _text(self._form.flush())
        waiting, self._waiting = self._waiting or [], None
        return [*waiting, *events]

    def _begin(self) -> list[StreamEvent]:
        """The beginning that the prompt has given, unless the model begins anew, or with words."""
        beginning, self._beginning = self._beginning or "", None
        begun = beginning.lstrip()
        is_anew = begun.startswith(self._mark) or (begun and begun[0] not in _GOES_ON)
        if is_anew:
            return self._read(beginning)
        if self._tools is not None:
            self._tools.is_begun = "{" in self._prefix
        return self._read(self._prefix + beginning)

    def _read(self, text: str) -> list[StreamEvent]:
        if self._tools is None:
            return self._shape([TextDelta(text)])
        events = self._shape(self._tools.feed(text))
        self.is_ended = self.is_ended or self._tools.is_ended
        return events

    def _shape(self, read: Iterable[StreamEvent]) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        for event in read:
            if isinstance(event, TextDelta):
                events += self._say(event)
            elif isinstance(event, ToolCallDelta) and event.name is not None:
                events = self._call(event, events)
            else:
                events.append(event)
            if self.is_ended:
                break
        if self._waiting is None:
            return events
        self._waiting += events
        return []

    def _say(self, event: TextDelta) -> list[StreamEvent]:
        if self._form is None:
            return [event]
        said = self._form.feed(event.text)
        self.is_ended = self.is_ended or self._form.is_ended
        return _text(said)

    def _call(self, event: ToolCallDelta, before: list[StreamEvent]) -> list[StreamEvent]:
        """A call begins: nothing that was said has to wait for it any more."""
        named = self._use.name if self._use is not None and self._waiting is not None else None
        if named is not None and event.name != named:
            self.is_ended = True
            return [*before, event]
        waiting, self._waiting = self._waiting or [], None
        words = _text(self._form.flush()) if self._form is not None else []
        return [*waiting, *before, *words, event]


def _text(text: str) -> list[StreamEvent]:
    return [TextDelta(text)] if text else []

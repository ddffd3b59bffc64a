"""Bytes of an event stream to events, without I/O (WHATWG HTML, "Server-sent events").

A token may hold newlines, U+2028, or half a character at the end of a read, so bytes are cut at LF,
CRLF and CR only, and decoded a whole line at a time. Replicate's stream server writes every event
in one form; a regular expression takes those, and a line-by-line machine takes everything else,
with the same events for the same bytes.
"""

from __future__ import annotations

import re
from typing import TypeAlias

MAX_EVENT_BYTES = 16 * 1024 * 1024

# One event as Nchan writes it: event, id, data, where each line of a text has its own `data: `.
_USUAL = re.compile(
    r"event: ([^\n]+)\nid: ([^\n\0]+)\ndata: ([^\n]*(?:\ndata: [^\n]*)*)\n\n",
)
# The same by itself and with one line of text, as tokens come from a model that is thinking.
_USUAL_TOKEN = re.compile(r"event: (.+)\nid: ([^\n\0]+)\ndata: (.*)\n\n")
_USUAL_FRAME = len("event: \nid: \ndata: \n\n")
_BOM = b"\xef\xbb\xbf"


Event: TypeAlias = "tuple[str, str | None, str]"
"""An event: its name (`message` if the stream did not name it), the id that it carried itself (None
if it had none), and its data, lines joined with LF. Plain tuples: a class costs a third more."""


class EventTooLargeError(ValueError):
    """An unfinished event is longer than the bound."""


class Decoder:
    """Feeds on bytes in any portions and gives the events that they complete.

    What stands unfinished when the bytes end is no event.

    Attributes:
        last_event_id: The last non-empty id, for the `Last-Event-ID` of a reconnect; None at first.
        last_comment: The last comment's text; None at first. Replicate says `408: …` in one.
        retry: The reconnection time that the server asked for, in milliseconds; None at first.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.last_event_id: str | None = None
        self.last_comment: str | None = None
        self.retry: int | None = None
        self._max = max_event_bytes
        self._at_start = True  # a BOM may still come
        self._after_cr = False  # an LF at the start of the next portion belongs to that CR
        self._unfinished: list[bytes] = []  # portions of a line whose end has not come
        self._size = 0  # bytes of the unfinished event
        self._event = ""
        self._id: str | None = None
        self._data: list[str] = []
        self._in_event = False
        self._clean = False  # nothing is pending: a portion can be read by itself

    def feed(self, portion: bytes) -> list[Event]:
        """Take the next bytes and return the events that they complete, in order.

        Raises:
            EventTooLargeError: More bytes without an event's end than the bound.
        """
        if self._clean and portion[-2:] == b"\n\n" and b"\r" not in portion:
            events = _read_usual(portion.decode("utf-8", "replace"))
            if events is not None:
                self.last_event_id = events[-1][1]
                return events
        return self._feed_anything(portion)

    def _feed_anything(self, portion: bytes) -> list[Event]:
        self._clean = False
        if self._at_start and not (portion := self._without_bom(portion)):
            return []
        if self._after_cr and portion:
            self._after_cr = False
            portion = portion[1:] if portion[:1] == b"\n" else portion
        end = max(portion.rfind(b"\n"), portion.rfind(b"\r")) + 1
        self._size += len(portion)
        self._unfinished.append(portion[:end] if end else portion)
        events: list[Event] = []
        if end:
            text = b"".join(self._unfinished).decode("utf-8", "replace")
            self._unfinished = [portion[end:]] if end < len(portion) else []
            self._after_cr = end == len(portion) and text[-1] == "\r"
            self._read(text, events)
            if not self._in_event:
                self._size = len(portion) - end
        if self._size > self._max:
            raise EventTooLargeError(f"an event of the stream is longer than {self._max} bytes")
        self._clean = not (self._in_event or self._unfinished or self._after_cr)
        return events

    def _without_bom(self, portion: bytes) -> bytes:
        start = b"".join(self._unfinished) + portion
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._unfinished = [start]
            return b""
        self._at_start = False
        self._unfinished = []
        return start.removeprefix(_BOM)

    def _read(self, text: str, events: list[Event]) -> None:
        """Read whole lines: the usual events at once, what comes before them line by line."""
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        pos, is_usual = 0, True
        while pos < len(text):
            if is_usual and not self._in_event and text.startswith("event: ", pos):
                end = text.rfind("\n\n", pos) + 2
                usual = _read_usual(text[pos:end]) if end > pos else None
                if usual is not None:
                    events += usual
                    self.last_event_id = usual[-1][1]
                    pos = end
                    continue
                is_usual = False  # tried once, lest every event be looked at again and again
            pos = self._read_event(text, pos, events)

    def _read_event(self, text: str, pos: int, events: list[Event]) -> int:
        """Read lines up to the next blank one, or to the end; return how far it went."""
        while pos < len(text):
            end = text.index("\n", pos)
            line = text[pos:end]
            pos = end + 1
            if not line:
                self._dispatch(events)
                break
            self._field(line)
        return pos

    def _field(self, line: str) -> None:
        self._in_event = True
        name, _, value = line.partition(":")
        if value[:1] == " ":
            value = value[1:]
        if not name:
            self.last_comment = line[1:]
        elif name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)

    def _dispatch(self, events: list[Event]) -> None:
        if self._id:
            self.last_event_id = self._id
        if self._data:  # an empty `data:` line is an empty token; without one it is no event
            name, data = self._event or "message", "\n".join(self._data)
            events.append((name, self._id, data))
        self._event, self._id, self._data, self._in_event = "", None, [], False


def _read_usual(text: str) -> list[Event] | None:
    """All of a text as usual events, or None if any of it has another form."""
    token = _USUAL_TOKEN.fullmatch(text)
    if token is not None:
        name, event_id, data = token.groups()
        return [(name, event_id, data)]
    events: list[Event] = _USUAL.findall(text)
    if not events:
        return None
    names, ids, texts = zip(*events, strict=True)
    framing = len(events) * _USUAL_FRAME
    # Matches do not overlap, so they cover the text exactly if their lengths add up to its own.
    if framing + sum(map(len, names)) + sum(map(len, ids)) + sum(map(len, texts)) != len(text):
        return None
    if text.count("\ndata: ") == len(events):
        return events
    return [(name, event_id, data.replace("\ndata: ", "\n")) for name, event_id, data in events]

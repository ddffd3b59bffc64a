"""A decoder of event streams without I/O: bytes to events (WHATWG HTML, "Server-sent events").

A token may hold newlines, U+2028, or half a character at the end of a read, so text is split at
LF, CRLF and CR only, and decoded incrementally. Replicate's stream server writes every event in
one form (docs/replicate-api.md 3.3); regular expressions parse those, and a line-by-line parser
everything else, with the same events for the same bytes.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from itertools import chain, repeat
from typing import TypeAlias

MAX_EVENT_BYTES = 16 * 1024 * 1024
# Looked up here: the look-up imports a module, and a fork in the middle of an import is a deadlock.
_Utf8Decoder = codecs.getincrementaldecoder("utf-8-sig")

# The start of an output event as Nchan writes it, and the end of the event before. Splitting at it
# costs a third of matching events, 0.13 instead of 0.41 us per token: nearly all events are these.
# Dots, because sets of characters cost more.
_OUTPUT_START = re.compile("\n\nevent: output\nid: (.+)\ndata: ")
# A single output event with one line of text: a chunk has just one token if the model is slow.
# That costs a third of what splitting does.
_SINGLE_OUTPUT = re.compile("event: output\nid: (.+\n)data: (.*)\n\n")
# Any events as Nchan writes them: event, id, data, and a `data: ` for each line of the text.
# They begin at a line's start: a line that holds `event: ` many times takes quadratic time if not.
_NCHAN_EVENTS = re.compile(
    r"^event: ([^\n]+)\nid: ([^\n\0]+)\ndata: ([^\n]*(?:\ndata: [^\n]*)*)\n\n", re.MULTILINE
)
_NCHAN_FRAME_LENGTH = len("event: \nid: \ndata: \n\n")


Event: TypeAlias = "tuple[str, str | None, str]"
"""Name (`message` by default), own id (None without one), and data, whose lines are joined with LF.

A plain tuple, because a class costs a third more for each token.
"""


Events: TypeAlias = "tuple[str, list[str], Sequence[Event]]"
"""Ids and texts of the first events, all of them named `output`; and the events behind those.

In columns, because a tuple for each token would cost as much as its decoding; and each id as a line
of one text, because a single id then need not become a list, and that a line again (1,000
instructions a token).
"""


class EventTooLargeError(ValueError):
    """An incomplete event is larger than the limit."""


class Decoder:
    """Decodes bytes, in chunks of any size, into events.

    An event that is incomplete at the end of the bytes is dropped, as the standard demands.

    Args:
        last_event_id: The last id of the connection before.
        max_event_bytes: The largest event, so that a server cannot fill the memory. A character
            counts as one byte.

    Attributes:
        last_comment: The text of the last comment; None at first. Replicate sends its idle
            time-out, `408: …`, in one (docs/replicate-api.md 3.6).
    """

    def __init__(
        self, *, last_event_id: str | None = None, max_event_bytes: int = MAX_EVENT_BYTES
    ) -> None:
        self._last_ids = last_event_id or ""  # lines, of which the last one counts
        self.last_comment: str | None = None
        self._max_event_bytes = max_event_bytes
        # Drops a BOM at the start, and keeps the bytes of half a character.
        self._decoder = _Utf8Decoder("replace")
        self._is_after_cr = False  # an LF at the start of the next chunk belongs to that CR
        self._pending: list[str] = []  # pieces of a line whose end has not come
        self._pending_size = 0
        self._size = 0  # of the incomplete event's lines
        self._event_name = ""
        self._id: str | None = None
        self._data: list[str] = []
        self._is_in_event = False
        self._is_clean = False  # nothing is pending: the next chunk can be decoded by itself

    @property
    def last_event_id(self) -> str | None:
        """The last non-empty id, for the `Last-Event-ID` of a reconnect."""
        return self._last_ids.rstrip("\n").rpartition("\n")[2] or None

    def feed(self, chunk: bytes) -> Events:
        """Decode the next bytes, and return the events that they complete.

        Raises:
            EventTooLargeError: An incomplete event is larger than `max_event_bytes`.
        """
        if not self._is_clean:
            return self._feed_lines(chunk)
        try:
            text = chunk.decode()
        except UnicodeDecodeError:
            return self._feed_lines(chunk)
        single = _SINGLE_OUTPUT.fullmatch(text)
        if single is not None and "\r" not in text and "\0" not in text:
            self._last_ids, data = single.groups()
            return self._last_ids, [data], ()
        if text[-2:] == "\n\n" and "\r" not in text:
            events = self._parse_nchan_events(text)
            if events is not None:
                return events
        return self._feed_lines(chunk)

    def _feed_lines(self, chunk: bytes) -> Events:
        text = self._decoder.decode(chunk)
        if self._is_after_cr and text:
            self._is_after_cr = False
            text = text.removeprefix("\n")
        end = max(text.rfind("\n"), text.rfind("\r")) + 1
        rest = text[end:]
        self._pending.append(text[:end] or rest)
        self._pending_size = len(rest) if end else self._pending_size + len(rest)
        events: Events = ("", [], ())
        if end:
            lines = "".join(self._pending)
            self._pending = [rest] if rest else []
            self._is_after_cr = not rest and lines[-1] == "\r"
            events = self._parse(lines)
        if self._size + self._pending_size > self._max_event_bytes:
            raise EventTooLargeError(
                f"an event of the stream is larger than {self._max_event_bytes} bytes"
            )
        is_between_events = not (self._is_in_event or self._pending or self._is_after_cr)
        self._is_clean = is_between_events and not self._decoder.getstate()[0]
        return events

    def _parse(self, text: str) -> Events:
        """Parse whole lines: Nchan's events at once, and what comes before them line by line."""
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        events: list[Event] = []  # those parsed line by line
        pos, may_be_nchan = 0, True
        while pos < len(text):
            if may_be_nchan and not self._is_in_event and text.startswith("event: ", pos):
                end = text.rfind("\n\n", pos) + 2
                parsed = self._parse_nchan_events(text[pos:end]) if end > pos else None
                if parsed is not None:
                    self._parse_event(text, end, events)  # the lines of an event without its end
                    return ("", [], [*events, *list_events(parsed)]) if events else parsed
                may_be_nchan = False  # tried once: trying at every event would take quadratic time
            pos = self._parse_event(text, pos, events)
        return "", [], events

    def _parse_nchan_events(self, text: str) -> Events | None:
        """Parse a text of Nchan's events only; return None if any part has another form."""
        events = _split_output_events(text)
        if events is None:
            matched = _match_events(text)
            events = None if matched is None else ("", [], matched)
        if events is not None:
            ids, _, others = events
            last_id = others[-1][1] if others else None
            self._last_ids = last_id or ids
        return events

    def _parse_event(self, text: str, pos: int, events: list[Event]) -> int:
        """Parse lines up to the next blank one, or to the end; return the position after them."""
        while pos < len(text):
            end = text.index("\n", pos)
            line = text[pos:end]
            pos = end + 1
            if not line:
                self._dispatch(events)
                break
            self._parse_field(line)
        return pos

    def _parse_field(self, line: str) -> None:
        self._is_in_event = True
        self._size += len(line) + 1
        name, _, value = line.partition(":")
        if value[:1] == " ":
            value = value[1:]
        if not name:
            self.last_comment = line[1:]
        elif name == "data":
            self._data.append(value)
        elif name == "event":
            self._event_name = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _dispatch(self, events: list[Event]) -> None:
        if self._id:
            self._last_ids = self._id
        # An empty `data:` line is an empty token; a block without one (a comment) is no token.
        if self._data:
            name, data = self._event_name or "message", "\n".join(self._data)
            events.append((name, self._id, data))
        self._event_name, self._id, self._data, self._is_in_event = "", None, [], False
        self._size = 0


def list_events(events: Events) -> list[Event]:
    """Return events one after another."""
    ids, texts, others = events
    return [*zip(repeat("output"), ids.split("\n"), texts), *others]


def _split_output_events(text: str) -> Events | None:
    """Split a text that begins with output events; return None if any part has another form."""
    before, *pieces = _OUTPUT_START.split(f"\n\n{text[:-2]}")
    if before or not pieces:
        return None
    pieces[-1], has_others, rest = pieces[-1].partition("\n\n")
    others = _match_events(f"{rest}\n\n") if has_others else []
    ids, texts = "\n".join([*pieces[::2], ""]), pieces[1::2]
    if "\0" in ids:  # the standard ignores such an id
        return None
    whole = "|".join(texts)  # no line reaches from one text into the next
    # Any line that is not one more of the text belongs to another event, or has another form.
    if others is None or whole.count("\n") != whole.count("\ndata: "):
        return None
    if "\n" in whole:
        texts = [text.replace("\ndata: ", "\n") for text in texts]
    return ids, texts, others


def _match_events(text: str) -> Sequence[Event] | None:
    """Match Nchan's events of any name; return None if any part has another form."""
    events: list[tuple[str, str, str]] = _NCHAN_EVENTS.findall(text)
    if not events:
        return None
    framing = len(events) * _NCHAN_FRAME_LENGTH
    # Matches do not overlap, so they cover the whole text if their lengths add up to its length.
    if framing + len("".join(chain.from_iterable(events))) != len(text):
        return None
    if text.count("\ndata: ") == len(events):
        return events
    return [(name, event_id, data.replace("\ndata: ", "\n")) for name, event_id, data in events]

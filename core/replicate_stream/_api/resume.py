"""What a stream has brought so far, so that after a break nothing is lost and nothing comes twice.

Kept small, because there is one for every stream: ids and text go into buffers, and are only taken
apart when a connection was in fact lost.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from replicate_stream._api.sse import Event


class Ending(NamedTuple):
    """How a stream ended: the data of `done`, and of the `error` event if there was one."""

    data: str
    error: str | None = None


_ERROR = '{"reason": "error"}'  # what `done` says after an `error` event, if anybody waits for it


class DeliveredText:
    """The delivered text and the ids of its events.

    Attributes:
        last_event_id: Where to take the stream up again.
        events: How many events came.
        connections: How many connections there were.
    """

    def __init__(self) -> None:
        self.last_event_id: str | None = None
        self.events = 0
        self.connections = 0
        self._ids = io.StringIO()
        self._text = io.StringIO()
        self._seen: set[str] | None = None
        self._to_skip = ""  # text without ids that a replay will bring once more

    @property
    def length(self) -> int:
        """How many characters were delivered."""
        return self._text.tell()

    def reconnect(self) -> None:
        """A new connection: what it repeats is known by its ids, or else by its text."""
        self.connections += 1
        if self.events:
            self._seen = set(self._ids.getvalue().split("\n"))
            self._to_skip = "" if self.last_event_id else self._text.getvalue()

    def take(self, events: Sequence[Event]) -> tuple[list[str], Ending | None]:
        """Sort events into the new pieces of text and, if it came, the end."""
        new = events if self._seen is None else self._unseen(events, self._seen)
        texts: list[str] = []
        ending: Ending | None = None
        note = self._ids.write
        for name, event_id, data in new:
            if event_id:
                note(event_id + "\n")
            if name == "output":
                texts.append(data)
            elif name == "done" or name == "error":
                ending = Ending(data) if name == "done" else Ending(_ERROR, data)
                break
        self.events += len(new)
        if self._to_skip:
            texts = self._unskipped("".join(texts))
        self._text.writelines(texts)
        return texts, ending

    def add(self, text: str) -> None:
        """Note text that is being delivered."""
        self._text.write(text)

    def rest_of(self, whole: str) -> str | None:
        """What a text has beyond the delivered one; None if it does not begin with it."""
        delivered = self._text.getvalue()
        return whole[len(delivered) :] if whole.startswith(delivered) else None

    def _unseen(self, events: Iterable[Event], seen: set[str]) -> list[Event]:
        new = [event for event in events if event[1] is None or event[1] not in seen]
        seen.update(event_id for _, event_id, _ in new if event_id is not None)
        return new

    def _unskipped(self, text: str) -> list[str]:
        skip = self._to_skip
        if skip.startswith(text):
            self._to_skip = skip[len(text) :]
            return []
        self._to_skip = ""
        # If this is no replay, the record will tell whether something is missing.
        rest = text.removeprefix(skip)
        return [rest] if rest else []

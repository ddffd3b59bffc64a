"""The stream half's memory: events as Nchan frames, numbers and replays them.

A carriage return goes through raw, a line feed starts a further `data:` line (replicate-api.md
3.3); ids count within the second (3.5).
"""

from __future__ import annotations

import bisect
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

EventId: TypeAlias = "tuple[int, int]"
Subscriber: TypeAlias = Callable[[bytes], None]

_ID = re.compile(r"(\d+):(\d+)")

HI = b": hi\n\n"
TIMEOUT = b":408: 408 Request Timeout\n\n"


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a stream beside the model's text, e.g. `Event("logs", "loading weights")`."""

    name: str
    data: str


class EventLog:
    """The events of one stream, and who listens to it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Start a log.

        Args:
            clock: Gives the unix time that ids are made of.
        """
        self._clock = clock
        self._ids: list[EventId] = []
        self._frames: list[bytes] = []
        self._subscribers: list[Subscriber] = []

    def publish(self, event: Event) -> None:
        """Keep an event and send it to everybody who listens."""
        second = int(self._clock())
        last = self._ids[-1] if self._ids else (0, 0)
        event_id = (last[0], last[1] + 1) if last[0] >= second else (second, 0)
        frame = encode(event, event_id)
        self._ids.append(event_id)
        self._frames.append(frame)
        for subscriber in tuple(self._subscribers):
            subscriber(frame)

    def after(self, event_id: EventId | None) -> bytes:
        """All events after an id, which need not exist; the whole log if it is None."""
        start = 0 if event_id is None else bisect.bisect_right(self._ids, event_id)
        return b"".join(self._frames[start:])

    def oldest(self) -> bytes | None:
        """The first event, None if there is none."""
        return self._frames[0] if self._frames else None

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Send further events to a subscriber.

        Returns:
            A function that ends this. Calling it again does nothing.
        """
        self._subscribers.append(subscriber)

        def stop() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return stop


def encode(event: Event, event_id: EventId) -> bytes:
    """An event as it goes over the wire: `event`, `id`, then a `data` line for each line."""
    data = event.data.replace("\n", "\ndata: ")
    return f"event: {event.name}\nid: {event_id[0]}:{event_id[1]}\ndata: {data}\n\n".encode()


def parse_event_id(text: str) -> EventId | None:
    """Read an id of the form `seconds:n`; None for any other text, which Nchan passes over."""
    match = _ID.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None

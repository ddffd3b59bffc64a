"""Event streams as nginx with Nchan serves them: frames, ids, replay, and the idle timer.

Three oddities of the service are kept on purpose. A carriage return in a token is sent raw, while
a line feed starts a further `data:` line (docs/replicate-api.md 3.3). Ids count within the second
(3.5). The connection stays open after `done`: only the idle timer ends it, with a comment `408`,
and the timer also runs while the model boots (3.6).
"""

from __future__ import annotations

import asyncio
import bisect
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from replicate_stream.testing.server.http import ReplyWriter, Response, render_head

EventId: TypeAlias = "tuple[int, int]"
"""Unix seconds, and the event's number within that second."""

_ID = re.compile(r"(\d+):(\d+)")

HI = b": hi\n\n"
TIMEOUT = b":408: 408 Request Timeout\n\n"

SERVER_HEADER = {"Server": "nginx/1.21.3"}
# As recorded: without length and transfer encoding, so the body ends when the connection closes.
HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Connection": "keep-alive",
    **SERVER_HEADER,
}


@dataclass(frozen=True, slots=True)
class Event:
    """An event other than the model's text, e.g. `Event("logs", "loading weights")`.

    Attributes:
        name: The event's type.
        data: Its data; may have several lines.
    """

    name: str
    data: str


class EventLog:
    """All events of one stream, and its present subscribers.

    Attributes:
        frames: The events so far, as they are sent.
        subscribers: Functions that are called with the frame of each further event.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Start an empty log.

        Args:
            clock: Returns the unix time for the ids.
        """
        self._clock = clock
        self._ids: list[EventId] = []
        self.frames: list[bytes] = []
        self.subscribers: list[Callable[[bytes], None]] = []

    def publish(self, event: Event) -> None:
        """Append an event and send it to all subscribers."""
        second = int(self._clock())
        last = self._ids[-1] if self._ids else (0, 0)
        # A clock that goes back must not make ids go back.
        event_id = (last[0], last[1] + 1) if last[0] >= second else (second, 0)
        frame = encode(event, event_id)
        self._ids.append(event_id)
        self.frames.append(frame)
        for subscriber in tuple(self.subscribers):
            subscriber(frame)

    def render(self, *, after: EventId | None) -> bytes:
        """Render all events after an id, which need not exist; the whole log if it is None."""
        start = 0 if after is None else bisect.bisect_right(self._ids, after)
        return b"".join(self.frames[start:])


@dataclass(slots=True)
class Subscription:
    """A reply that streams the events of a log until it is idle for too long.

    Attributes:
        log: The events; an empty log for an unknown stream, which is not a 404.
        after: The last id that the client has received.
        replay: Send the events from before the subscription too.
        idle_timeout: Seconds without an event until the server closes.
        headers: The reply's headers.
    """

    log: EventLog
    after: EventId | None
    replay: bool
    idle_timeout: float
    headers: Mapping[str, str] = field(default_factory=lambda: HEADERS)

    async def write_to(self, reply_writer: ReplyWriter) -> None:
        """Write all events so far and each new one, until the stream is idle or closed."""
        loop = asyncio.get_running_loop()
        last_event = loop.time()

        def write_frame(frame: bytes) -> None:
            nonlocal last_event
            last_event = loop.time()
            reply_writer.write_body(frame)

        reply_writer.write_head(render_head(200, self.headers))
        events = self.log.render(after=self.after) if self.replay else b""
        reply_writer.write_body(HI + events)
        self.log.subscribers.append(write_frame)
        try:
            # A timer that each event sets again would cost too much: there may be thousands.
            while (seconds_left := last_event + self.idle_timeout - loop.time()) > 0:
                if await reply_writer.wait_until_over(seconds_left):
                    return
            reply_writer.write_body(TIMEOUT)
            await reply_writer.finish()
        finally:
            self.log.subscribers.remove(write_frame)


def encode(event: Event, event_id: EventId) -> bytes:
    """Encode an event as sent: `event`, `id`, then a `data` line for each line of the data."""
    data = event.data.replace("\n", "\ndata: ")
    return f"event: {event.name}\nid: {event_id[0]}:{event_id[1]}\ndata: {data}\n\n".encode(
        errors="replace"
    )


def parse_event_id(text: str) -> EventId | None:
    """Parse an id of the form `seconds:n`; None for any other text, which Nchan ignores."""
    match = _ID.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


async def build_long_poll(log: EventLog, idle_timeout: float) -> Response:
    """Answer with the oldest message as plain text; wait for it if the log is empty."""
    if not log.frames:
        arrived = asyncio.Event()
        log.subscribers.append(note := lambda _: arrived.set())
        try:
            await asyncio.wait_for(arrived.wait(), idle_timeout)
        except asyncio.TimeoutError:
            return Response(408, b"", SERVER_HEADER)
        finally:
            log.subscribers.remove(note)
    frame = log.frames[0].removesuffix(b"\n\n").split(b"\ndata: ", 1)[-1]
    body = frame.replace(b"\ndata: ", b"\n")
    return Response(200, body, {"Content-Type": "text/plain", **SERVER_HEADER})

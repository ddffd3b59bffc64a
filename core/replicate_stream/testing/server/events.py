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
from dataclasses import dataclass
from typing import TypeAlias

from replicate_stream.testing.server.http import ReplyWriter, Request, Response

EventId: TypeAlias = "tuple[int, int]"
"""Unix seconds, and the event's number within that second."""
Subscriber: TypeAlias = Callable[[bytes], None]
"""A function that is called with each new frame."""

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
    """All events of one stream, and its present subscribers."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Start an empty log.

        Args:
            clock: Returns the unix time for the ids.
        """
        self._clock = clock
        self._ids: list[EventId] = []
        self._frames: list[bytes] = []
        self._subscribers: list[Subscriber] = []

    def publish(self, event: Event) -> None:
        """Append an event and send it to all subscribers."""
        second = int(self._clock())
        last = self._ids[-1] if self._ids else (0, 0)
        # A clock that goes back must not make ids go back.
        event_id = (last[0], last[1] + 1) if last[0] >= second else (second, 0)
        frame = encode(event, event_id)
        self._ids.append(event_id)
        self._frames.append(frame)
        for subscriber in tuple(self._subscribers):
            subscriber(frame)

    def render(self, *, after: EventId | None) -> bytes:
        """Render all events after an id, which need not exist; the whole log if it is None."""
        start = 0 if after is None else bisect.bisect_right(self._ids, after)
        return b"".join(self._frames[start:])

    def get_oldest(self) -> bytes | None:
        """Return the first event's frame; None while the log is empty."""
        return self._frames[0] if self._frames else None

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Send further events to a subscriber.

        Returns:
            A function that unsubscribes. Calling it again does nothing.
        """
        self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return unsubscribe


@dataclass(slots=True)
class Subscription:
    """A reply that streams the events of a log until it is idle for too long.

    Attributes:
        log: The events; an empty log for an unknown stream, which is not a 404.
        after: The last id that the client has received.
        replay: Send the events from before the subscription too.
        idle_timeout: Seconds without an event until the server closes.
    """

    log: EventLog
    after: EventId | None
    replay: bool
    idle_timeout: float
    _last_event: float = 0.0
    _timer: asyncio.TimerHandle | None = None
    _unsubscribe: Callable[[], None] | None = None

    def start(self, reply_writer: ReplyWriter) -> None:
        """Write the events so far, and from now on each new one."""
        loop = asyncio.get_running_loop()
        self._last_event = loop.time()

        def write_frame(frame: bytes) -> None:
            self._last_event = loop.time()
            reply_writer.write_body(frame)

        def check_idle() -> None:
            # Checked at intervals instead of set again for each event: there may be thousands.
            seconds_left = self._last_event + self.idle_timeout - loop.time()
            if seconds_left > 0:
                self._timer = loop.call_later(seconds_left, check_idle)
            else:
                reply_writer.write_body(TIMEOUT)
                reply_writer.finish()

        events = self.log.render(after=self.after) if self.replay else b""
        reply_writer.write_body(HI + events)
        self._unsubscribe = self.log.subscribe(write_frame)
        self._timer = loop.call_later(self.idle_timeout, check_idle)

    def stop(self) -> None:
        """Unsubscribe and stop the timer."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._timer is not None:
            self._timer.cancel()


async def open_stream(
    log: EventLog, request: Request, *, replay: bool, idle_timeout: float
) -> Response | Subscription:
    """Answer a request for a stream, as events or as a long poll.

    Nchan frames the reply as an event stream only if `Accept` names it (docs/replicate-api.md
    3.1). The last id may be in the header or in the query.
    """
    if "text/event-stream" not in request.headers.get("accept", ""):
        return await _long_poll(log, idle_timeout)
    last = request.headers.get("last-event-id") or request.query.get("last_event_id") or ""
    return Subscription(log, after=parse_event_id(last), replay=replay, idle_timeout=idle_timeout)


def encode(event: Event, event_id: EventId) -> bytes:
    """Encode an event as sent: `event`, `id`, then a `data` line for each line of the data."""
    data = event.data.replace("\n", "\ndata: ")
    return f"event: {event.name}\nid: {event_id[0]}:{event_id[1]}\ndata: {data}\n\n".encode()


def parse_event_id(text: str) -> EventId | None:
    """Parse an id of the form `seconds:n`; None for any other text, which Nchan ignores."""
    match = _ID.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


async def _long_poll(log: EventLog, idle_timeout: float) -> Response:
    """Answer with the oldest message as plain text; wait for it if the log is empty."""
    if log.get_oldest() is None:
        arrived = asyncio.Event()
        unsubscribe = log.subscribe(lambda _: arrived.set())
        try:
            await asyncio.wait_for(arrived.wait(), idle_timeout)
        except asyncio.TimeoutError:
            return Response(408, b"", SERVER_HEADER)
        finally:
            unsubscribe()
    frame = (log.get_oldest() or b"").removesuffix(b"\n\n").split(b"\ndata: ", 1)[-1]
    body = frame.replace(b"\ndata: ", b"\n")
    return Response(200, body, {"Content-Type": "text/plain", **SERVER_HEADER})

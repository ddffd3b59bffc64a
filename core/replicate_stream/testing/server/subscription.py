"""One listener of an event stream, as Nchan serves it.

The connection stays open after `done`: it is the idle timer that ends it, with the 408 comment,
and the timer also runs while the model boots (replicate-api.md 3.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from replicate_stream.testing.server.events import (
    HI,
    TIMEOUT,
    EventId,
    EventLog,
    parse_event_id,
)
from replicate_stream.testing.server.http import Request, Response
from replicate_stream.testing.server.writer import ReplyWriter

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Connection": "keep-alive",
    "Server": "nginx/1.21.3",
}
"""As recorded: no length and no transfer encoding, the body ends when the connection closes."""


class Subscription:
    """A reply that goes on for as long as there are events."""

    status = 200

    def __init__(
        self, log: EventLog, *, after: EventId | None, replay: bool, idle_timeout: float
    ) -> None:
        """Prepare to listen.

        Args:
            log: The events; an empty log for a stream that nobody knows (there is no 404).
            after: The id that the listener has seen last.
            replay: Whether it gets what was sent before it came.
            idle_timeout: Seconds without an event until the server closes.
        """
        self.headers: Mapping[str, str] = HEADERS
        self._log = log
        self._after = after
        self._replay = replay
        self._idle_timeout = idle_timeout
        self._last_event = 0.0
        self._reply_writer: ReplyWriter | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stop_listening: Callable[[], None] | None = None

    def begin(self, reply_writer: ReplyWriter) -> None:
        """Send what there is, and from now on what comes."""
        self._reply_writer = reply_writer
        loop = asyncio.get_running_loop()
        self._last_event = loop.time()
        reply_writer.body(HI + (self._log.after(self._after) if self._replay else b""))
        self._stop_listening = self._log.subscribe(self._pass_on)
        self._timer = loop.call_later(self._idle_timeout, self._check_idle)

    def end(self) -> None:
        """Stop listening."""
        if self._stop_listening is not None:
            self._stop_listening()
        if self._timer is not None:
            self._timer.cancel()

    def _pass_on(self, frame: bytes) -> None:
        self._last_event = asyncio.get_running_loop().time()
        if self._reply_writer is not None:
            self._reply_writer.body(frame)

    def _check_idle(self) -> None:
        # Looked at once in a while instead of set anew for each event: there may be thousands.
        loop = asyncio.get_running_loop()
        left = self._last_event + self._idle_timeout - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._check_idle)
        elif self._reply_writer is not None:
            self._reply_writer.body(TIMEOUT)
            self._reply_writer.end()


def last_event_id(request: Request) -> EventId | None:
    """The id that a listener names, in the header or the query; None if it names none."""
    text = request.headers.get("last-event-id") or request.query.get("last_event_id")
    return parse_event_id(text or "")


def wants_event_stream(request: Request) -> bool:
    """Whether the reply is to be framed as an event stream; Nchan asks `Accept` for it."""
    return "text/event-stream" in request.headers.get("accept", "")


async def long_poll(log: EventLog, idle_timeout: float) -> Response:
    """What a listener gets that did not ask for an event stream: one message, plain."""
    if log.oldest() is None:
        arrived = asyncio.Event()
        stop = log.subscribe(lambda _: arrived.set())
        try:
            await asyncio.wait_for(arrived.wait(), idle_timeout)
        except asyncio.TimeoutError:
            return Response(408, b"", {"Server": "nginx/1.21.3"})
        finally:
            stop()
    frame = (log.oldest() or b"").removesuffix(b"\n\n").split(b"\ndata: ", 1)[-1]
    body = frame.replace(b"\ndata: ", b"\n")
    return Response(200, body, {"Content-Type": "text/plain", "Server": "nginx/1.21.3"})

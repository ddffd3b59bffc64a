"""An idle time-out for the reads of a stream.

A time-out around each read would cost a timer per token. Here the loop's watch looks now and then
when the last event came; a read itself costs next to nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import TypeVar

from replicate_stream._api.watch import Watch, get_watch

T = TypeVar("T")
_GRACE = 0.01
"""Seconds in which the loop reads what has arrived, before a read is interrupted.

If the loop was blocked, its timers are due before it has looked at its sockets.
"""


async def read_within(reading: Awaitable[T], timeout: float | None) -> T:
    """Await the reading of a whole response.

    `asyncio.wait_for` would give up a response that arrived while the loop was blocked.

    Args:
        reading: What reads the response.
        timeout: The longest wait, in seconds; None for no limit.

    Raises:
        asyncio.TimeoutError: The time has passed.
    """
    if timeout is None:
        return await reading
    read_timeout = ReadTimeout(timeout)
    try:
        with read_timeout:
            return await reading
    finally:
        read_timeout.stop()
    raise asyncio.TimeoutError


class ReadTimeout:
    """Interrupts the reads of one stream, in the loop in which it was created.

    A read is awaited in its context, which is left after it, or at once if it is interrupted. What
    reads token by token does the same by itself, with `watch`, `reader` and `take_interruption`.

    Attributes:
        last_event_at: When the last event came, in the loop's time. Set by the reader.
        idle_timeout: Seconds after `last_event_at` until a read is interrupted. Set by the reader,
            to `watch.LOOK_INTERVAL` at least if it is shortened.
        watch: What looks at this time-out; None if it has to be started.
        reader: The task that awaits a read; None between reads.
    """

    def __init__(self, idle_timeout: float, deadline_at: float | None = None) -> None:
        """Start with the first event's time-out.

        Args:
            idle_timeout: The attribute.
            deadline_at: When a read is interrupted in any case, in the loop's time.
        """
        self._loop = asyncio.get_running_loop()
        self.last_event_at = self._loop.time()
        self.idle_timeout = idle_timeout
        self._deadline_at = math.inf if deadline_at is None else deadline_at
        self.watch: Watch | None = None
        self._grace: asyncio.TimerHandle | None = None
        self.reader: asyncio.Task[object] | None = None
        self._is_interrupting = False
        self._has_expired_between_reads = False

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last event."""
        return self._loop.time() - self.last_event_at

    @property
    def is_past_deadline(self) -> bool:
        """Whether the deadline has passed."""
        return self._loop.time() >= self._deadline_at

    @property
    def expires_at(self) -> float:
        """When a read is interrupted, in the loop's time."""
        return min(self.last_event_at + self.idle_timeout, self._deadline_at)

    def stop(self) -> None:
        """Stop the time-out. The next read starts it again."""
        if self.watch is not None:
            self.watch.remove(self)
            self.watch = None
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def start(self) -> None:
        """Watch the time-out: before a read, if it is not watched."""
        if self._has_expired_between_reads:
            # The consumer was busy with the last event: the server was not idle.
            self._has_expired_between_reads = False
            self.last_event_at = self._loop.time()
        self.watch = get_watch(self._loop)
        self.watch.add(self)

    def take_interruption(self) -> bool:
        """Return True if the read was cancelled by this time-out, which then is no error."""
        if not self._is_interrupting:
            return False
        self._is_interrupting = False
        # The task may have been cancelled from outside in the same moment, which must not be
        # swallowed. Before Python 3.11 that cannot be known.
        uncancel = getattr(self.reader, "uncancel", None)
        return uncancel is None or uncancel() == 0

    def __enter__(self) -> None:
        """Begin a read."""
        if self.watch is None:
            self.start()
        self.reader = asyncio.current_task(self._loop)

    def __exit__(
        self, exc_type: type[BaseException] | None, _error: object, _traceback: object
    ) -> bool:
        """End the read; return True if it was interrupted, which is no error."""
        is_interrupted = self.take_interruption()
        self.reader = None
        return is_interrupted and exc_type is asyncio.CancelledError

    def expire(self) -> None:
        """Interrupt the read, if there is one: called by the watch."""
        if self.reader is None:
            self.watch = None
            self._has_expired_between_reads = True
        else:
            self._grace = self._loop.call_later(_GRACE, self._interrupt)

    def _interrupt(self) -> None:
        self._grace = None
        if self.reader is not None and self._loop.time() >= self.expires_at:
            self.watch = None
            self._is_interrupting = True
            self.reader.cancel()
        elif self.watch is not None:
            self.watch.add(self)

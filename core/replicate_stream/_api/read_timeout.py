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

    A read is awaited in its context, which is left after it, or at once if it is interrupted.

    Attributes:
        last_event_at: When the last event came, in the loop's time. Set by the reader.
        idle_timeout: Seconds after `last_event_at` until a read is interrupted. Set by the reader,
            to `watch.LOOK_INTERVAL` at least if it is shortened.
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
        self._watch: Watch | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._reader: asyncio.Task[object] | None = None
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
        if self._watch is not None:
            self._watch.remove(self)
            self._watch = None
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def __enter__(self) -> None:
        """Begin a read, which ends with the context."""
        if self._watch is None:
            if self._has_expired_between_reads:
                # The consumer was busy with the last event: the server was not idle.
                self._has_expired_between_reads = False
                self.last_event_at = self._loop.time()
            self._watch = get_watch(self._loop)
            self._watch.add(self)
        self._reader = asyncio.current_task(self._loop)

    def __exit__(
        self, exc_type: type[BaseException] | None, _error: object, _traceback: object
    ) -> bool:
        """End the read; return True if it was interrupted, which is no error."""
        task, self._reader = self._reader, None
        if not self._is_interrupting:
            return False
        self._is_interrupting = False
        # The task may have been cancelled from outside in the same moment, which must not be
        # swallowed. Before Python 3.11 that cannot be known.
        uncancel = getattr(task, "uncancel", None)
        is_cancelled_twice = uncancel is not None and uncancel() > 0
        return exc_type is asyncio.CancelledError and not is_cancelled_twice

    def expire(self) -> None:
        """Interrupt the read, if there is one: called by the watch."""
        if self._reader is None:
            self._watch = None
            self._has_expired_between_reads = True
        else:
            self._grace = self._loop.call_later(_GRACE, self._interrupt)

    def _interrupt(self) -> None:
        self._grace = None
        if self._reader is not None and self._loop.time() >= self.expires_at:
            self._watch = None
            self._is_interrupting = True
            self._reader.cancel()
        elif self._watch is not None:
            self._watch.add(self)

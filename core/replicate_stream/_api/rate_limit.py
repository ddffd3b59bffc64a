"""The queue of requests under a rate limit.

If many requests are refused with 429 and all are repeated a second later, most are refused again,
and some use up their retries. So they are repeated one at a time, in order, and new requests queue
up behind them: each is sent a few times at most, however many there are.
"""

from __future__ import annotations

import asyncio
import weakref


class RateLimitQueue:
    """The queues of a client, one for each event loop."""

    def __init__(self) -> None:
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._locks = weakref.WeakKeyDictionary()

    def create_slot(self, timeout: float | None) -> QueueSlot:
        """Create the slot of one request, which queues up only when it has to.

        Args:
            timeout: Longest wait for its turn, in seconds; None for no limit.
        """
        # asyncio's lock is fair: it wakes those who wait in their order.
        lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        return QueueSlot(lock, timeout)


class QueueSlot:
    """The slot of one request in the queue, as an async context manager that leaves the queue."""

    def __init__(self, lock: asyncio.Lock, timeout: float | None) -> None:
        self._lock = lock
        self._timeout = timeout
        self._is_first = False

    async def __aenter__(self) -> QueueSlot:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._is_first:
            self._lock.release()

    @property
    def is_behind_others(self) -> bool:
        """Whether other requests are queued, and this one is not the first of them."""
        return not self._is_first and self._lock.locked()

    async def acquire(self) -> bool:
        """Queue up until it is this request's turn; return False if the time-out passed before."""
        from anyio import move_on_after  # at first use, which only a refused request is

        if not self._is_first:
            with move_on_after(self._timeout):
                await self._lock.acquire()
                self._is_first = True
        return self._is_first

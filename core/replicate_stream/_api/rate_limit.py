"""Waiting in line under a rate limit.

When many requests are refused for their number, and all come again a second later, most are refused
again, and some use up their retries. So they come one at a time and in their order, and new ones
stand behind them: each is sent a few times at most, however many there are.
"""

from __future__ import annotations

import asyncio
import weakref
from types import TracebackType


class RateLimitQueue:
    """The lines of a client: one for each event loop."""

    def __init__(self) -> None:
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._locks = weakref.WeakKeyDictionary()

    def place(self, patience: float | None) -> QueueSlot:
        """A place for one request, which stands in line only once it has to.

        Args:
            patience: Seconds to wait for its turn; None for ever.
        """
        lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        return QueueSlot(lock, patience)


class QueueSlot:
    """A request's place, given up when its block is left."""

    def __init__(self, lock: asyncio.Lock, patience: float | None) -> None:
        self._lock = lock
        self._patience = patience
        self._is_first = False

    async def __aenter__(self) -> QueueSlot:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_first:
            self._lock.release()

    @property
    def has_others_before(self) -> bool:
        """Whether others stand in line, and this one does not yet."""
        return not self._is_first and self._lock.locked()

    async def wait(self) -> bool:
        """Stand in line until it is this one's turn; gives whether that came in time."""
        from anyio import move_on_after

        if not self._is_first:
            with move_on_after(self._patience):
                await self._lock.acquire()
                self._is_first = True
        return self._is_first

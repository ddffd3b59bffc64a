"""Interrupts a read that has been silent for too long.

A time-out around each read would cost a timer per token. Here one timer sleeps for as long as the
silence may last and looks then whether there was one; a read costs next to nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class ReadTimeout:
    """Watches the reads of one stream, in the loop that it was made in.

    Attributes:
        heard: When something last came, in the loop's time. Whoever reads sets it.
        patience: For how many seconds from then a read may stay silent. Whoever reads sets it.
    """

    def __init__(self, patience: float, until: float | None = None) -> None:
        """Start watching.

        Args:
            patience: See the attribute.
            until: A time of the loop at which a read is interrupted in any case.
        """
        self._loop = asyncio.get_running_loop()
        self.heard = self._loop.time()
        self.patience = patience
        self._until = math.inf if until is None else until
        self._timer: asyncio.TimerHandle | None = None
        self._reading: asyncio.Task[object] | None = None
        self._interrupted = False
        self._unread = False  # the time ran out while nobody was reading

    def silence(self) -> float:
        """For how many seconds nothing has come."""
        return self._loop.time() - self.heard

    def is_over(self) -> bool:
        """Whether the time that was set for everything has passed."""
        return self._loop.time() >= self._until

    def stop(self) -> None:
        """Interrupt nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def until_due(self, read: Awaitable[T]) -> T | None:
        """Await a read, and give None if it is interrupted."""
        if self._timer is None:
            if self._unread:
                # A consumer that takes its time is not the server's silence.
                self._unread = False
                self.heard = self._loop.time()
            self._timer = self._loop.call_at(self._due(), self._wake)
        task = self._reading = asyncio.current_task()
        try:
            return await read
        except asyncio.CancelledError:
            if not self._interrupted:
                raise
            # Somebody else may have cancelled the task in the same moment (known from 3.11 on).
            uncancel = getattr(task, "uncancel", None)
            if uncancel is not None and uncancel() > 0:
                raise
            return None
        finally:
            self._reading = None
            self._interrupted = False

    def _due(self) -> float:
        return min(self.heard + self.patience, self._until)

    def _wake(self) -> None:
        self._timer = None
        if self._loop.time() < self._due():
            self._timer = self._loop.call_at(self._due(), self._wake)
        elif self._reading is None:
            self._unread = True
        else:
            self._interrupted = True
            self._reading.cancel()

"""Waiting for something to become true, in a thread or in an event loop, without polling."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StateCondition:
    """A lock around a state, and the threads and tasks that wait for a change of it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._wakers: list[Callable[[], None]] = []

    @contextmanager
    def change(self) -> Iterator[None]:
        """Hold the lock while changing something, then tell everybody."""
        with self._condition:
            yield
            self._condition.notify_all()
            for wake in self._wakers:
                wake()

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold the lock while reading."""
        with self._condition:
            yield

    def wait(self, is_true: Callable[[], bool], timeout: float) -> bool:
        """Block until something is true; False if it is not within `timeout` seconds."""
        with self._condition:
            return self._condition.wait_for(is_true, timeout)

    async def wait_async(self, is_true: Callable[[], bool], timeout: float) -> bool:
        """The same for a coroutine, whose loop goes on meanwhile."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        until = time.monotonic() + timeout
        with self._condition:
            self._wakers.append(wake)
        try:
            while True:
                changed.clear()
                with self._condition:
                    if is_true():
                        return True
                try:
                    await asyncio.wait_for(changed.wait(), until - time.monotonic())
                except asyncio.TimeoutError:
                    return False
        finally:
            with self._condition:
                self._wakers.remove(wake)

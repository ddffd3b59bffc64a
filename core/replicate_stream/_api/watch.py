"""The one timer of an event loop's time-outs.

Each answer has several that hardly ever pass. A timer of the loop for each of them would cost
25,000 instructions, and stay in the loop's heap after it was cancelled.
"""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

LOOK_INTERVAL = 2.0
"""Longest time between two looks at the time-outs of a loop, in seconds."""


class Watched(Protocol):
    """What is watched, until it is removed."""

    @property
    def expires_at(self) -> float:
        """When the time-out passes, in the loop's time. May become later at any time.

        It becomes earlier only up to `LOOK_INTERVAL` seconds from then.
        """
        raise NotImplementedError

    def expire(self) -> None:
        """Called once the time-out has passed, when it is not watched any more."""


class Watch:
    """The time-outs of one loop."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf

    def add(self, watched: Watched) -> None:
        """Watch a time-out. Called in the loop."""
        self._watched.add(watched)
        expires_at = watched.expires_at
        if expires_at < self._looks_at:
            self._look_at(expires_at)

    def remove(self, watched: Watched) -> None:
        """Watch a time-out no more. May be called from any thread."""
        self._watched.discard(watched)

    def _look_at(self, when: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = min(when, loop.time() + LOOK_INTERVAL)
        self._timer = loop.call_at(self._looks_at, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer, self._looks_at = None, math.inf
        now = loop.time()
        for each in list(self._watched):
            if each.expires_at <= now and each in self._watched:
                self._watched.discard(each)
                each.expire()
        if self._watched:  # another thread may remove the last one at this moment
            self._look_at(min((each.expires_at for each in list(self._watched)), default=now))
        elif _watches.get(loop) is self:
            del _watches[loop]


_watches: dict[asyncio.AbstractEventLoop, Watch] = {}


def get_watch(loop: asyncio.AbstractEventLoop) -> Watch:
    """Return the watch of the running loop."""
    watch = _watches.get(loop)
    if watch is None:
        for closed in [each for each in list(_watches) if each.is_closed()]:
            _watches.pop(closed, None)
        watch = _watches[loop] = Watch()
    return watch

"""The queue for creating predictions: requests that the rate limit has refused wait in it.

All clients of a process with the same token share one queue, in any thread and event loop. If each
request was repeated on its own, most would be refused again. In the queue they are sent in order,
at the pace that the service accepts, for as long as it takes: other processes may use the same
token, and the service rounds the waits that it asks for, so a second refusal is nothing unusual.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import random
import threading
import time
import weakref
from bisect import insort
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

from replicate_stream._errors import RateLimitError
from replicate_stream._logging import log

MAX_RETRY_DELAY = 60.0
"""Longest wait between two attempts, in seconds, whatever the service asks for."""
MAX_BACKOFF = 8.0
"""Longest wait after refusals that ask for none, in seconds."""
PATIENCE = 5.0
"""Seconds for which a request that is not sent, or not answered, holds up the next one."""
_MIN_BACKOFF = 0.05
_FIRST_INTERVAL, _MIN_INTERVAL, _MAX_INTERVAL = 0.02, 0.005, 30.0


@dataclass(slots=True)
class Pace:
    """When the next request may be sent, learned from what the service accepts and refuses.

    After a refusal one request tries, once the wait has passed. If it is accepted, the others
    follow at an interval, which grows with refusals, and shrinks the faster the more requests in a
    row are accepted. It is 0 until the first refusal. All times are in seconds, by one clock.

    Attributes:
        next_at: Earliest time of the next request.
        interval: Time between two requests.
        refusals: Number of refusals in a row.
        max_interval: The largest interval.
        max_backoff: Longest wait after refusals that ask for none.
    """

    next_at: float = -math.inf
    interval: float = 0.0
    refusals: int = 0
    max_interval: float = _MAX_INTERVAL
    max_backoff: float = MAX_BACKOFF
    _accepted: int = field(default=0, init=False)
    _refused_at: float = field(default=-math.inf, init=False)

    def send(self, now: float) -> None:
        """Note that a request is sent. While one tries, the others wait for its response."""
        self.next_at = now + (PATIENCE if self.refusals else self.interval)

    def accept(self, sent_at: float) -> None:
        """Note that a request was accepted."""
        if sent_at < self._refused_at:
            return  # it was sent before the limit was reached
        if self.refusals:
            self.next_at = sent_at + self.interval
        self.refusals = 0
        self._accepted += 1
        if self.interval:
            shrunk = self.interval * max(0.5, 1 - 0.004 * self._accepted)
            self.interval = max(_MIN_INTERVAL, shrunk)

    def refuse(self, sent_at: float, now: float, retry_after: float) -> None:
        """Note that a request was refused, and the wait that the service asks for."""
        wait = min(retry_after, MAX_RETRY_DELAY) + random.uniform(0, 0.05)
        if sent_at < self._refused_at:  # one of many that were sent before the first refusal
            self.next_at = max(self.next_at, now + wait)
            return
        self.refusals += 1
        self._accepted = 0
        self.interval = min(max(self.interval * 1.1, _FIRST_INTERVAL), self.max_interval)
        backoff = max(self.interval / 2, _MIN_BACKOFF) * 1.5 ** min(self.refusals - 1, 32)
        self.next_at = now + max(wait, min(backoff, self.max_backoff) * random.uniform(0.75, 1.0))
        self._refused_at = now

    def expect_room(self, now: float) -> None:
        """Note that the next request is likely to be accepted, or soon will be."""
        if self.refusals:
            self.refusals, self.next_at = 1, min(self.next_at, now)


class RateLimitQueue:
    """The queue of one token, whose requests are in any threads and event loops.

    Args:
        pace: When requests may be sent.
    """

    def __init__(self, pace: Pace) -> None:
        # Reentrant: the garbage collector may close a coroutine that leaves the queue, in a thread
        # that holds the lock.
        self._lock = threading.RLock()
        self._pace = pace
        self._waiting: list[Place] = []
        self._trying: Place | None = None
        self._numbers = itertools.count()

    def join(self) -> Place:
        """Return a new place, behind all others."""
        return Place(self, next(self._numbers))

    def start(self, place: Place) -> float:
        """Start the request if it is its turn: return 0 then, or else the seconds to wait."""
        with self._lock:
            now = time.monotonic()
            if self._waiting or self._pace.next_at > now:
                if place not in self._waiting:
                    insort(self._waiting, place)
                # The loop of the first may be blocked, or stopped for ever. Then the next ones
                # pass it.
                delay = self._waiting.index(place) * PATIENCE
                if (seconds := self._pace.next_at + delay - now) > 0:
                    return seconds
                self._waiting.remove(place)
            place.sent_at = now
            if self._pace.refusals:
                self._trying = place
            self._pace.send(now)
            self._wake_first()
            return 0.0

    def accept(self, place: Place) -> None:
        """Note that the limit has let a request pass."""
        with self._lock:
            self._trying = None if self._trying is place else self._trying
            self._pace.accept(place.sent_at)
            self._wake_first()

    def refuse(self, place: Place, refusal: RateLimitError) -> None:
        """Note that the limit has refused a request."""
        with self._lock:
            self._trying = None if self._trying is place else self._trying
            is_reached = not self._pace.refusals and not self._waiting
            self._pace.refuse(place.sent_at, time.monotonic(), refusal.retry_after or 0.0)
        if is_reached:
            if refusal.status == HTTPStatus.CONFLICT:  # a container of Cog is busy, as it often is
                log.debug("%s; requests wait until there is room for them", str(refusal))
            else:
                log.warning(
                    "%s; requests wait until the rate limit lets them pass, or a deadline comes",
                    str(refusal),
                )

    def leave(self, place: Place) -> None:
        """Remove a request. If the others waited for its response, the next one tries."""
        with self._lock:
            if place in self._waiting:
                self._waiting.remove(place)
            if self._trying is place:
                self._trying = None
                self._pace.next_at = time.monotonic()
            self._wake_first()

    def expect_room(self) -> None:
        """Let the first request try at once: one that had been accepted has come to its end."""
        with self._lock:
            if self._trying is None:
                self._pace.expect_room(time.monotonic())
                self._wake_first()

    def _wake_first(self) -> None:
        if self._waiting:
            self._waiting[0].wake()


class Place:
    """The place of one request in a queue, a context manager that leaves the queue.

    Attributes:
        sent_at: When the request was sent last, by `time.monotonic`.
    """

    def __init__(self, queue: RateLimitQueue, number: int) -> None:
        self.sent_at = -math.inf
        self._queue = queue
        self._number = number
        self._turn: asyncio.Future[None] | None = None

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.leave()

    def __lt__(self, other: Place) -> bool:
        return self._number < other._number

    async def wait_for_turn(self, deadline_at: float | None) -> bool:
        """Wait until this request may be sent; return whether there was a wait.

        Args:
            deadline_at: The end of the wait, in the running loop's time; None for no end.

        Raises:
            asyncio.TimeoutError: The deadline has passed.
        """
        loop = asyncio.get_running_loop()
        has_waited = False
        while True:
            # Before the queue is asked, lest another thread wake this one in between.
            self._turn = loop.create_future()
            left = math.inf if deadline_at is None else deadline_at - loop.time()
            if left <= 0:
                raise asyncio.TimeoutError
            seconds = self._queue.start(self)
            if seconds <= 0:
                return has_waited
            has_waited = True
            timer = loop.call_later(min(seconds, left), _resolve, self._turn)
            try:
                await self._turn
            finally:
                timer.cancel()

    def accept(self) -> None:
        """Note that the limit has let the request pass, whatever the response is."""
        self._queue.accept(self)

    def refuse(self, refusal: RateLimitError) -> None:
        """Note that the limit has refused the request."""
        self._queue.refuse(self, refusal)

    def leave(self) -> None:
        """Leave the queue, until the next turn is waited for."""
        self._queue.leave(self)

    def wake(self) -> None:
        """Let the request ask again for its turn. May be called from any thread."""
        turn = self._turn
        if turn is not None:
            with suppress(RuntimeError):  # its loop is closed
                turn.get_loop().call_soon_threadsafe(_resolve, turn)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_queues: weakref.WeakValueDictionary[tuple[str, bytes], RateLimitQueue] = (
    weakref.WeakValueDictionary()
)
_lock = threading.RLock()


def get_queue(
    base_url: str, token_hash: bytes, create_pace: Callable[[], Pace] = Pace
) -> RateLimitQueue:
    """Return the queue of a token at an address, which exists as long as it is used."""
    with _lock:
        queue = _queues.get((base_url, token_hash))
        if queue is None:
            queue = _queues[base_url, token_hash] = RateLimitQueue(create_pace())
        return queue


def _reset_after_fork() -> None:
    # The requests are the parent's, and another thread may hold the lock.
    global _queues, _lock
    _queues, _lock = weakref.WeakValueDictionary(), threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)

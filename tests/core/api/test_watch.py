"""The one timer of a loop's time-outs."""

from __future__ import annotations

import asyncio
import math

from replicate_stream._api import watch
from replicate_stream._api.watch import Watch, get_watch


class Deadline:
    """A time-out that notes when it has passed."""

    def __init__(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.expires_at = loop.time() + seconds
        self.passed_at: asyncio.Future[float] = loop.create_future()

    def expire(self) -> None:
        """Note the time."""
        self.passed_at.set_result(self.passed_at.get_loop().time())


async def test_a_short_time_out_passes_in_its_time_beside_a_long_one_that_began_before() -> None:
    watched = Watch()
    long, short = Deadline(60), Deadline(0.01)
    watched.add(long)
    watched.add(short)
    passed_at = await asyncio.wait_for(short.passed_at, 1)
    assert passed_at >= short.expires_at
    assert not long.passed_at.done()


async def test_a_time_out_that_was_removed_or_postponed_does_not_pass() -> None:
    watched = Watch()
    removed, postponed, other = Deadline(0.01), Deadline(0.01), Deadline(0.02)
    for each in (removed, postponed, other):
        watched.add(each)
    watched.remove(removed)
    postponed.expires_at = math.inf
    await asyncio.wait_for(other.passed_at, 1)
    assert not removed.passed_at.done()
    assert not postponed.passed_at.done()


def test_no_loop_is_kept_once_another_one_is_watched() -> None:
    async def leave() -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        get_watch(loop).add(Deadline(60))
        return loop

    first, second = asyncio.run(leave()), asyncio.run(leave())
    assert first not in watch._watches
    assert second in watch._watches

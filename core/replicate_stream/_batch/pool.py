"""A function applied to many items at once: results come as they end, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

from replicate_stream._api.http import wait_shielded
from replicate_stream._api.sessions import closing, is_loop_running, mute_task, start_task

T = TypeVar("T")
R = TypeVar("R")


class _Results(Generic[R]):
    """A queue of one reader that schedules no callback when the reader is dropped.

    `asyncio.Queue` does, for which the loop may be closed.
    """

    def __init__(self) -> None:
        self._results: deque[R] = deque()
        self._have_come = asyncio.Event()

    def put(self, result: R) -> None:
        self._results.append(result)
        self._have_come.set()

    async def get(self) -> R:
        while not self._results:
            self._have_come.clear()
            await self._have_come.wait()
        return self._results.popleft()


async def map_unordered(
    function: Callable[[T], Awaitable[R]], items: Iterable[T] | AsyncIterable[T], limit: int
) -> AsyncGenerator[R, None]:
    """Apply a function to items, and yield the results in the order of their ends.

    An item is taken from its source once there is room for it: at most `limit` items are in work,
    or wait as results until they are consumed.

    Raises:
        Exception: The first exception of the function or the source, after which the rest is
            cancelled, as when the generator is closed.
    """
    results: _Results[tuple[R] | Exception | None] = _Results()
    room = asyncio.Semaphore(limit)
    tasks: set[asyncio.Task[None]] = set()

    async def work(item: T) -> None:
        try:
            results.put((await function(item),))
        except Exception as error:  # noqa: BLE001 - raised in the consumer
            results.put(error)

    async def feed() -> None:
        try:
            async with closing(_iterate(items)) as source:
                await room.acquire()
                async for item in source:
                    task = mute_task(asyncio.ensure_future(work(item)))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    await room.acquire()
            while tasks:
                await asyncio.wait(tasks)
            results.put(None)
        except Exception as error:  # noqa: BLE001 - raised in the consumer
            results.put(error)

    feeder = mute_task(asyncio.ensure_future(feed()))
    try:
        while (result := await results.get()) is not None:
            if isinstance(result, Exception):
                raise result
            yield result[0]
            room.release()
    finally:
        if is_loop_running():  # or else an exit hook cancels the predictions
            await _cancel([feeder, *tasks])


async def _iterate(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have cleaned up."""
    for task in tasks:
        task.cancel()
    await wait_shielded(start_task(asyncio.wait(tasks)))

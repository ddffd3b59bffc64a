"""A function applied to many items at once: results come as they end, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

from replicate_stream._api.http import wait_shielded
from replicate_stream._api.tasks import closing, is_loop_running, mute_task, start_task

T = TypeVar("T")
R = TypeVar("R")

# Those that end a task, or the program, besides.
_STOPPING = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)


class _Results(Generic[R]):
    """The results for one reader, or the exception that it is to raise; None at the end.

    Unlike `asyncio.Queue`, it schedules no callback when the reader is dropped, for which the loop
    may be closed.
    """

    def __init__(self) -> None:
        self._results: deque[tuple[R] | BaseException | None] = deque()
        self._have_come = asyncio.Event()

    def put(self, result: tuple[R] | None) -> None:
        self._results.append(result)
        self._have_come.set()

    def put_error(self, error: BaseException) -> None:
        """Let the reader, who would wait for ever without it, raise an exception of any kind."""
        self._results.append(error)
        self._have_come.set()
        if isinstance(error, _STOPPING):
            raise error

    async def get(self) -> tuple[R] | None:
        while not self._results:
            self._have_come.clear()
            await self._have_come.wait()
        result = self._results.popleft()
        if isinstance(result, BaseException):
            raise result
        return result


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
    results: _Results[R] = _Results()
    room = asyncio.Semaphore(limit)
    tasks: set[asyncio.Task[None]] = set()

    async def work(item: T) -> None:
        try:
            results.put((await function(item),))
        except BaseException as error:  # noqa: BLE001 - raised in the consumer
            results.put_error(error)

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
        except BaseException as error:  # noqa: BLE001 - raised in the consumer
            results.put_error(error)

    feeder = mute_task(asyncio.ensure_future(feed()))
    try:
        while (result := await results.get()) is not None:
            yield result[0]
            room.release()
    finally:
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
    if not is_loop_running():  # an exit hook cancels the predictions
        return
    for task in tasks:
        task.cancel()
    await wait_shielded(start_task(asyncio.wait(tasks)))

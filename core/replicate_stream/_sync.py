"""Blocking access to async code: one background thread with one event loop for the process.

One task drives the whole `async for` of a stream. A call into the loop for each item would run
every step in a task of its own, and cancel scopes and timeouts around the stream would break. All
this works inside a running event loop too, where `asyncio.run` fails.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from replicate_stream._warnings import calling_thread

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

T = TypeVar("T")
BUFFER_SIZE = 256
"""Number of items that a stream may be ahead of its consumer."""
_STOP_TIMEOUT = 10.0  # seconds at exit for open streams to cancel their predictions


class _Bridge:
    """The background thread with its event loop."""

    def __init__(self) -> None:
        self._ready: Future[BlockingPortal] = Future()
        # A daemon: Python joins other threads before it calls `atexit`, which stops this one.
        self._thread = threading.Thread(target=self._run, name="replicate-stream-sync", daemon=True)
        self._thread.start()
        self.portal = self._ready.result()

    def _run(self) -> None:
        # Not by `asyncio.run`, which ends with a new thread. Python 3.12 starts none at its exit.
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._serve())
        finally:
            loop.close()

    async def _serve(self) -> None:
        try:
            # At first use: most programs are asynchronous, and anyio is slow to import.
            from anyio.from_thread import BlockingPortal
        except BaseException as error:  # noqa: BLE001 - raised where the thread is waited for
            self._ready.set_exception(error)
            return
        async with BlockingPortal() as portal:
            self._ready.set_result(portal)
            await portal.sleep_until_stopped()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_asyncgens()

    def stop(self) -> None:
        """Cancel all tasks and wait for their cleanup, which cancels open predictions."""
        self.portal.start_task_soon(self.portal.stop, True)
        self._thread.join(_STOP_TIMEOUT)


_lock = threading.Lock()
_bridge: _Bridge | None = None


def _start(call: Callable[[], Awaitable[T]]) -> Future[T]:
    """Start an async call in the background loop."""
    global _bridge
    with _lock:
        if _bridge is None:
            _bridge = _Bridge()
            atexit.register(_stop_bridge)
        portal = _bridge.portal
    caller = threading.get_ident()

    async def run() -> T:
        calling_thread.set(caller)
        try:
            return await call()
        except (Exception, asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - e.g. SystemExit out of a validator
            raise _CarriedError(error) from None

    return portal.start_task_soon(run)


class _CarriedError(Exception):
    """Carries an exception to the caller that would end the background loop, and all streams."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _get_result(future: Future[T]) -> T:
    try:
        return future.result()
    except _CarriedError as carried:
        error = carried.error
    raise error


def _stop_bridge() -> None:
    if _bridge is not None:
        _bridge.stop()


def _reset_after_fork() -> None:
    # A forked child has a copy of these variables, but not the thread.
    global _bridge, _lock
    _bridge, _lock = None, threading.Lock()
    atexit.unregister(_stop_bridge)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def run_blocking(call: Callable[[], Awaitable[T]]) -> T:
    """Run an async call in the background loop and return its result.

    Interrupting the wait (Ctrl-C) cancels the call.

    Args:
        call: Called in the background loop; returns an awaitable, e.g. a coroutine.
    """
    future = _start(call)
    try:
        return _get_result(future)
    finally:
        future.cancel()


def iterate_blocking(
    open_stream: Callable[[], AbstractAsyncContextManager[AsyncIterator[T]]],
    merge: Callable[[Sequence[T]], Sequence[T]] | None = None,
) -> Generator[T, None, None]:
    """Iterate over an async stream in the background loop.

    The first `next` opens the stream, which is read at most `BUFFER_SIZE` items ahead. Closing the
    generator cancels the task that reads the stream, which leaves the stream's context manager as
    any cancelled task does.

    Args:
        open_stream: Called in the background loop; returns the stream's context manager.
        merge: Called with the items that have arrived since the last one was taken; returns the
            items to hand on instead of them. None to hand on each as it is.
    """
    items: SimpleQueue[tuple[T, ...]] = SimpleQueue()  # of one item each; an empty one ends them
    room = asyncio.Semaphore(BUFFER_SIZE)
    batch = BUFFER_SIZE // 2  # a call into the loop for each item would cost more than the item
    taken = 0

    async def read_stream() -> None:
        async with open_stream() as stream:
            async for item in stream:
                await room.acquire()
                items.put((item,))

    async def make_room(count: int) -> None:
        for _ in range(count):
            room.release()

    def take() -> Sequence[T]:
        nonlocal taken
        arrived = items.get()
        while merge is not None and arrived and not items.empty():
            more = items.get()
            if not more:
                items.put(more)  # the end
                break
            arrived += more
        taken += len(arrived)
        if taken >= batch:
            _start(partial(make_room, taken))
            taken = 0
        return merge(arrived) if merge is not None and arrived else arrived

    future = _start(read_stream)
    future.add_done_callback(lambda _: items.put(()))
    try:
        while arrived := take():
            yield from arrived
        _get_result(future)
    finally:
        future.cancel()

"""Async streams for sync code: one background thread with one event loop for the process.

A stream is pumped by a single task that drives the whole `async for`: stepping it with a call for
each item would run every step in another task, which cancel scopes and time-outs around a stream do
not survive. It works inside a running loop too, where `asyncio.run` cannot.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from replicate_stream._warnings import calling_thread

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

T = TypeVar("T")
_STOP_WITHIN = 10.0  # seconds for the streams that are open at exit to cancel their predictions


class _Bridge:
    """The thread and its loop. A daemon, because a joined thread would hang the exit."""

    def __init__(self) -> None:
        self._ready: Future[BlockingPortal] = Future()
        self._over: asyncio.Event
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._serve(),), name="replicate-stream-sync", daemon=True
        )
        self._thread.start()
        self.portal = self._ready.result()

    async def _serve(self) -> None:
        from anyio.from_thread import BlockingPortal

        async with BlockingPortal() as portal:
            self._ready.set_result(portal)
            await portal.sleep_until_stopped()

    def stop(self) -> None:
        """Cancel what is running, and wait for its cleanup: open predictions are cancelled."""
        self.portal.start_task_soon(self.portal.stop, True)
        self._thread.join(_STOP_WITHIN)


_lock = threading.Lock()
_bridge: _Bridge | None = None


def _portal() -> BlockingPortal:
    global _bridge
    with _lock:
        if _bridge is None:
            _bridge = _Bridge()
            atexit.register(_stop)
        return _bridge.portal


def _stop() -> None:
    if _bridge is not None:
        _bridge.stop()


def _forget() -> None:
    """In a forked child the thread does not exist."""
    global _bridge, _lock
    _bridge, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run_blocking(make: Callable[[], Awaitable[T]]) -> T:
    """Run one coroutine on the bridge and wait for its result.

    Interrupting the wait (Ctrl-C) cancels the coroutine.

    Args:
        make: Called on the bridge's loop; gives the coroutine.
    """
    caller = threading.get_ident()

    async def run() -> T:
        calling_thread.set(caller)
        return await make()

    future = _portal().start_task_soon(run)
    try:
        return future.result()
    finally:
        future.cancel()


def iterate_blocking(
    open_stream: Callable[[], AbstractAsyncContextManager[AsyncIterator[T]]],
) -> Generator[T, None, None]:
    """Iterate a stream of the bridge's loop, in any thread.

    Closing the generator cancels the task that reads the stream, and so closes the stream by the
    way that its own context manager provides. It is opened when the first item is asked for.

    Args:
        open_stream: Called on the bridge's loop; gives the context manager of the stream.
    """
    items: SimpleQueue[T | _End] = SimpleQueue()
    caller = threading.get_ident()

    async def pump() -> None:
        calling_thread.set(caller)
        async with open_stream() as stream:
            async for item in stream:
                items.put(item)

    future = _portal().start_task_soon(pump)
    future.add_done_callback(lambda _: items.put(_END))
    try:
        while not isinstance(item := items.get(), _End):
            yield item
        future.result()
    finally:
        future.cancel()


class _End:
    """Marks the end of a stream in its queue."""


_END = _End()

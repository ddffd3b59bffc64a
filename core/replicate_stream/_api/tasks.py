"""Tasks and generators whose loop may be closed before they end."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import weakref
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_tasks: set[asyncio.Task[Any]] = set()
# No WeakSet: that cannot be iterated while another thread adds to it.
_muted: set[weakref.ref[asyncio.Task[Any]]] = set()


def start_task(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task and keep it until it is done: an event loop refers to its tasks only weakly."""
    task = mute_task(asyncio.ensure_future(coroutine))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


def mute_task(task: asyncio.Task[T]) -> asyncio.Task[T]:
    """Let a task end silently, as a child of `asyncio.gather`, if its loop is closed before.

    Those who closed the loop did not start it, and could not await it. Its predictions are
    cancelled when it is collected, or at the exit.
    """
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as `gather`
    _muted.add(weakref.ref(task, _muted.discard))
    return task


async def shield(task: asyncio.Task[T]) -> T:
    """Await a task that goes on if this wait is cancelled.

    `asyncio.shield` takes a turn of the loop more, 15,000 instructions.
    """
    waiter = asyncio.get_running_loop().create_future()

    def wake(_: object) -> None:
        if not waiter.done():
            waiter.set_result(None)

    task.add_done_callback(wake)
    await waiter
    return task.result()


def is_loop_running() -> bool:
    """Whether anything can be awaited. An async generator may be collected when nothing can."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class closing(contextlib.aclosing[AsyncGenerator[T, None]]):  # noqa: N801 - used as `contextlib.aclosing` is
    """Closes a generator on leaving, unless its loop has been closed before."""

    async def __aexit__(self, *exc_info: object) -> None:
        if is_loop_running():
            await super().__aexit__(*exc_info)


@atexit.register
def _close_at_exit() -> None:
    """Close the tasks of loops that do not run, as nobody will run them any more."""
    for task in [ref() for ref in list(_muted)]:
        if task is not None and not task.get_loop().is_running():
            coroutine: Any = task.get_coro()
            # A cleanup that awaits ends here. Later, Python would print that.
            with contextlib.suppress(Exception):
                coroutine.close()

"""Tasks that go on when their caller is cancelled.

Two requests must not be lost with the task that sent them: the creation of a prediction, which
costs money from then on, and its cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from replicate_stream._errors import ReplicateError

T = TypeVar("T")
GRACE_PERIOD = 5.0
"""Longest wait for the response to a request whose caller was cancelled, in seconds."""

_tasks: set[asyncio.Task[Any]] = set()


def start_task(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task that nobody has to keep: an event loop refers to its tasks only weakly."""
    task = asyncio.ensure_future(coroutine)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def wait_shielded(task: asyncio.Task[T]) -> None:
    """Wait for a task for at most `GRACE_PERIOD`, even in a scope that is cancelled already."""
    from anyio import CancelScope  # at first use: importing it costs more than this package

    with CancelScope(shield=True):
        await asyncio.wait({task}, timeout=GRACE_PERIOD)


async def run_with_orphan_handler(
    coroutine: Coroutine[Any, Any, T], on_orphan: Callable[[T], Awaitable[None]]
) -> T:
    """Run a request to its end, even if the caller is cancelled meanwhile.

    Args:
        coroutine: The request.
        on_orphan: Called with the response if the caller was cancelled before it arrived.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await wait_shielded(start_task(_handle_orphan(task, on_orphan)))
        raise


async def _handle_orphan(task: asyncio.Task[T], on_orphan: Callable[[T], Awaitable[None]]) -> None:
    try:
        response = await task
    except ReplicateError:
        return  # nothing was created, or it cannot be known what was
    await on_orphan(response)

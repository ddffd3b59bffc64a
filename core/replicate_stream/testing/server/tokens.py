"""Tokens out of a script, wherever they come from.

What is not async runs in a thread of its own, so that it may block. It is asked for one token at a
time and never runs ahead: a cancelled prediction's function stops where it is.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar, cast

from replicate_stream.testing.server.replies import (
    Answer,
    Piece,
    Reply,
    Script,
    Tokens,
    as_reply,
    scripted_answer,
)

T = TypeVar("T")
_END = object()


class Worker:
    """A daemon thread that does one thing after the other for an event loop, once it is needed."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    async def do(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in the thread and return what it returns."""
        future: asyncio.Future[T] = self._loop.create_future()

        def job() -> None:
            try:
                result = function(*args)
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                self._report(future, None, error)
            else:
                self._report(future, result, None)

        if not self._thread.is_alive():
            self._thread.start()
        self._jobs.put(job)
        return await future

    def leave(self, function: Callable[[], None]) -> None:
        """Have a function run after what the thread is doing now, without waiting for it."""
        self._jobs.put(function)

    def finish(self) -> None:
        """End the thread, after everything that was given to it."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _report(self, future: asyncio.Future[T], result: Any, error: BaseException | None) -> None:
        def settle() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:  # the emulator was stopped meanwhile: nobody waits any more
            return


@asynccontextmanager
async def play(
    script: Script, input_: Mapping[str, Any]
) -> AsyncGenerator[tuple[Reply, AsyncGenerator[Piece, None]], None]:
    """Give a script the input. On leaving, its iterator is closed and its thread ended.

    Raises:
        Exception: Whatever the script's function raises.
    """
    worker = Worker("replicate-emulator-reply")
    try:
        reply = as_reply(await _answer(script, dict(input_), worker))
        async with aclosing(_walk(reply.tokens, worker)) as tokens:
            yield reply, tokens
    finally:
        worker.finish()


async def _answer(script: Script, input_: dict[str, Any], worker: Worker) -> Answer:
    if script is None:
        return scripted_answer(input_)
    if not callable(script):
        return script
    given = script(input_) if _is_async(script) else await worker.do(script, input_)
    return await given if inspect.isawaitable(given) else given


async def _walk(tokens: Tokens, worker: Worker) -> AsyncGenerator[Piece, None]:
    if isinstance(tokens, AsyncIterable):
        try:
            async for token in tokens:
                yield token
        finally:
            if inspect.isasyncgen(tokens):
                await tokens.aclose()
    elif isinstance(tokens, (list, tuple)):
        for token in tokens:
            yield token
    else:
        iterator = iter(tokens)
        try:
            while (item := await worker.do(next, iterator, _END)) is not _END:
                yield cast("Piece", item)
        finally:
            if inspect.isgenerator(iterator):
                worker.leave(iterator.close)


def _is_async(function: object) -> bool:
    candidates = (function, getattr(function, "__call__", None))  # noqa: B004 - not a test for it
    return any(inspect.iscoroutinefunction(c) or inspect.isasyncgenfunction(c) for c in candidates)

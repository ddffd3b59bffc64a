"""Tokens out of a script, wherever they come from.

A function that is not async runs in a thread of its own, so that it may block. It is asked for one
token at a time and never runs ahead: a cancelled prediction's function stops where it is.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from replicate_stream.testing._replies import (
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
    """A daemon thread that does one thing after the other for an event loop."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._work, name=name, daemon=True).start()

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

        self._jobs.put(job)
        return await future

    def finish(self, last: Callable[[], None] | None = None) -> None:
        """End the thread, after what it is doing now and one last thing."""
        if last is not None:
            self._jobs.put(last)
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
    if script is None:
        script = scripted_answer(input_)
    if not callable(script):
        reply = as_reply(script)
        async with _closing(_walk(reply.tokens)) as tokens:
            yield reply, tokens
        return
    worker = None if _is_async(script) else Worker("replicate-emulator-reply")
    iterator: list[Iterator[Piece]] = []
    try:
        given = script(dict(input_)) if worker is None else await worker.do(script, dict(input_))
        answer = await given if inspect.isawaitable(given) else given
        reply = as_reply(answer)
        async with _closing(_walk(reply.tokens, worker, iterator)) as tokens:
            yield reply, tokens
    finally:
        if worker is not None:
            closers = [it.close for it in iterator if inspect.isgenerator(it)]
            worker.finish(closers[0] if closers else None)


@asynccontextmanager
async def _closing(
    tokens: AsyncGenerator[Piece, None],
) -> AsyncGenerator[AsyncGenerator[Piece, None], None]:
    try:
        yield tokens
    finally:
        await tokens.aclose()


async def _walk(
    tokens: Tokens, worker: Worker | None = None, opened: list[Iterator[Piece]] | None = None
) -> AsyncGenerator[Piece, None]:
    if isinstance(tokens, AsyncIterable):
        try:
            async for token in tokens:
                yield token
        finally:
            if inspect.isasyncgen(tokens):
                await tokens.aclose()
    elif isinstance(tokens, (list, tuple)) or worker is None:
        for token in tokens:
            yield token
    else:
        iterator = iter(tokens)
        if opened is not None:
            opened.append(iterator)
        while (item := await worker.do(next, iterator, _END)) is not _END:
            yield cast("Piece", item)


def _is_async(function: object) -> bool:
    candidates = (function, getattr(function, "__call__", None))  # noqa: B004 - not a test for it
    return any(inspect.iscoroutinefunction(c) or inspect.isasyncgenfunction(c) for c in candidates)

"""An async stream in a task of its own, which is cancelled once when the stream is left.

A web server cancels the task of a client that has gone again and again, until it ends. That breaks
off the cleanup of whatever the task reads from, and LangGraph's nodes, for one, go on: unread, and
paid for. A task that is cancelled once cleans up undisturbed.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from replicate_stream._api.tasks import start_task

T = TypeVar("T")
_PATIENCE = 1.0
"""Seconds until a cleanup is cancelled too: some of them read on, and wait for the end."""


class cancel_on_exit(AsyncIterator[T]):  # noqa: N801 - used as `contextlib.aclosing` is
    """An async stream that is cancelled when it is left before its end.

        StreamingResponse(cancel_on_exit(answer(question)))

        async with cancel_on_exit(agent.astream(inputs, stream_mode="messages")) as chunks:
            async for chunk in chunks: ...

    It is left by `break`, an exception, `aclose()`, the end of the `async with` block, a
    cancellation of the reader, however often it is repeated, or the loss of the last reference. The
    block and `aclose()` also wait until the cleanup of the stream is done.

    A task of its own reads the stream. It starts with the first item, has the context variables of
    that moment, and reads no item before it is asked for. Errors are raised as they are.

    Args:
        stream: Any async iterator or iterable.
        cancel: A function, async or not, which stops what feeds the stream in the background.
            Called only if the stream is left before its end, before the stream is cancelled.

    Raises:
        TypeError: `stream` is not an async iterable, but e.g. a coroutine that was not awaited.
        RuntimeError: An item is asked for while another one is waited for.
    """

    def __init__(
        self, stream: AsyncIterable[T], cancel: Callable[[], object] | None = None
    ) -> None:
        self._is_over = True  # until there is something to cancel, for `__del__`
        if not isinstance(stream, AsyncIterable):
            remedy = "; await it first" if inspect.isawaitable(stream) else ""
            raise TypeError(
                f"stream is of type {type(stream).__name__}; it must be an async iterator{remedy}"
            )
        self._is_over = False
        self._iterator = aiter(stream)
        self._cancel = cancel
        self._task: asyncio.Task[None] | None = None
        self._cleanup: list[asyncio.Task[None]] = []
        self._requests: asyncio.Queue[asyncio.Future[T]] = asyncio.Queue()
        self._item: asyncio.Future[T] | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._on_reader_done = partial(_leave_if_cancelled, weakref.ref(self))
        self._loop: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):  # it may be made in a thread without a loop
            self._loop = asyncio.get_running_loop()

    async def __anext__(self) -> T:
        if self._is_over:
            raise StopAsyncIteration
        if self._item is not None and not self._item.done():
            raise RuntimeError("another item of this stream is waited for already")
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = start_task(_read(self._iterator, self._requests))
        elif self._task.done():  # cancelled by others, such as a loop that shuts down
            raise asyncio.CancelledError
        if (reader := asyncio.current_task()) is not self._reader:
            self._watch(reader)
        self._item = asyncio.get_running_loop().create_future()
        self._requests.put_nowait(self._item)
        try:
            return await self._item
        except asyncio.CancelledError:
            self._leave()
            raise
        except BaseException:
            self._is_over = True
            self._watch(None)
            self._item = None  # with the error, whose traceback has this frame: a cycle
            raise

    async def aclose(self) -> None:
        """Cancel the stream, unless it has ended, and wait until its cleanup is done.

        Raises:
            Exception: What the cleanup of the stream, or `cancel`, has raised.
        """
        self._leave()
        if self._cleanup:
            await asyncio.wait(self._cleanup)  # which passes no further cancellation on
            for task in self._cleanup:
                if not task.cancelled():
                    task.result()

    async def __aenter__(self) -> cancel_on_exit[T]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # The garbage collector calls this in any thread.
        if not self._is_over and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._leave)

    def _watch(self, reader: asyncio.Task[Any] | None) -> None:
        """Leave the stream when the reader is cancelled, be it between two items.

        Its references alone do not tell: anyio's task groups keep a cancellation, and with it what
        the task had in hand, until the garbage collector runs.
        """
        if self._reader is not None:
            self._reader.remove_done_callback(self._on_reader_done)
        if reader is not None:
            reader.add_done_callback(self._on_reader_done)
        self._reader = reader

    def _leave(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._watch(None)
        if self._cancel is not None:
            self._cleanup.append(start_task(_call(self._cancel)))
        if self._task is not None:
            self._task.cancel()
            asyncio.get_running_loop().call_later(_PATIENCE, self._task.cancel)
            self._cleanup.append(self._task)


def _leave_if_cancelled(
    stream: weakref.ref[cancel_on_exit[Any]], reader: asyncio.Task[Any]
) -> None:
    # One that ends may have read a single item for another.
    if reader.cancelled() and (left := stream()) is not None:
        left._leave()  # noqa: SLF001 - its own


async def _call(function: Callable[[], object]) -> None:
    result = function()
    if inspect.isawaitable(result):
        await result


async def _read(iterator: AsyncIterator[T], requests: asyncio.Queue[asyncio.Future[T]]) -> None:
    """Read an item for each request, until the iterator ends or this task is cancelled."""
    # A task keeps the cancellation that ended it, whose traceback would keep alive, and unclosed,
    # the streams that the iterator reads.
    with suppress(asyncio.CancelledError):
        try:
            while await _read_item(iterator, await requests.get()):
                pass
        finally:
            close: Any = getattr(iterator, "aclose", None)
            if close is not None:
                await close()


async def _read_item(iterator: AsyncIterator[T], item: asyncio.Future[T]) -> bool:
    """Read one item; return False after the last one, and if nobody waits for it any more."""
    try:
        value = await anext(iterator)
    except asyncio.CancelledError:
        item.cancel()
        raise
    except BaseException as error:
        if not item.done():
            item.set_exception(error)
            del item  # as in `__anext__`
        elif not isinstance(error, StopAsyncIteration):
            raise
        if isinstance(error, (KeyboardInterrupt, SystemExit)):  # which stop the loop, too
            raise
        return False
    if item.done():
        return False
    item.set_result(value)
    return True

"""Callback decorators for methods that return a stream, which close the stream with its reader.

The framework's decorators wrap a stream in a generator that never closes it. The garbage collector
does so, but not while a callback handler holds the exception that ended the reading, as
`LlamaDebugHandler` does. Until then the prediction would run on, and cost.

A stream that is left or cancelled ends for the framework's handlers with its last response, which
has the token counts of the record, instead of with an error, which has none.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from functools import update_wrapper
from threading import get_ident
from typing import Any, Protocol, TypeVar, cast

from llama_index_replicate_stream._from_core import is_canceled
from replicate_stream.adapters import StreamLeft

Method = TypeVar("Method", bound=Callable[..., Any])


class Callback(Protocol):
    """A callback decorator of the framework, whose own annotation loses the method's type."""

    def __call__(self, method: Method, /) -> Method:
        """Decorate a method."""
        ...


def stream_callback(callback: Callback) -> Callback:
    """Return a decorator for methods that return a generator.

    Args:
        callback: `llm_chat_callback()` or `llm_completion_callback()`.
    """

    def decorate(method: Method) -> Method:
        def endpoint(*args: Any, **kwargs: Any) -> Generator[Any, None, None]:
            streams: list[Generator[Any, None, None]] = []

            # The framework's decorator calls this. The stream is kept in the closure, because all
            # arguments go into the framework's events.
            def open_stream(*args: Any, **kwargs: Any) -> Generator[Any, None, None]:
                streams.append(method(*args, **kwargs))
                return streams[0]

            observed = callback(open_stream)(*args, **kwargs)
            return _read(observed, streams[0])

        return copy_names(method, endpoint)

    return decorate


def astream_callback(callback: Callback) -> Callback:
    """Return a decorator for coroutine functions that return an async generator."""

    def decorate(method: Method) -> Method:
        async def endpoint(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            streams: list[AsyncGenerator[Any, None]] = []

            async def open_stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
                streams.append(await method(*args, **kwargs))
                return streams[0]

            observed = await callback(open_stream)(*args, **kwargs)
            return _aread(observed, streams[0])

        return copy_names(method, endpoint)

    return decorate


def _read(
    observed: Generator[Any, None, None], stream: Generator[Any, None, None]
) -> Generator[Any, None, None]:
    with closing(stream), closing(observed):
        for response in observed:
            reader = get_ident()
            try:
                yield response
            except GeneratorExit:
                # Not in a thread that never waited for the stream: the garbage collector or a web
                # server may drop it in that of an event loop, which has others to serve. Nor at
                # the exit of Python, when nothing can be imported any more.
                if get_ident() == reader and not sys.is_finalizing():
                    stream.throw(StreamLeft)
                    for _ in observed:  # to its end, at which the framework counts tokens
                        pass
                raise


async def _aread(
    observed: AsyncGenerator[Any, None], stream: AsyncGenerator[Any, None]
) -> AsyncGenerator[Any, None]:
    cancellation: asyncio.CancelledError | None = None
    async with aclosing(stream), aclosing(observed):
        async for response in observed:
            if is_canceled(response):  # the reader is cancelled, too
                # Kept from the framework, whose handlers get the last response instead.
                cancellation = await stream.athrow(StreamLeft)
                continue
            try:
                yield response
            except GeneratorExit:
                await stream.athrow(StreamLeft)
                async for _ in observed:  # to its end, at which the framework counts tokens
                    pass
                raise
    if cancellation is not None:
        raise cancellation  # itself: a cancel scope knows its own


def copy_names(method: Method, endpoint: Callable[..., Any]) -> Method:
    """Copy a method's name, docstring and annotations to the function that replaces it."""
    wrapper = update_wrapper(endpoint, method, updated=())
    # By this attribute the framework's spans would bind the arguments to the method itself, and
    # raise another error for a missing prompt than the framework's decorator.
    del wrapper.__wrapped__
    return cast("Method", wrapper)

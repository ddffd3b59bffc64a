"""Streams that are closed when their reader stops, and not some time later, or never.

The framework's callback decorators wrap a stream in a generator that never closes it. It is left to
the garbage collector, which does not come while a callback handler keeps the exception that ended
the reading: `LlamaDebugHandler` does. So here the stream is closed by the one who reads it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import aclosing, closing
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Callback = Callable[[Callable[..., Any]], Callable[..., Any]]


def streams(
    callback: Callback,
) -> Callable[[Callable[P, Generator[T, None, None]]], Callable[P, Generator[T, None, None]]]:
    """Decorate a method that gives a stream, with a callback decorator of the framework inside.

    Args:
        callback: `llm_chat_callback()` or `llm_completion_callback()`.
    """

    def decorate(
        method: Callable[P, Generator[T, None, None]],
    ) -> Callable[P, Generator[T, None, None]]:
        def endpoint(*args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
            opened: list[Generator[T, None, None]] = []

            # It is the framework's decorator that calls this. The stream must not be handed to it
            # among the arguments, which go into its events.
            def opening(*args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
                opened.append(method(*args, **kwargs))
                return opened[0]

            observed = callback(opening)(*args, **kwargs)
            return _read(observed, opened[0])

        return _named_as(method, endpoint)

    return decorate


def astreams(
    callback: Callback,
) -> Callable[
    [Callable[P, Awaitable[AsyncGenerator[T, None]]]],
    Callable[P, Coroutine[Any, Any, AsyncGenerator[T, None]]],
]:
    """The same for a coroutine that gives an async stream."""

    def decorate(
        method: Callable[P, Awaitable[AsyncGenerator[T, None]]],
    ) -> Callable[P, Coroutine[Any, Any, AsyncGenerator[T, None]]]:
        async def endpoint(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
            opened: list[AsyncGenerator[T, None]] = []

            async def opening(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
                opened.append(await method(*args, **kwargs))
                return opened[0]

            observed = await callback(opening)(*args, **kwargs)
            return _aread(observed, opened[0])

        return _named_as(method, endpoint)

    return decorate


def _read(
    observed: Generator[T, None, None], stream: Generator[T, None, None]
) -> Generator[T, None, None]:
    with closing(stream), closing(observed):
        yield from observed


async def _aread(
    observed: AsyncGenerator[T, None], stream: AsyncGenerator[T, None]
) -> AsyncGenerator[T, None]:
    async with aclosing(stream), aclosing(observed):
        async for item in observed:
            yield item


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def _named_as(method: Callable[..., Any], endpoint: Endpoint) -> Endpoint:
    """What `functools.wraps` does, without its `__wrapped__`.

    By that, the framework's spans would bind the arguments to the method itself, and a missing
    prompt would no longer be the error that the framework's decorator makes of it.
    """
    endpoint.__name__ = method.__name__
    endpoint.__qualname__ = method.__qualname__
    endpoint.__doc__ = method.__doc__
    endpoint.__annotations__ = method.__annotations__
    return endpoint

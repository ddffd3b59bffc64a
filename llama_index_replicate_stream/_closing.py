"""Streams that are closed when their reader stops, and not some time later.

The framework's callback decorator wraps a stream in a generator that never closes it: it is left to
the garbage collector. Here the stream that was opened is remembered, and closed after its wrapper.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

_opened: ContextVar[list[AsyncGenerator[object, None]] | None] = ContextVar("opened", default=None)


def remember(stream: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Note a stream that is being returned through the decorator; to be called inside it."""
    opened = _opened.get()
    if opened is not None:
        opened.append(stream)
    return stream


async def closed_with(start: Awaitable[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Start a decorated stream, and give one that closes it and the streams inside it."""
    opened: list[AsyncGenerator[object, None]] = []
    token = _opened.set(opened)
    try:
        wrapper = await start
    finally:
        _opened.reset(token)
    return _read(wrapper, opened)


async def _read(
    wrapper: AsyncGenerator[T, None], opened: list[AsyncGenerator[object, None]]
) -> AsyncGenerator[T, None]:
    try:
        async for item in wrapper:
            yield item
    finally:
        await wrapper.aclose()
        for stream in opened:
            await stream.aclose()

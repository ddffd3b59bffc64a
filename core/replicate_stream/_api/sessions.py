"""aiohttp's sessions, one for each event loop, closed in time although nobody closes them.

A session belongs to its loop, and a client is used in several: one for every `asyncio.run`. An
async generator closes each session, because `asyncio.run` closes a loop's generators before the
loop. aiohttp is imported at first use.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import os
import socket
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from replicate_stream._version import __version__

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver


T = TypeVar("T")


class _OpenSession(NamedTuple):
    session: aiohttp.ClientSession
    closer: AsyncGenerator[None, None]
    process: int


_OpenSessions: TypeAlias = "dict[asyncio.AbstractEventLoop, _OpenSession]"


class Sessions:
    """The sessions of one owner, closed when the owner is closed or collected.

    Args:
        owner: The object whose collection closes the sessions.
        force_close: Whether to close a connection after each request.
    """

    def __init__(self, owner: object, *, force_close: bool = False) -> None:
        self._open: _OpenSessions = {}
        self._force_close = force_close
        # The finalizer refers to the sessions, so that the garbage collector never finds them
        # together with their owner: it would finalize both, and an open session warns then.
        weakref.finalize(owner, _close_all, self._open).atexit = False
        _all.add(self)

    async def get(self) -> aiohttp.ClientSession:
        """Return the running loop's session; open one if there is none."""
        await import_in_thread("aiohttp")
        loop = asyncio.get_running_loop()
        entry = self._open.get(loop)
        if entry is None or entry.session.closed:
            _close_all({k: self._open.pop(k) for k in list(self._open) if k.is_closed()})
            session = _create_session(force_close=self._force_close)
            closer = _close_at_loop_end(session)
            await closer.__anext__()  # the loop knows a generator only once it has started
            entry = self._open[loop] = _OpenSession(session, closer, os.getpid())
        return entry.session

    def close_at_exit(self) -> None:
        """Close the sessions of loops that do not run, as nobody will run them any more."""
        for loop, entry in list(self._open.items()):
            if loop.is_closed():
                _close(loop, entry.session)
            # A daemon thread may still use its own, and a forked child shares its parent's sockets.
            elif not loop.is_running() and entry.process == os.getpid():
                loop.run_until_complete(entry.closer.aclose())

    async def aclose(self) -> None:
        """Close the running loop's session; a later request opens a new one."""
        entry = self._open.pop(asyncio.get_running_loop(), None)
        if entry is not None:
            await entry.closer.aclose()


_all: weakref.WeakSet[Sessions] = weakref.WeakSet()


@atexit.register
def _close_at_exit() -> None:
    for sessions in list(_all):
        sessions.close_at_exit()


_tasks: set[asyncio.Task[Any]] = set()


def start_task(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task and keep it until it is done: an event loop refers to its tasks only weakly."""
    task = asyncio.ensure_future(coroutine)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def import_in_thread(module: str) -> None:
    """Import a module, in a thread unless it is loaded: an import would block the event loop."""
    if module not in sys.modules:
        await asyncio.to_thread(importlib.import_module, module)


def _close_all(sessions: _OpenSessions) -> None:
    """Close sessions, each in its own loop. May be called from any thread."""
    for loop, entry in list(sessions.items()):
        _close(loop, entry.session)


def _close(loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession) -> None:
    try:
        # The coroutine is created by the call: if the loop ends before, none is left unawaited.
        loop.call_soon_threadsafe(lambda: start_task(session.close()))
    except RuntimeError:  # the loop is closed
        _close_without_loop(session)


def _close_without_loop(session: aiohttp.ClientSession) -> None:
    """Close a session whose loop runs no more: run the coroutine up to its first wait."""
    with contextlib.suppress(StopIteration, RuntimeError):
        session.close().send(None)


async def _close_at_loop_end(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        # Not every loop closes its generators before it ends; nest_asyncio's does not. At the end
        # of the process the generator is then closed without a running loop.
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            _close_without_loop(session)
        else:
            await session.close()


def _create_session(*, force_close: bool) -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        # No limit: a stream holds its connection until the answer is complete.
        connector=aiohttp.TCPConnector(
            limit=0, force_close=force_close, resolver=_create_resolver()
        ),
        headers={"User-Agent": f"replicate-stream/{__version__}"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _create_resolver() -> AbstractResolver:
    from aiohttp.abc import AbstractResolver, ResolveResult
    from aiohttp.resolver import DefaultResolver

    class Resolver(AbstractResolver):
        """Resolves names in this thread once Python, on its way out, starts no other one."""

        def __init__(self) -> None:
            self._default = DefaultResolver()

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            if threading.main_thread().is_alive():
                return await self._default.resolve(host, port, family)
            return [
                ResolveResult(
                    hostname=host,
                    host=str(address[0]),
                    port=port,
                    family=address_family,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST,
                )
                for address_family, _, protocol, _, address in socket.getaddrinfo(
                    host, port, family, socket.SOCK_STREAM
                )
            ]

        async def close(self) -> None:
            await self._default.close()

    return Resolver()

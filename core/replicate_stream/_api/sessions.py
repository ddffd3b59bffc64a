"""aiohttp's sessions: one for each event loop and for equal settings, shared by all clients there.

A program may make a client for each request; with a session of its own, each would open connections
of its own. A session holds no token: that is a header of each request.

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
from collections.abc import AsyncGenerator, Hashable
from typing import TYPE_CHECKING, Any, TypeAlias

from replicate_stream._api.dial_ahead import StreamHost
from replicate_stream._api.errors import get_connection_errors
from replicate_stream._api.tasks import is_loop_running, start_task
from replicate_stream._version import __version__

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver


_Key: TypeAlias = "tuple[Hashable, bool]"

KEEP_UNUSED = 15.0
"""Seconds for which connections stay open after the last client was collected.

As long as aiohttp keeps an idle one. The next request may have a client of its own.
"""
MAX_UNUSED = 8
"""Number of sessions of a loop that are kept in this way: those that were left last."""
MAX_STREAM_HOSTS = 256
"""Number of tokens whose stream host a session remembers."""


class Sessions:
    """The sessions of one owner, which it shares with all owners of the same key.

    A session is closed with the last owner that is closed, or `KEEP_UNUSED` seconds after the last
    one was collected, or with its loop.

    Args:
        owner: The object whose collection leaves the sessions.
        key: The settings of the connections.
        force_close: Whether to close a connection after each request.
    """

    def __init__(self, owner: object, key: Hashable, *, force_close: bool = False) -> None:
        self._key = key, force_close
        self._user = object()
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}
        weakref.finalize(owner, _leave_all, self._pools, self._user).atexit = False

    async def get(self) -> aiohttp.ClientSession:
        """Return the running loop's session; open one if there is none."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None or not pool.is_open:
            await import_in_thread("aiohttp")
            for closed in [each for each in list(self._pools) if each.is_closed()]:
                self._pools.pop(closed, None)  # another thread may forget it at this moment
            pool = self._pools[loop] = await _open_pool(loop, self._key)
            pool.join(self._user)
        return pool.session

    def get_stream_host(self, token_hash: bytes) -> StreamHost | None:
        """Return the host of a token's streams in the running loop; None without a session there.

        All owners of the session share it, also one that has not used it yet.
        """
        pool = _pools.get((asyncio.get_running_loop(), self._key))
        return None if pool is None or not pool.is_open else pool.get_stream_host(token_hash)

    async def aclose(self) -> None:
        """Leave the running loop's session, and close it unless another owner uses it."""
        if not is_loop_running():  # in a forked child, to which neither loop nor session belong
            return
        loop = asyncio.get_running_loop()
        if left := self._pools.pop(loop, None):
            left.users.discard(self._user)
        # Whether it was used or not: this may be the last owner, and the user was collected.
        pool = _pools.get((loop, self._key))
        if pool is not None and not pool.users:
            await pool.aclose()


class _Pool:
    """A session and its users. All but `leave` is called in its loop, or when that is closed.

    Attributes:
        session: The session.
        users: One object for each owner that has used it, and was neither closed nor collected.
        loop: The event loop.
        timer: Closes the session; None while it has users.
        left_at: When its last user was collected, in the loop's time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, key: _Key) -> None:
        self.session = _create_session(force_close=key[1])
        self.users: set[object] = set()
        self.loop = loop
        self.timer: asyncio.TimerHandle | None = None
        self.left_at = 0.0
        self._stream_hosts: dict[bytes, StreamHost] = {}
        self._place = loop, key
        self._process = os.getpid()
        self._closer = self._close_at_loop_end()

    @property
    def is_open(self) -> bool:
        """Whether it can be used. In a forked child it cannot: the sockets are its parent's."""
        return not self.session.closed and self._process == os.getpid()

    async def open(self) -> None:
        """Offer it to all owners."""
        await self._closer.__anext__()  # the loop knows a generator only once it has started
        _pools[self._place] = self

    def get_stream_host(self, token_hash: bytes) -> StreamHost:
        """Return the host of a token's streams."""
        host = self._stream_hosts.get(token_hash)
        if host is None:
            if len(self._stream_hosts) >= MAX_STREAM_HOSTS:  # forget the oldest
                self._stream_hosts.pop(next(iter(self._stream_hosts))).close()
            host = self._stream_hosts[token_hash] = StreamHost(self.session)
        return host

    def join(self, user: object) -> None:
        """Add a user."""
        self.users.add(user)
        self._stop_timer()

    def leave(self, user: object) -> None:
        """Remove a user that was collected. May be called from any thread."""
        self.users.discard(user)
        if self.users or not self.is_open:
            return
        try:
            self.loop.call_soon_threadsafe(self._start_timer)
        except RuntimeError:  # the loop is closed
            self.close_without_loop()

    async def aclose(self) -> None:
        """Close it. The next request of an owner opens another one."""
        self._withdraw()  # first: nobody may join it while it is being closed
        await self._closer.aclose()

    def close_without_loop(self) -> None:
        """Close it although its loop runs no more: run the coroutine up to its first wait."""
        self._withdraw()
        self._close_dials()
        with contextlib.suppress(StopIteration, RuntimeError):
            self.session.close().send(None)

    def _start_timer(self) -> None:
        if self.users or not self.is_open:  # joined, or closed, in the meantime
            return
        self._stop_timer()
        self.left_at = self.loop.time()
        self.timer = self.loop.call_later(KEEP_UNUSED, self.close_unused)
        unused = [p for p in list(_pools.values()) if p.timer is not None and p.loop is self.loop]
        if len(unused) > MAX_UNUSED:
            min(unused, key=lambda pool: pool.left_at).close_unused()

    def close_unused(self) -> None:
        """Close it in a task."""
        self._withdraw()
        start_task(self.aclose())

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _withdraw(self) -> None:
        self._stop_timer()
        if _pools.get(self._place) is self:
            _pools.pop(self._place, None)

    def _close_dials(self) -> list[asyncio.Task[Any]]:
        return [task for host in self._stream_hosts.values() for task in host.close()]

    async def _close_at_loop_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._withdraw()
            # Not every loop closes its generators before it ends; nest_asyncio's does not. At the
            # end of the process the generator is then closed without a running loop.
            if is_loop_running():
                if dials := self._close_dials():
                    await asyncio.wait(dials)
                await self.session.close()
            else:
                self.close_without_loop()


_pools: dict[tuple[asyncio.AbstractEventLoop, _Key], _Pool] = {}
_inherited: list[_Pool] = []


async def _open_pool(loop: asyncio.AbstractEventLoop, key: _Key) -> _Pool:
    """Return the loop's pool for these settings; open one if there is none."""
    pool = _pools.get((loop, key))
    if pool is None:
        for other in list(_pools.values()):
            if other.loop.is_closed():
                other.close_without_loop()
        pool = _Pool(loop, key)
        await pool.open()
    return pool


def _leave_all(pools: dict[asyncio.AbstractEventLoop, _Pool], user: object) -> None:
    for pool in list(pools.values()):
        pool.leave(user)


@atexit.register
def _close_at_exit() -> None:
    """Close the sessions of loops that do not run, as nobody will run them any more."""
    for pool in list(_pools.values()):
        if pool.loop.is_closed():
            pool.close_without_loop()
        elif not pool.loop.is_running():  # a daemon thread may still use its own
            pool.loop.run_until_complete(pool.aclose())


def _set_aside_after_fork() -> None:
    # Not closed, for that would disturb the parent, with which the child shares the sockets and the
    # loop's selector.
    _inherited.extend(_pools.values())
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_set_aside_after_fork)


async def import_in_thread(module: str) -> None:
    """Import a module, in a thread unless it is loaded: an import would block the event loop."""
    if module not in sys.modules:
        await asyncio.to_thread(importlib.import_module, module)


def _create_session(*, force_close: bool) -> aiohttp.ClientSession:
    import aiohttp

    get_connection_errors()  # here, for a reading that the exit ends, when nothing can be imported
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

"""Dial ahead: a connection to the stream host is opened while the prediction is created.

The stream server keeps each connection for one stream (docs/replicate-api.md 3.3), so every stream
needs a new one: TCP and TLS, two or three round trips. They have passed when the service answers
the POST, if they begin with it. The host is the one that the service named for the last prediction.
It receives a handshake, and nothing else until the stream is requested.

This rests on `connect` of aiohttp's connector, which takes a request of a class that aiohttp does
not document. If that fails, in whatever way, the stream's own request connects.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from replicate_stream._api.tasks import mute_task
from replicate_stream._api.watch import get_watch
from replicate_stream._logging import log
from replicate_stream._settings import cut_path, is_readable

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.connector import Connection

    _Destination: TypeAlias = "tuple[aiohttp.ClientRequest, aiohttp.ClientTimeout]"


MAX_SECONDS = 5.0
"""Longest time from the start of a dial until its connection is used, or else closed."""
MAX_WASTED = 3
"""Number of dials in a row that may go unused. Then there is a pause."""
PAUSE = 60.0
"""Seconds of a pause. One dial follows, and then another pause unless it was used."""

_Connecting: TypeAlias = "asyncio.Task[Connection | None]"


class StreamHost:
    """The host of one token's streams, and the connections that are dialled to it.

    Attributes:
        origin: Scheme, host and port of the last prediction's stream; None if it had no stream.
        wasted: Number of dials in a row that were not used.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.origin: str | None = None
        self.wasted = 0
        self._session = session
        self._destination: tuple[str, _Destination] | None = None
        self._pause_until = 0.0  # in the time of `time.monotonic`
        self._dials: set[Dial] = set()

    def note(self, url: str | None) -> None:
        """Note the stream's URL of a prediction that was created. Its path is a secret."""
        self.origin = _get_origin(url) if is_readable(url) else None

    def dial(self) -> Dial | None:
        """Start to open a connection; return None without a known host, and in a pause."""
        if self.origin is None or not self._may_dial():
            return None
        dial = Dial(self, self.origin, self._connect(self.origin))
        self._dials.add(dial)
        return dial

    async def _connect(self, origin: str) -> Connection | None:
        """Take a connection from the pool, or open one; return None if that fails."""
        try:
            connector = self._session.connector
            if connector is None:
                return None
            # Built once: for each dial they would cost a hundredth of a short answer.
            if self._destination is None or self._destination[0] != origin:
                self._destination = origin, _build_destination(self._session, origin)
            request, timeout = self._destination[1]
            return await connector.connect(request, [], timeout)
        except Exception as error:  # noqa: BLE001 - another version of aiohttp may raise anything
            log.debug("no connection could be dialled ahead: %s", type(error).__name__)
            return None

    def _may_dial(self) -> bool:
        if self.wasted < MAX_WASTED:
            # After a waste, those that are open might be wasted, too.
            return not self.wasted or self.wasted + len(self._dials) < MAX_WASTED
        now = time.monotonic()
        if now < self._pause_until:
            return False
        self._pause_until = now + PAUSE
        return True

    def end(self, dial: Dial, *, is_used: bool) -> None:
        """Count a dial that has ended."""
        self._dials.discard(dial)
        self.wasted = 0 if is_used else self.wasted + 1
        if not is_used:
            log.debug("a connection dialled ahead was not used: %d in a row", self.wasted)
        if self.wasted == MAX_WASTED:
            self._pause_until = time.monotonic() + PAUSE

    def close(self) -> list[_Connecting]:
        """Close all connections; return the tasks that were opening them, which end at once."""
        return [dial.close() for dial in list(self._dials)]


class Dial:
    """A connection that is opened, and then waits for its stream.

    Attributes:
        expires_at: When it is closed if it was not used, in the loop's time.
    """

    def __init__(
        self, host: StreamHost, origin: str, connecting: Coroutine[Any, Any, Connection | None]
    ) -> None:
        self._host = host
        self._origin = origin
        self._is_over = False
        loop = asyncio.get_running_loop()
        self._connecting: _Connecting = mute_task(loop.create_task(connecting))
        self.expires_at = loop.time() + MAX_SECONDS
        self._watch = get_watch(loop)
        self._watch.add(self)

    def expire(self) -> None:
        """Close the connection, which has waited too long: called by the watch."""
        self.close()

    def note_stream(self, url: str | None) -> None:
        """Note the prediction's stream; close the connection if that is not on its host."""
        self._host.note(url)
        if self._host.origin != self._origin:
            self.close()

    async def use(self) -> None:
        """Put the connection into the pool, for a request that follows at once.

        A connection that is still being opened is waited for: another one would take longer.
        """
        try:
            if not self._connecting.done():
                await asyncio.wait({self._connecting})  # until it expires, which cancels it
            connection = _get_connection(self._connecting)
            if not self._is_over and connection is not None and not connection.closed:
                self._end(is_used=True)
                connection.release()
        finally:
            self.close()

    def close(self) -> _Connecting:
        """Close the connection, unless it was used; return the task that was opening it."""
        connecting = self._connecting
        if not self._is_over:
            self._end(is_used=False)
            with suppress(RuntimeError):  # the loop is closed
                if not connecting.done():
                    connecting.cancel()
                elif (connection := _get_connection(connecting)) is not None:
                    connection.close()
        return connecting

    def _end(self, *, is_used: bool) -> None:
        self._is_over = True
        self._watch.remove(self)
        self._host.end(self, is_used=is_used)


def _build_destination(session: aiohttp.ClientSession, origin: str) -> _Destination:
    """Build what aiohttp's connector takes for a connection."""
    import aiohttp
    from yarl import URL  # the class of aiohttp's URLs

    request = aiohttp.ClientRequest(
        "GET",
        URL(origin),
        loop=asyncio.get_running_loop(),
        # aiohttp 3.10 tells connections apart by them, with and without a proxy.
        proxy_headers=session.headers,
    )
    return request, aiohttp.ClientTimeout(total=None, sock_connect=MAX_SECONDS)


def _get_connection(connecting: _Connecting) -> Connection | None:
    """Return the connection of a task that has ended; None if it has failed.

    Up to Python 3.10 Ctrl-C is raised in any task, such as this one. It has stopped the loop, and
    must not be raised again by whoever cleans up.
    """
    if connecting.cancelled() or connecting.exception() is not None:
        return None
    return connecting.result()


def _get_origin(url: str) -> str:
    return _write_origin(cut_path(url))


@lru_cache(maxsize=64)
def _write_origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

"""aiohttp's sessions, one for each event loop, closed in time without anybody's doing.

An async generator keeps each: `asyncio.run` closes a loop's generators before the loop. aiohttp is
imported at first use.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
import weakref
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from replicate_stream._version import __version__

if TYPE_CHECKING:
    import aiohttp


@dataclass(frozen=True, slots=True)
class _Keeper:
    session: aiohttp.ClientSession
    life: AsyncGenerator[None, None]


_Keepers: TypeAlias = "dict[asyncio.AbstractEventLoop, _Keeper]"


class Sessions:
    """The sessions of one owner, closed when it is closed or collected.

    Args:
        owner: Who uses them.
        is_reusing: Whether a connection may serve several requests.
    """

    def __init__(self, owner: object, *, is_reusing: bool = True) -> None:
        self._keepers: _Keepers = {}
        self._is_reusing = is_reusing
        # The finalizer holds the sessions, so that the garbage collector never finds them together
        # with what used them: it would finalize both, and an open session complains of that.
        weakref.finalize(owner, _close_all, self._keepers).atexit = False

    async def get(self) -> aiohttp.ClientSession:
        """The running loop's session."""
        await ready("aiohttp")
        loop = asyncio.get_running_loop()
        keeper = self._keepers.get(loop)
        if keeper is None or keeper.session.closed:
            _close_all({k: self._keepers.pop(k) for k in list(self._keepers) if k.is_closed()})
            session = _new_session(is_reusing=self._is_reusing)
            life = _keep(session)
            await life.__anext__()
            keeper = self._keepers[loop] = _Keeper(session, life)
        return keeper.session

    async def aclose(self) -> None:
        """Close the running loop's session; a later request opens a new one."""
        keeper = self._keepers.pop(asyncio.get_running_loop(), None)
        if keeper is not None:
            await keeper.life.aclose()


async def ready(module: str) -> None:
    """Import a module, in a thread if it takes time: the loop has others to serve."""
    if module not in sys.modules:
        await asyncio.to_thread(importlib.import_module, module)


def _close_all(keepers: _Keepers) -> None:
    """Close the sessions of an owner that is no more, each in its own loop; from any thread."""
    for loop, keeper in list(keepers.items()):
        _close(loop, keeper.session)


def _close(loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession) -> None:
    try:
        loop.call_soon_threadsafe(_close_soon, session)
    except RuntimeError:  # the loop is closed: nothing is left to be waited for
        _close_now(session)


def _close_now(session: aiohttp.ClientSession) -> None:
    with contextlib.suppress(StopIteration, RuntimeError):
        session.close().send(None)


def _close_soon(session: aiohttp.ClientSession) -> None:
    """In its loop, so that no coroutine is left over if the loop ends before."""
    task = asyncio.ensure_future(session.close())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()


async def _keep(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        # Not every loop closes its generators before it ends, nest_asyncio's for one. The process
        # then ends with this one, when there is nothing left that could wait.
        if _is_in_loop():
            await session.close()
        else:
            _close_now(session)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _new_session(*, is_reusing: bool) -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        # No limit: a stream holds its connection for as long as the model speaks.
        connector=aiohttp.TCPConnector(limit=0, force_close=not is_reusing),
        headers={"User-Agent": f"replicate-stream/{__version__}"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )

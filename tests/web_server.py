"""A real web server whose client hangs up in mid-stream, and answers that do not end by themselves.

uvicorn tells an application by a message that its client is gone, and Starlette then cancels the
response's task. Servers of ASGI 2.4 raise an error where the application sends.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterable, AsyncIterator, Callable, MutableMapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from typing import Any, Literal

import anyio
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse

from replicate_stream.testing import Emulator

Open = Callable[[], AsyncIterable[Any]]
WORDS = 10  # that a client reads before it leaves


class EndlessAnswer:
    """A model that writes until it is stopped, and counts its words."""

    def __init__(self) -> None:
        self.count = 0
        self.is_stopped = False

    async def __call__(self, _: Any) -> AsyncIterator[str]:
        while not self.is_stopped:
            self.count += 1
            yield "word "

    async def assert_read_on(self, emulator: Emulator) -> None:
        """Assert that the answer goes on, uncancelled; then end it, and all tasks that read it."""
        before = self.count
        await emulator.wait_for_async(lambda _: self.count > before + WORDS)
        assert emulator.cancels == []
        self.is_stopped = True
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=10)


async def leave_in_scope(open_stream: Open, *, between_items: bool = False) -> None:
    """Read ten words of a stream, then be cancelled by an anyio scope, again and again.

    Args:
        open_stream: Opens the stream.
        between_items: The cancellation comes after a word, such as while it is sent, and not while
            the next one is waited for.
    """
    with anyio.CancelScope() as scope:
        count = 0
        async for item in open_stream():
            count += "word" in str(item)
            if count == WORDS:
                scope.cancel()
                if between_items:
                    await anyio.sleep_forever()
    assert scope.cancelled_caught


async def hang_up(open_stream: Open, asgi: str = "2.3") -> None:
    """Serve a stream to a client that hangs up after ten words; return once its request is over.

    Args:
        open_stream: Opens the stream.
        asgi: "2.4" for a server that raises an error when the application sends to nobody.
    """

    async def write_body() -> AsyncIterator[str]:
        async for item in open_stream():
            yield str(item)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        response = StreamingResponse(write_body())
        if asgi == "2.3":
            await response(scope, receive, send)
        else:
            await _send_with_errors(response, scope, receive, send)

    async with serve(app, lifespan="off") as port:
        await _read_words(port)


class _Server(uvicorn.Server):
    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Leave Ctrl-C to pytest: the handler is that of another run of the loop in the end."""
        return nullcontext()


@asynccontextmanager
async def serve(app: Any, lifespan: Literal["on", "off"] = "on") -> AsyncIterator[int]:
    """Serve an application by uvicorn, and yield its port; wait in the end until it is down."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Server(uvicorn.Config(app, lifespan=lifespan, log_config=None))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


async def _read_words(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    received = b""
    while received.count(b"word") < WORDS:
        piece = await asyncio.wait_for(reader.read(1000), 10)
        assert piece, received
        received += piece
    writer.close()
    await writer.wait_closed()


async def _send_with_errors(
    response: StreamingResponse, scope: MutableMapping[str, Any], receive: Any, send: Any
) -> None:
    """Call a response as a server of ASGI 2.4 does."""
    is_gone = asyncio.Event()

    async def watch() -> None:
        await Request(scope, receive).body()
        while (await receive())["type"] != "http.disconnect":
            pass
        is_gone.set()

    async def send_or_raise(message: Any) -> None:
        if is_gone.is_set():
            raise OSError("the client is gone")
        await send(message)

    watching = asyncio.create_task(watch())
    try:
        scope["asgi"] = {"version": "3.0", "spec_version": "2.4"}
        # Not handed on to uvicorn, which would log it: pytest keeps what is logged, and an error
        # that is kept refers to the generator of the body.
        with suppress(ClientDisconnect):
            await response(scope, receive, send_or_raise)
    finally:
        watching.cancel()

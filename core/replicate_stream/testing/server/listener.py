"""A listening socket: takes requests in, records them, lets faults happen, sends replies out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from replicate_stream.testing.server.faults import Fault, Kind
from replicate_stream.testing.server.http import (
    HEAD_LIMIT,
    BadRequestError,
    Request,
    Response,
    problem,
    read_request,
    render_head,
)
from replicate_stream.testing.server.state import RecordedRequest, State
from replicate_stream.testing.server.subscription import Subscription
from replicate_stream.testing.server.writer import ReplyWriter, close

Route = Callable[[Request], "tuple[Kind, Callable[[], Awaitable[Response | Subscription]]]"]
"""Says what a request is for, and how to answer it."""

_BACKLOG = 2048


class Listener:
    """One of the two servers."""

    def __init__(self, name: str, state: State, route: Route, connections: count[int]) -> None:
        self._name = name
        self._state = state
        self._route = route
        self._connections = connections
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._is_closed = False
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen; port 0 lets the system choose.

        Returns:
            The port.
        """
        self._server = await asyncio.start_server(
            self._accept, host, port, limit=HEAD_LIMIT, backlog=_BACKLOG
        )
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address[1]

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        self._is_closed = True
        if self._server is not None:
            self._server.close()
        await _settled()  # a connection may have been accepted in this moment
        writers = tuple(self._tasks.values())
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A task that was cancelled before it began has left its connection open; and there is no
        # waiting for a client that does not read.
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*[w.wait_closed() for w in writers], return_exceptions=True)
        await _settled()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closed:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks[task] = writer
        task.add_done_callback(self._tasks.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            writer.transport.abort()  # the client has gone, in its own way

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._connections)
        try:
            while request := await read_request(reader, writer):
                if not await self._answer(request, number, reader, writer):
                    break
        except BadRequestError as error:
            reply = problem(400, str(error), "Bad request")
            writer.write(reply.head() + reply.body)

    async def _answer(
        self,
        request: Request,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer one request; whether the connection can be used for another one."""
        kind, respond = self._route(request)
        with self._state.condition.change():
            self._state.requests.append(_record(request, number, self._name, kind))
            fault = self._state.faults.take(kind)
        if fault.drop:
            await close(writer, reset=fault.reset)
            return False
        reply = fault.canned_reply() or (None if fault.garbage is not None else await respond())
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.garbage is not None or fault.lose_reply or reply is None:
            writer.write(fault.garbage or b"")
            await close(writer, reset=fault.reset)
            return False
        reply_writer = ReplyWriter(writer, fault)
        if isinstance(reply, Subscription):
            await self._stream(reply, fault, reply_writer, reader)
        else:
            await _send(reply, fault, reply_writer, reader)
            if reply_writer.is_whole and not fault.reset:
                await writer.drain()
                return request.headers.get("connection", "").lower() != "close"
        await close(writer, reset=fault.reset)
        return False

    async def _stream(
        self,
        subscription: Subscription,
        fault: Fault,
        reply_writer: ReplyWriter,
        reader: asyncio.StreamReader,
    ) -> None:
        self._count_streams(+1)
        try:
            reply_writer.head(render_head(200, fault.edit_headers(subscription.headers)))
            subscription.begin(reply_writer)
            await _until_over(reply_writer, reader)
        finally:
            subscription.end()
            self._count_streams(-1)

    def _count_streams(self, change: int) -> None:
        with self._state.condition.change():
            self._state.streams_open += change


async def _settled() -> None:
    """Let what the loop has already begun come to its end: an accepted or a lost connection."""
    for _ in range(4):
        await asyncio.sleep(0)


async def _send(
    reply: Response, fault: Fault, reply_writer: ReplyWriter, reader: asyncio.StreamReader
) -> None:
    edited = Response(reply.status, reply.body, fault.edit_headers(reply.headers))
    reply_writer.head(edited.head())
    reply_writer.body(reply.body)
    reply_writer.end()
    if not reply_writer.is_whole:
        await _until_over(reply_writer, reader)


async def _until_over(reply_writer: ReplyWriter, reader: asyncio.StreamReader) -> None:
    """Wait until the reply is to end, or the client closes the connection."""
    gone = asyncio.ensure_future(reader.read())
    either: set[asyncio.Future[Any]] = {gone, reply_writer.over}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)


def _record(request: Request, number: int, server: str, kind: Kind) -> RecordedRequest:
    return RecordedRequest(
        request.method,
        request.path,
        request.query,
        request.headers,
        request.body,
        _decoded(request.body),
        time.monotonic(),
        number,
        server,
        kind,
    )


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None

"""A server of the emulator: records requests, applies faults, sends replies."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import replace

from replicate_stream._logging import escape_unprintable
from replicate_stream.testing.server.faults import Fault, take_fault
from replicate_stream.testing.server.http import Connection, ReplyWriter, Request, Response
from replicate_stream.testing.server.routes import Respond, Route
from replicate_stream.testing.server.state import RecordedRequest, State

_log = logging.getLogger("replicate_stream.testing")
_BACKLOG = 2048
_HEAD_LIMIT = 64 * 1024  # bytes of the longest request head


class Listener:
    """A listening socket and its connections."""

    def __init__(self, name: str, state: State, route: Route) -> None:
        """Prepare to listen.

        Args:
            name: The server's name in recorded requests.
            state: The state that keeps requests and faults.
            route: Finds the purpose and the answer of a request.
        """
        self._name = name
        self._state = state
        self._route = route
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._is_closed = False
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen on a port; 0 lets the system choose one.

        Returns:
            The port.
        """
        self._server = await asyncio.start_server(
            self._accept, host, port, limit=_HEAD_LIMIT, backlog=_BACKLOG
        )
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address[1]

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        self._is_closed = True
        if self._server is not None:
            self._server.close()
        await _run_pending_callbacks()  # a connection may be accepted at this moment
        writers = tuple(self._tasks.values())
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A task that was canceled before its first step has left its connection open. An abort,
        # because a clean close would wait for a client that does not read.
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*[w.wait_closed() for w in writers], return_exceptions=True)
        await _run_pending_callbacks()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closed:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks[task] = writer
        task.add_done_callback(self._tasks.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(next(self._state.connection_numbers), reader, writer)
        try:
            while request := await connection.read_request():
                if not await self._answer(request, connection):
                    break
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            writer.transport.abort()  # the client has dropped the connection

    async def _answer(self, request: Request, connection: Connection) -> bool:
        """Answer one request; return whether the connection can be used for another one."""
        kind, respond = self._route(request)
        recorded = RecordedRequest(
            **vars(request),
            at=time.monotonic(),
            connection=connection.number,
            server=self._name,
            kind=kind,
        )
        with self._state.change():
            self._state.requests.append(recorded)
            fault = take_fault(self._state.faults, kind)
        reply_writer = ReplyWriter(connection, fault.cut_after, fault.stall_after)
        try:
            is_whole = await self._send_reply(respond, fault, reply_writer)
        finally:
            path = re.sub(r"/(streams|files)/\w+", r"/\1/…", request.path)  # which is a secret
            line = escape_unprintable(f"{request.method} {path}")  # anybody can send one
            milliseconds = 1000 * (time.monotonic() - recorded.at)
            status = reply_writer.status or "no reply"
            # Not `info`: tests look for what their own program logs.
            _log.debug("%s %s, %.0f ms", line, status, milliseconds)
        keeps_alive = request.headers.get("connection", "").lower() != "close"
        if is_whole and keeps_alive and not fault.reset:
            await connection.writer.drain()
            return True
        await connection.close(reset=fault.reset)
        return False

    async def _send_reply(self, respond: Respond, fault: Fault, reply_writer: ReplyWriter) -> bool:
        """Send a reply as far as the fault permits; return whether its end was sent."""
        raw = b"" if fault.drop else fault.garbage
        reply = None if raw is not None else fault.build_response() or await respond()
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if reply is None or fault.lose_reply:
            reply_writer.write_head(raw or b"")
            return False
        reply = replace(reply, headers=fault.edit_headers(reply.headers))
        reply_writer.status = reply.status if isinstance(reply, Response) else 200
        if isinstance(reply, Response):
            await reply.write_to(reply_writer)
            return reply_writer.is_complete
        with self._state.change():
            self._state.streams_open += 1
        try:
            await reply.write_to(reply_writer)
        finally:
            with self._state.change():
                self._state.streams_open -= 1
        return False  # an event stream ends with its connection


async def _run_pending_callbacks() -> None:
    # An accepted or a lost connection takes the event loop several steps.
    for _ in range(4):
        await asyncio.sleep(0)

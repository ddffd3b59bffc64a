"""A server of the emulator: records requests, applies faults, sends replies."""

from __future__ import annotations

import asyncio
import time

from replicate_stream.testing.server.events import HEADERS, Subscription
from replicate_stream.testing.server.faults import Fault
from replicate_stream.testing.server.http import (
    HEAD_LIMIT,
    RefusalError,
    ReplyWriter,
    Request,
    Response,
    close,
    read_request,
    render_head,
)
from replicate_stream.testing.server.routes import Route
from replicate_stream.testing.server.state import RecordedRequest, State

_BACKLOG = 2048


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
            self._accept, host, port, limit=HEAD_LIMIT, backlog=_BACKLOG
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
        number = next(self._state.connection_numbers)
        try:
            try:
                while request := await read_request(reader, writer):
                    if not await self._answer(request, number, reader, writer):
                        break
            except RefusalError as error:
                writer.write(error.response.render_head() + error.response.body)
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            writer.transport.abort()  # the client has dropped the connection

    async def _answer(
        self,
        request: Request,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer one request; return whether the connection can be used for another one."""
        kind, respond = self._route(request)
        recorded = RecordedRequest(
            **vars(request), at=time.monotonic(), connection=number, server=self._name, kind=kind
        )
        with self._state.change():
            self._state.requests.append(recorded)
            fault = self._state.take_fault(kind)
        if fault.drop:
            await close(writer, reset=fault.reset)
            return False
        reply = fault.build_response() or (None if fault.garbage is not None else await respond())
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.garbage is not None or fault.lose_reply or reply is None:
            writer.write(fault.garbage or b"")
            await close(writer, reset=fault.reset)
            return False
        reply_writer = ReplyWriter(
            reader, writer, cut_after=fault.cut_after, stall_after=fault.stall_after
        )
        if isinstance(reply, Subscription):
            await self._stream(reply, fault, reply_writer)
        else:
            await _send(reply, fault, reply_writer)
            if reply_writer.is_complete and not fault.reset:
                await writer.drain()
                return request.headers.get("connection", "").lower() != "close"
        await close(writer, reset=fault.reset)
        return False

    async def _stream(
        self, subscription: Subscription, fault: Fault, reply_writer: ReplyWriter
    ) -> None:
        with self._state.change():
            self._state.streams_open += 1
        try:
            reply_writer.write_head(render_head(200, fault.edit_headers(HEADERS)))
            with subscription.write_to(reply_writer):
                await reply_writer.wait_until_over()
        finally:
            with self._state.change():
                self._state.streams_open -= 1


async def _send(reply: Response, fault: Fault, reply_writer: ReplyWriter) -> None:
    edited = Response(reply.status, reply.body, fault.edit_headers(reply.headers))
    reply_writer.write_head(edited.render_head())
    reply_writer.write_body(reply.body)
    reply_writer.finish()
    if not reply_writer.is_complete:
        await reply_writer.wait_until_over()


async def _run_pending_callbacks() -> None:
    # An accepted or a lost connection takes the event loop several steps.
    for _ in range(4):
        await asyncio.sleep(0)

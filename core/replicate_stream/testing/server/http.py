"""HTTP/1.1 as far as the emulator needs it: reads requests, renders and writes replies.

Written by hand instead of with a web framework: a test must control each byte of a reply, and how
the connection ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

HEAD_LIMIT = 64 * 1024
"""The longest request head, in bytes."""
PROBLEM_HEADERS = {"Content-Type": "application/problem+json", "Server": "cloudflare"}

# `struct linger` has two ints; on Windows two shorts.
_LINGER = "hh" if os.name == "nt" else "ii"


@dataclass(frozen=True)
class Request:
    """A parsed request. Its `repr` shows neither its token nor its prompt.

    Attributes:
        method: E.g. `POST`.
        path: The path without the query.
        query: The query's fields.
        headers: The headers, by lower-case name; a repeated one keeps its last value.
        body: The bytes of the body.
        json: The decoded body, None if it is not JSON.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    json: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """A reply whose whole body is known before it is sent."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def render_head(self) -> bytes:
        """Render the status line and the headers, with the empty line that ends them."""
        return render_head(self.status, {**self.headers, "Content-Length": str(len(self.body))})


class RefusalError(Exception):
    """A request is answered with an error reply.

    Attributes:
        response: The reply.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class ReplyWriter:
    """Writes one reply to a connection, and can cut it or stall it after any byte of the body.

    Attributes:
        is_complete: Whether nothing was cut off or held back so far.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        cut_after: int | None = None,
        stall_after: int | None = None,
    ) -> None:
        """Prepare to write.

        Args:
            reader: The side of the connection that notices when the client closes it.
            writer: The side of the connection that is written to.
            cut_after: Bytes of the body after which the reply ends.
            stall_after: Bytes of the body after which nothing more is sent, and the reply does
                not end.
        """
        self.is_complete: bool = True
        self._over = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._is_cut = cut_after is not None
        self._bytes_left = stall_after if cut_after is None else cut_after

    def write_head(self, data: bytes) -> None:
        """Write the status line and the headers."""
        self._writer.write(data)
        self.write_body(b"")  # a fault after 0 bytes happens here

    def write_body(self, data: bytes) -> None:
        """Write a piece of the body, up to the byte at which it is cut or stalls."""
        if not self.is_complete:
            return
        if self._bytes_left is not None:
            self.is_complete = len(data) < self._bytes_left
            data = data[: self._bytes_left]
            self._bytes_left -= len(data)
        if data:
            self._writer.write(data)
        if self._is_cut and not self.is_complete:
            self._over.set()

    def finish(self) -> None:
        """End the reply, unless its rest is held back."""
        if self.is_complete:
            self._over.set()

    async def wait_until_over(self) -> None:
        """Wait until the reply is to end, or the client closes the connection."""
        disconnect = asyncio.ensure_future(self._reader.read())
        disconnect.add_done_callback(lambda _: self._over.set())
        try:
            await self._over.wait()
        finally:
            disconnect.cancel()
            await asyncio.gather(disconnect, return_exceptions=True)


async def close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Send what is buffered, then close the connection with FIN, or with RST if `reset`."""
    transport = writer.transport
    transport.set_write_buffer_limits(0)  # so that `drain` waits until everything is sent
    await writer.drain()
    if reset:
        # With SO_LINGER of 0 seconds an abort makes the kernel send RST instead of FIN.
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
        transport.abort()
    else:
        writer.close()


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Build a JSON reply: compact, with a line feed at its end as in recorded replies."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
    content_type = {"Content-Type": "application/json; charset=utf-8"}
    return Response(status, body.encode(), {**content_type, **(headers or {})})


def problem(status: int, detail: str, title: str | None = None, **more: Any) -> Response:
    """Build an error reply, with or without a title (docs/replicate-api.md 1.2)."""
    fields = {"title": title} if title else {}
    value = {**fields, "detail": detail, "status": status, **more}
    return json_response(status, value, PROBLEM_HEADERS)


NOT_FOUND = problem(404, "The requested resource could not be found.")


def render_head(status: int, headers: Mapping[str, str]) -> bytes:
    """Render a status line, the header `Date`, the given headers and the empty line."""
    is_known = status in HTTPStatus._value2member_map_
    phrase = HTTPStatus(status).phrase if is_known else "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    """Read the next request of a connection; None once the client has closed it.

    Raises:
        RefusalError: The bytes are not HTTP/1, which is a 400.
        ConnectionError: The connection broke.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, headers = _parse_head(head)
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _read_body(reader, headers)
    except asyncio.IncompleteReadError:
        return None
    except (asyncio.LimitOverrunError, ValueError) as error:
        raise RefusalError(problem(400, str(error), "Bad request")) from error
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Request(method, unquote(parts.path), query, headers, body, _decode_json(body))


def _decode_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, target, protocol = first.split(" ")
    if not protocol.startswith("HTTP/1."):
        raise ValueError("not HTTP/1")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("a header without a colon")
        headers[name.strip().lower()] = value.strip()
    return method, target, headers


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    chunks = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while (await reader.readline()).strip():  # trailers
        pass
    return b"".join(chunks)

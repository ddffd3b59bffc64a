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
from http import client
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

PROBLEM_HEADERS = {"Content-Type": "application/problem+json", "Server": "cloudflare"}

_DEEPEST = (
    100  # levels of a body: far more than any input has, and less than Python's JSON can write
)
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

    @classmethod
    def from_json(
        cls, status: int, value: Any, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Build a JSON reply: compact, with a line feed at its end as in recorded replies."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
        content_type = {"Content-Type": "application/json; charset=utf-8"}
        # A client may have sent lone surrogates, which UTF-8 cannot hold.
        return cls(status, body.encode(errors="replace"), {**content_type, **(headers or {})})

    @classmethod
    def problem(cls, status: int, detail: str, title: str | None = None, **more: Any) -> Response:
        """Build an error reply, with or without a title (docs/replicate-api.md 1.2)."""
        fields = {"title": title} if title else {}
        value = {**fields, "detail": detail, "status": status, **more}
        return cls.from_json(status, value, PROBLEM_HEADERS)

    def render_head(self) -> bytes:
        """Render the status line and the headers, with the empty line that ends them."""
        return render_head(self.status, {**self.headers, "Content-Length": str(len(self.body))})

    async def write_to(self, reply_writer: ReplyWriter) -> None:
        """Write the whole reply."""
        reply_writer.write_head(self.render_head())
        reply_writer.write_body(self.body)
        await reply_writer.finish()


NOT_FOUND = Response.problem(404, "The requested resource could not be found.")


class RefusalError(Exception):
    """A request is answered with an error reply.

    Attributes:
        response: The reply.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of a client, numbered in the order of arrival."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_request(self) -> Request | None:
        """Read the next request; None once the client has closed the connection.

        Bytes that are not HTTP/1 are answered with a 400, and end the requests.

        Raises:
            ConnectionError: The connection broke.
        """
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            method, target, headers = _parse_head(head)
            if headers.get("expect", "").lower() == "100-continue":
                self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await _read_body(self.reader, headers)
            parts = urlsplit(target)
        except asyncio.IncompleteReadError:
            return None
        except (asyncio.LimitOverrunError, ValueError) as error:
            refusal = Response.problem(400, str(error), "Bad request")
            self.writer.write(refusal.render_head() + refusal.body)
            return None
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Request(method, unquote(parts.path), query, headers, body, _decode_json(body))

    async def close(self, *, reset: bool) -> None:
        """Send what is buffered, then close with FIN, or with RST if `reset`."""
        transport = self.writer.transport
        transport.set_write_buffer_limits(0)  # so that `drain` waits until everything is sent
        await self.writer.drain()
        if reset:
            # With SO_LINGER of 0 seconds an abort makes the kernel send RST instead of FIN.
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
            transport.abort()
        else:
            self.writer.close()


class ReplyWriter:
    """Writes one reply to a connection, and can cut it or stall it after any byte of the body.

    Attributes:
        is_complete: Whether nothing was cut off or held back so far.
        status: The HTTP status, once it is known.
    """

    def __init__(
        self, connection: Connection, cut_after: int | None, stall_after: int | None
    ) -> None:
        """Prepare to write.

        Args:
            connection: The client's connection.
            cut_after: Bytes of the body after which the reply ends.
            stall_after: Bytes of the body after which nothing more is sent, and the reply does
                not end.
        """
        self.is_complete: bool = True
        self.status: int | None = None
        self._over = asyncio.Event()
        self._connection = connection
        self._is_cut = cut_after is not None
        self._bytes_left = stall_after if cut_after is None else cut_after

    def write_head(self, data: bytes) -> None:
        """Write the status line and the headers, or what a fault sends in their place."""
        self._connection.writer.write(data)
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
            self._connection.writer.write(data)
        if self._is_cut and not self.is_complete:
            self._over.set()

    async def finish(self) -> None:
        """End the reply; if its rest is cut off or held back, wait until it is over."""
        if not self.is_complete:
            await self.wait_until_over()

    async def wait_until_over(self, timeout: float | None = None) -> bool:
        """Wait until the reply is cut or the client closes the connection.

        Returns:
            Whether this happened within `timeout` seconds.
        """
        disconnect = self._connection.reader.read()
        ends = [asyncio.ensure_future(end) for end in (self._over.wait(), disconnect)]
        try:
            done, _ = await asyncio.wait(ends, timeout=timeout, return_when="FIRST_COMPLETED")
            return bool(done)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)


def render_head(status: int, headers: Mapping[str, str]) -> bytes:
    """Render a status line, the header `Date`, the given headers and the empty line."""
    phrase = client.responses.get(status, "Unknown")
    lines = [f"HTTP/1.1 {status} {phrase}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _decode_json(body: bytes) -> Any:
    """Decode a body; None, which no endpoint takes, for one that is not JSON or nested too deep."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return None if level else value


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

"""HTTP/1.1 as far as the emulator speaks it: requests read from, replies rendered to bytes.

By hand and not by a web framework, because every byte of a reply, and how its connection ends,
must be at the disposal of a test.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

HEAD_LIMIT = 64 * 1024
"""The longest request head, in bytes."""
PROBLEM_HEADERS = {"Content-Type": "application/problem+json", "Server": "cloudflare"}


class BadRequestError(Exception):
    """What came is not HTTP."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came. Header names are in lower case; a repeated one keeps its last value."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """A reply with its whole body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self) -> bytes:
        """The status line and the headers, with the empty line that ends them."""
        return render_head(self.status, {**self.headers, "Content-Length": str(len(self.body))})


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON reply, compact and with a line feed at its end, as recorded."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
    return Response(
        status,
        body.encode(),
        {"Content-Type": "application/json; charset=utf-8", **(headers or {})},
    )


def problem(status: int, detail: str, title: str | None = None, **more: Any) -> Response:
    """An error reply (replicate-api.md 1.2): `title` is missing in some of them."""
    fields = {"title": title} if title else {}
    reply = json_response(status, {**fields, "detail": detail, "status": status, **more})
    return Response(status, reply.body, PROBLEM_HEADERS)


def render_head(status: int, headers: Mapping[str, str]) -> bytes:
    """A status line, headers, `Date` among them, and the empty line."""
    known = status in HTTPStatus._value2member_map_
    phrase = HTTPStatus(status).phrase if known else "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    """The next request of a connection, None if the client has closed it.

    Raises:
        BadRequestError: It is not HTTP.
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
        raise BadRequestError(str(error)) from error
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Request(method, unquote(parts.path), query, headers, body)


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

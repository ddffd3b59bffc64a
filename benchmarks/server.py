"""A load server in a process of its own: Replicate's shape, as cheap as it can be.

The model's name says what its stream does: `bench/burst-2000` sends 2,000 tokens at once,
`bench/single-2000` each in a segment of its own, `bench/paced-100` 50 a second, each with the time
of its sending. After `done` a connection is held open, as the real server does.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection

RATE = 50
"""Tokens a second of a paced stream."""
SINGLES = 2000
"""Segments a second of a stream that sends each token by itself."""

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n6\r\n: hi\n\n\r\n"
)
_SCHEMA = {
    "components": {
        "schemas": {
            "Input": {"type": "object", "properties": {"prompt": {"type": "string"}}},
            "Output": {
                "type": "array",
                "items": {"type": "string"},
                "x-cog-array-type": "iterator",
                "x-cog-array-display": "concatenate",
            },
        }
    }
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a load server listens."""

    api: str
    streams: str


def _chunk(event: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(event), event)


def event(number: int, text: str) -> bytes:
    """A token as Replicate's stream server writes it, in a chunk of HTTP as proxies pass it on."""
    event_id = (1_707_756_341 + number // RATE, number % RATE)
    return _chunk(b"event: output\nid: %d:%d\ndata: %s\n\n" % (*event_id, text.encode()))


_DONE = _chunk(b"event: done\nid: 2000000000:0\ndata: {}\n\n")


def burst(tokens: int) -> bytes:
    """A whole stream."""
    return b"".join(event(i, f" tok{i % 10}") for i in range(tokens))


@contextmanager
def running(delay: float = 0.0) -> Iterator[Address]:
    """Run a server in another process.

    Args:
        delay: Seconds that each request, and each new connection, waits.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, delay), daemon=True)
    process.start()
    api, streams = ours.recv()
    yield Address(f"http://127.0.0.1:{api}", f"http://127.0.0.1:{streams}")
    process.terminate()
    process.join()


def _serve(pipe: Connection, delay: float) -> None:
    asyncio.run(_Server(delay).run(pipe))


class _Server:
    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._ids = count(1)
        self._streams = ""
        self._bursts: dict[int, bytes] = {}

    async def run(self, pipe: Connection) -> None:
        servers = [
            await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=2048)
            for _ in range(2)
        ]
        api, streams = (server.sockets[0].getsockname()[1] for server in servers)
        self._streams = f"http://127.0.0.1:{streams}"
        pipe.send((api, streams))
        await asyncio.Event().wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(self._delay)
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split("\r\n", 1)[0].split(" ")
        length = next(
            (
                int(line[15:])
                for line in head.split("\r\n")
                if line.lower()[:15] == "content-length:"
            ),
            0,
        )
        await reader.readexactly(length)
        await asyncio.sleep(self._delay)
        if path.startswith("/v1/streams/"):
            kind, tokens, _ = path.rsplit("/", 1)[1].split("-")
            writer.write(_HEAD)
            await self._stream(writer, kind, int(tokens))
            await reader.read()  # held open until the client lets go
            return False
        status, body = (201, self._created(path)) if method == "POST" else (200, self._got(path))
        text = json.dumps(body).encode()
        writer.write(
            b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (status, len(text), text)
        )
        return True

    def _created(self, path: str) -> dict[str, object]:
        what = path.split("/")[4]
        number = next(self._ids)
        return {
            "id": f"p{number}",
            "status": "starting",
            "urls": {"stream": f"{self._streams}/v1/streams/{what}-{number}"},
        }

    def _got(self, path: str) -> dict[str, object]:
        if path.startswith("/v1/models/"):
            return {"is_official": True, "latest_version": {"openapi_schema": _SCHEMA}}
        metrics = {"input_token_count": 1, "output_token_count": 1}
        return {"id": path.split("/")[3], "status": "succeeded", "metrics": metrics}

    async def _stream(self, writer: asyncio.StreamWriter, kind: str, tokens: int) -> None:
        if kind == "burst":
            if tokens not in self._bursts:
                self._bursts[tokens] = burst(tokens)
            writer.write(self._bursts[tokens])
        else:
            loop = asyncio.get_running_loop()
            rate = SINGLES if kind == "single" else RATE
            began = loop.time()
            for number in range(tokens):
                wait = began + number / rate - loop.time()
                await asyncio.sleep(max(0.0, wait))
                text = f" tok{number % 10}" if kind == "single" else f"{time.monotonic():.6f} "
                writer.write(event(number, text))
        writer.write(_DONE)
        await writer.drain()

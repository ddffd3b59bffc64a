"""A load server in a process of its own: Replicate's responses at the least cost.

The name of a model selects its stream: `bench/KIND-TOKENS`, optionally with `-SUFFIX`:

    burst   all tokens at once, each in an HTTP chunk, as the floors were measured
    plain   all tokens at once, without chunks, as the recorded server sends them
    single  each token in a segment of its own, at least a millisecond apart
    paced   50 tokens a second, each the time at which it was sent
    slow    the same with 20 tokens a second
    steady  50 tokens a second, the same as in the record
    held    some tokens, and then silence

After `done` the connection stays open, as with the real server (docs/replicate-api.md 3.3).

For the group `peers`, `/full` before a path gives records with all fields and the output so far,
which some clients demand and others poll; `/full/v1/chat/completions` is OpenAI's API. The file
runs as a script and imports only the standard library, so that it starts fast.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

RATE = 50
"""Tokens a second of a paced and of a steady stream."""
SLOW_RATE = 20
"""Tokens a second of a slow stream."""
_SLOTS = 10  # parts of the time between two tokens, among which the paced streams are spread
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
_HELLO = b": hi\n\n"
_DONE = b"event: done\nid: 2000000000:0\ndata: {}\n\n"
_TIME = "2026-01-01T00:00:00.000Z"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
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
    """URLs of a load server.

    Attributes:
        api: URL of the API; `/counts` there returns the number of requests.
        streams: URL of the stream host.
    """

    api: str
    streams: str


@contextmanager
def running(delay: float = 0.0) -> Iterator[Address]:
    """Run a server in another process.

    Args:
        delay: Seconds before each new connection is served, and before each response.
    """
    command = [sys.executable, __file__, str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        api, streams = json.loads(process.stdout.readline())
        try:
            yield Address(f"http://127.0.0.1:{api}", f"http://127.0.0.1:{streams}")
        finally:
            process.terminate()


def event(number: int, text: str) -> bytes:
    """An event of one token, as Replicate's stream server writes it."""
    event_id = 1_707_756_341 + number // RATE, number % RATE
    return b"event: output\nid: %d:%d\ndata: %s\n\n" % (*event_id, text.encode())


def _openai_event(_: int, text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: %s\n\n" % json.dumps(body | {"choices": [choice]}).encode()


@dataclass(frozen=True, slots=True)
class _Format:
    """How a service writes its streams, and what ends the body of one, if anything does."""

    event: Callable[[int, str], bytes]
    done: bytes
    end: bytes


_REPLICATE = _Format(event, _DONE, b"")
_OPENAI = _Format(_openai_event, b"data: [DONE]\n\n", b"0\r\n\r\n")


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


@lru_cache
def _whole(kind: str, tokens: int, form: _Format) -> bytes:
    events = [_HELLO, *(form.event(i, _text(i)) for i in range(tokens))]
    if kind != "held":
        events.append(form.done)
    if kind == "plain":
        return _HEAD + b"\r\n" + b"".join(events)
    return _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(map(_chunk, events)) + form.end


def _text(number: int) -> str:
    return f" tok{number % 10}"


def _write_time(_: int) -> str:
    return f"{time.monotonic():.6f} "


class _Service:
    """State that the connections share."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.requests = 0
        self.pacers = {rate: _Pacer(rate) for rate in (RATE, SLOW_RATE)}
        self.api_url = ""
        self.stream_url = ""
        self.tasks: set[asyncio.Task[None]] = set()
        self._ids = count(1)
        self._created: dict[str, tuple[str, float]] = {}

    def reply(self, method: str, path: str) -> tuple[int, dict[str, object]]:
        """Status and body of the API's response."""
        if path.startswith("/full/"):
            return self._reply_in_full(method, path.removeprefix("/full"))
        if path == "/counts":
            return 200, {"requests": self.requests}
        if method == "POST" and path.endswith("/predictions"):
            number, model = next(self._ids), path.split("/")[4]
            stream = f"{self.stream_url}/v1/streams/{model}-{number}"
            return 201, {"id": f"p{number}", "status": "starting", "urls": {"stream": stream}}
        if path.startswith("/v1/models/"):
            return 200, {"is_official": True, "latest_version": {"openapi_schema": _SCHEMA}}
        status = "canceled" if path.endswith("/cancel") else "succeeded"
        metrics = {"input_token_count": 1, "output_token_count": 1}
        return 200, {"id": path.split("/")[3], "status": status, "metrics": metrics}

    def _reply_in_full(self, method: str, path: str) -> tuple[int, dict[str, object]]:
        if method == "GET" and path.startswith("/v1/models/"):
            owner, name = path.split("/")[3:5]
            version = {"id": "v", "created_at": _TIME, "cog_version": "0.9"}
            return 200, {
                "url": f"{self.api_url}{path}",
                "owner": owner,
                "name": name,
                "visibility": "public",
                "run_count": 1,
                "is_official": True,
                "latest_version": version | {"openapi_schema": _SCHEMA},
            }
        status, body = self.reply(method, path)
        number, now = str(body["id"]), time.monotonic()
        model, began = self._created.setdefault(number, (path.split("/")[-2], now))
        kind, tokens = model.split("-")[:2]
        whole = int(tokens) if kind != "steady" else int((now - began) * RATE)
        urls: dict[str, object] = {"get": f"{self.api_url}/full/v1/predictions/{number}"}
        if isinstance(stream := body.get("urls"), dict):
            urls |= stream
        if status == 200 and whole < int(tokens):
            body["status"] = "processing"
        output = [_text(i) for i in range(min(whole, int(tokens)))] if status == 200 else None
        more = {"model": f"bench/{model}", "version": "v", "input": {}, "created_at": _TIME}
        return status, body | more | {"output": output, "urls": urls}


class _Pacer:
    """Sends the tokens of all streams of one rate with a single timer."""

    def __init__(self, rate: int) -> None:
        self._interval = 1 / rate / _SLOTS
        self._slots: list[list[Callable[[], bool]]] = [[] for _ in range(_SLOTS)]
        self._tick = 0
        self._runs = False

    def add(self, send: Callable[[], bool]) -> None:
        """Call `send` as often a second as the rate says, until it returns False."""
        self._slots[self._tick % _SLOTS].append(send)
        if not self._runs:
            self._runs = True
            self._turn(asyncio.get_running_loop().time())

    def _turn(self, due: float) -> None:
        slot = self._slots[self._tick % _SLOTS]
        slot[:] = [send for send in slot if send()]
        self._tick += 1
        self._runs = any(self._slots)
        if self._runs:
            due += self._interval
            asyncio.get_running_loop().call_at(due, self._turn, due)


class _Connection(asyncio.Protocol):
    _transport: asyncio.Transport

    def __init__(self, service: _Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._ready_at = self._loop.time() + service.delay
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(rest) < (int(length[1]) if length else 0):
            return
        self._received = b""  # no client of a benchmark pipelines requests
        method, path, _ = head.decode().split(" ", 2)
        if path != "/counts":
            self._service.requests += 1
        if self._service.delay:
            due = max(self._loop.time(), self._ready_at) + self._service.delay
            self._loop.call_at(due, self._answer, method, path, rest)
        else:
            self._answer(method, path, rest)

    def _answer(self, method: str, path: str, received: bytes) -> None:
        if path.endswith("/chat/completions"):
            kind, tokens = json.loads(received)["model"].split("-")[:2]
            self._stream(kind, int(tokens), _OPENAI)
            return
        if path.startswith("/v1/streams/"):
            kind, tokens, _ = path.rsplit("/", 1)[1].split("-", 2)
            self._stream(kind, int(tokens), _REPLICATE)
            return
        status, body = self._service.reply(method, path)
        text = json.dumps(body).encode()
        head = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % (status, len(text)) + text)

    def _stream(self, kind: str, tokens: int, form: _Format) -> None:
        if kind in {"burst", "plain", "held"}:
            self._transport.write(_whole(kind, tokens, form))
            return
        self._transport.write(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + _chunk(_HELLO))
        if kind in {"paced", "slow", "steady"}:
            numbers = iter(range(tokens))
            write = _text if kind == "steady" else _write_time
            pacer = self._service.pacers[SLOW_RATE if kind == "slow" else RATE]
            pacer.add(lambda: self._send_next(numbers, write, form))
        else:
            task = self._loop.create_task(self._one_by_one(tokens))
            self._service.tasks.add(task)
            task.add_done_callback(self._service.tasks.discard)

    def _send_next(
        self, numbers: Iterator[int], write: Callable[[int], str], form: _Format
    ) -> bool:
        number = next(numbers, None)
        if self._transport.is_closing():
            return False
        if number is None:
            self._transport.write(_chunk(form.done) + form.end)
            return False
        self._transport.write(_chunk(form.event(number, write(number))))
        return True

    async def _one_by_one(self, tokens: int) -> None:
        for number in range(tokens):
            await asyncio.sleep(0.001)
            self._transport.write(_chunk(event(number, _text(number))))
        self._transport.write(_chunk(_DONE))


async def _serve(delay: float) -> None:
    loop = asyncio.get_running_loop()
    service = _Service(delay)
    ports = []
    for _ in range(2):
        server = await loop.create_server(
            lambda: _Connection(service), "127.0.0.1", 0, backlog=2048
        )
        ports.append(server.sockets[0].getsockname()[1])
    service.api_url = f"http://127.0.0.1:{ports[0]}"
    service.stream_url = f"http://127.0.0.1:{ports[1]}"
    print(json.dumps(ports), flush=True)
    orphaned = asyncio.Event()
    loop.add_reader(sys.stdin, orphaned.set)  # ends when the parent process ends
    await orphaned.wait()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))

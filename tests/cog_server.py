"""A server that speaks as Cog does (https://cog.run/http/), for the faults that a real one has not.

`tests/real/test_cog.py` holds the same client against Cog itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA: Mapping[str, Any] = {
    "paths": {"/predictions": {"post": {"x-cog-streaming": True}}},
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
    },
}
Reply = tuple[int, Mapping[str, Any]]


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class CogServer:
    """The server's behaviour, and what it has seen.

    Attributes:
        outputs: The outputs of the predictions, one list for each; the last one for all others.
        end: Fields of the last record that differ from a success.
        cut_after: Bytes after which the first streams are closed, one for each; None: not at all.
        on_cut: What a cut does to the prediction: it goes on, is canceled, or is forgotten; or
            there is no cut, but a silence.
        health: The status of the health check, one for each request; the last one for all others.
        refusals: Replies to requests for a prediction, before any is run.
        schema: None for no schema.
        minor_version: 23; 16, which has no streams; or 5, nor `PUT`.
        extra_events: Events before the outputs, as bytes.
        logs: The log of the setup.
        is_silent: Whether requests for a prediction get no response.
        requests: All requests.
    """

    outputs: Sequence[Sequence[Any]] = (("Hello", ", ", "world"),)
    end: Mapping[str, Any] = field(default_factory=dict)
    cut_after: list[int | None] = field(default_factory=list)
    on_cut: Literal["goes on", "canceled", "forgotten", "silence"] = "goes on"
    health: list[str] = field(default_factory=lambda: ["READY"])
    refusals: list[Reply] = field(default_factory=list)
    schema: Mapping[str, Any] | None = field(default_factory=lambda: SCHEMA)
    minor_version: int = 23
    extra_events: bytes = b""
    logs: str = "no weights"
    requests: list[Request] = field(default_factory=list)
    is_silent: bool = False
    base_url: str = ""
    on_request: Callable[[Request], None] | None = None
    _running: dict[str, list[Any]] = field(default_factory=dict)
    _canceled: set[str] = field(default_factory=set)
    _count: int = 0
    _server: asyncio.Server | None = None

    def list_predictions(self) -> list[Request]:
        """The requests for predictions."""
        return [r for r in self.requests if r.path.startswith("/predictions") and r.method != "GET"
                and not r.path.endswith("/cancel")]  # fmt: skip

    def list_cancels(self) -> list[str]:
        """The ids of the predictions that were to be canceled."""
        return [r.path.split("/")[2] for r in self.requests if r.path.endswith("/cancel")]

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[CogServer]:
        """Serve on a free port, until the context is left."""
        server = self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            server.close()

    def stop(self) -> None:
        """Accept no connections any more."""
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await _read_request(reader):
                self.requests.append(request)
                if self.on_request is not None:
                    self.on_request(request)
                await self._answer(request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.path == "/openapi.json":
            none = (503, {"error": "OpenAPI schema not available"})
            is_there = self.schema is not None and self.health[0] != "STARTING"
            _write(writer, *((200, self.schema or {}) if is_there else none))
        elif request.path == "/health-check":
            status = self.health.pop(0) if len(self.health) > 1 else self.health[0]
            logs = {"setup": {"logs": self.logs}}
            _write(writer, 200, {"status": status, **logs})
        elif request.path.endswith("/cancel"):
            is_known = self._running.pop(request.path.split("/")[2], None) is not None
            _write(writer, 200 if is_known else 404, {})
        elif self.is_silent:
            await reader.read()
        elif self.refusals:
            _write(writer, *self.refusals.pop(0))
        elif request.method == "PUT" and self.minor_version < 6:
            _write(writer, 405, {"detail": "Method Not Allowed"})
        elif request.headers.get("accept") == "text/event-stream" and self.minor_version > 20:
            await self._stream(request.path.split("/")[2], reader, writer)
        else:
            output = self._next_output()
            _write(writer, 200, self._build_record(request.body["id"], output))
        await writer.drain()

    async def _stream(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if name not in self._running:
            self._running[name] = list(self._next_output())
        output = self._running[name]
        body = _event("start", {"id": name, "status": "processing"}) + self.extra_events
        for index, chunk in enumerate(output):
            body += _event("output", {"chunk": chunk, "index": index})
        if name in self._canceled:
            end = {"id": name, "output": output, "status": "canceled"}
        else:
            end = self._build_record(name, output)
        body += _event("completed", end)
        cut = self.cut_after.pop(0) if self.cut_after else None
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        if cut is None or cut >= len(body):
            self._running.pop(name)
            writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            return
        # The chunk is announced in full, as it would have been.
        writer.write(b"%x\r\n%b" % (len(body), body[:cut]))
        await writer.drain()
        if self.on_cut == "canceled":
            self._canceled.add(name)
            self._running[name] = output[: body[:cut].count(b"event: output")]
        elif self.on_cut == "forgotten":
            self._running.pop(name)
        elif self.on_cut == "silence":
            await reader.read()  # until the client leaves
        raise ConnectionError

    def _next_output(self) -> Sequence[Any]:
        self._count += 1
        return self.outputs[min(self._count, len(self.outputs)) - 1]

    def _build_record(self, name: str, output: Sequence[Any]) -> dict[str, Any]:
        record = {"id": name, "metrics": {"predict_time": 0.5}, "output": output}
        return {**record, "status": "succeeded", **self.end}


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return f"event: {name}\ndata: {text}\n\n".encode()


def _write(writer: asyncio.StreamWriter, status: int, body: Mapping[str, Any]) -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(data)}"
    writer.write(head.encode() + b"\r\n\r\n" + data)


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    line = (await reader.readline()).decode()
    if not line:
        return None
    method, path, _ = line.split()
    headers: dict[str, str] = {}
    while text := (await reader.readline()).decode().strip():
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    data = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, json.loads(data) if data else None)

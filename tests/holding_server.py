"""A server whose stream host gives no connection back, and which notes the order of things.

After `done` the connection stays open, as with the real one (docs/replicate-api.md 3.3), so that
each stream needs a new one.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

MODEL = "acme/text"
TEXT = "Hello"
PATIENCE = 5.0
"""Longest wait of the server for something that the client does, in seconds."""
_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\n"
    b"event: output\nid: 1:0\ndata: Hello\n\nevent: done\nid: 1:1\ndata: {}\n\n"
)
_JSON_HEAD = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_OUTPUTS = {
    "text": {
        "type": "array",
        "items": {"type": "string"},
        "x-cog-array-type": "iterator",
        "x-cog-array-display": "concatenate",
    },
    "object": {"type": "object", "properties": {"answer": {"type": "string"}}},
}


class HoldingServer:
    """Serves the API on one port and streams on others, in a thread of its own.

    Attributes:
        log: In order: "connected" and "disconnected" for the connections to stream hosts, with the
            number of the host, "created" for a reply to a creation, "streamed" for a stream's.
        cancels: Number of requests to cancel a prediction.
        base_url: The API's address.
        host: Number of the stream host that creations name.
        statuses: Statuses of the replies to the next creations; 201 for all behind them.
        output: Kind of the model's output: "text", or "object".
        waits_for: What a creation waits for before it is answered, but for the first one: nothing,
            "a connection" that waits for its stream, or "its end" without a stream.
        group: Number of creations, and connections, that wait for one another.
        hangs_up: Whether the stream hosts close a connection before its prediction is created.
    """

    def __init__(self, certificate: ssl.SSLContext | None = None, hosts: int = 2) -> None:
        self.log: list[str] = []
        self.cancels = 0
        self.base_url = ""
        self.host = 0
        self.statuses: list[int] = []
        self.output = "text"
        self.waits_for: str | None = None
        self.group = 1
        self.hangs_up = False
        self._certificate = certificate
        self._host_count = hosts
        self._waiting: set[asyncio.StreamWriter] = set()  # connections without a stream
        self._pending = 0  # creations
        self._changed = threading.Condition()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(),))

    def __enter__(self) -> HoldingServer:
        self._thread.start()
        self._started.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop_event.set)
        self._thread.join()

    def wait_for(self, entry: str, count: int = 1) -> None:
        """Block until the log has an entry `count` times.

        Raises:
            AssertionError: It had not within `PATIENCE` seconds.
        """
        with self._changed:
            is_noted = self._changed.wait_for(lambda: self.log.count(entry) >= count, PATIENCE)
        assert is_noted, self.log

    def _note(self, entry: str) -> None:
        with self._changed:
            self.log.append(entry)
            self._changed.notify_all()

    async def _run(self) -> None:
        self._loop, self._stop_event = asyncio.get_running_loop(), asyncio.Event()
        self._condition = asyncio.Condition()
        scheme = "http" if self._certificate is None else "https"
        servers = [
            await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self._certificate)
            for serve in (
                self._serve_api,
                *(self._make_stream_server(n) for n in range(self._host_count)),
            )
        ]
        origins = [f"{scheme}://127.0.0.1:{s.sockets[0].getsockname()[1]}" for s in servers]
        self.base_url, self.stream_origins = f"{origins[0]}/v1", origins[1:]
        self._started.set_result(None)
        await self._stop_event.wait()
        for server in servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- The API

    async def _serve_api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"(?i)^content-length: (\d+)", head, re.MULTILINE)
                await reader.readexactly(int(length[1]) if length else 0)
                method, url, _ = head.split(" ", 2)
                path = re.sub(r"^http://[^/]+", "", url)  # as a proxy gets it
                if path.startswith("/streams/"):
                    writer.write(_STREAM)
                    continue
                status, body = await self._answer(method, path)
                text = json.dumps(body).encode()
                writer.write(_JSON_HEAD % (status, len(text)) + text)
        writer.close()

    async def _answer(self, method: str, path: str) -> tuple[int, Any]:
        if path == f"/v1/models/{MODEL}":
            schema = {"Input": {"properties": {"prompt": {"type": "string"}}}}
            openapi = {"components": {"schemas": {**schema, "Output": _OUTPUTS[self.output]}}}
            return 200, {"is_official": True, "latest_version": {"openapi_schema": openapi}}
        urls = {"stream": f"{self.stream_origins[self.host]}/streams/secret"}
        if method == "POST" and path.endswith("/predictions"):
            await self._wait_to_create()
            self._note("created")
            status = self.statuses.pop(0) if self.statuses else 201
            if status >= 400:
                return status, {"detail": "no"}
            return 201, {"id": "p", "status": "starting", "urls": urls}
        self.cancels += path.endswith("/cancel")
        output: Any = {"answer": TEXT} if self.output == "object" else [TEXT]
        return 200, {"id": "p", "status": "succeeded", "output": output, "urls": urls}

    async def _wait_to_create(self) -> None:
        self._pending += 1
        async with self._condition:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._condition.wait_for(self._may_create), PATIENCE)
        self._pending -= 1

    def _may_create(self) -> bool:
        if self.waits_for is None or "created" not in self.log:
            return True
        if self.waits_for == "a connection":
            return len(self._waiting) >= self.group
        unused = self.log.count("connected 0") - self.log.count("streamed 0")
        return unused > 0 and not self._waiting

    # --- The stream hosts

    def _make_stream_server(self, number: int) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.CancelledError):
                await self._serve_stream(reader, writer, number)

        return serve

    async def _serve_stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        await self._change_waiting(writer, f"connected {number}", is_waiting=True)
        try:
            if not (self.hangs_up and self._pending):
                with suppress(ConnectionError, asyncio.IncompleteReadError):
                    await reader.readuntil(b"\r\n\r\n")
                    await self._change_waiting(writer, f"streamed {number}", is_waiting=False)
                    writer.write(_STREAM)
                    await reader.read()  # held until the client closes it
        finally:
            writer.close()
            await self._change_waiting(writer, f"disconnected {number}", is_waiting=False)

    async def _change_waiting(
        self, writer: asyncio.StreamWriter, entry: str, *, is_waiting: bool
    ) -> None:
        async with self._condition:
            (self._waiting.add if is_waiting else self._waiting.discard)(writer)
            self._note(entry)
            self._condition.notify_all()

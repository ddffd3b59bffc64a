"""A server of raw bytes with one fault: the API on one port, the event stream on another.

It knows neither the client nor the emulator. A fault replaces the bytes of one reply, or those that
follow a place in the stream's body; everything else is served as Replicate does
(docs/replicate-api.md 3.3).
"""

from __future__ import annotations

import asyncio
import enum
import json
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, TypeAlias

from typing_extensions import Self

MODEL = "acme/text"
TOKENS = ("Why", " the", "\n\nsky", " is", " bl\u00fc")
TEXT = "".join(TOKENS)
LOOK_UP, CREATE, STREAM, RECORD, CANCEL = "look-up", "create", "stream", "record", "cancel"
_KINDS = {
    f"GET /v1/models/{MODEL}": LOOK_UP,
    f"POST /v1/models/{MODEL}/predictions": CREATE,
    "GET /streams/secret": STREAM,
    "GET /v1/predictions/p1": RECORD,
    "POST /v1/predictions/p1/cancel": CANCEL,
}


class Action(enum.Enum):
    """A step of a reply that is not bytes."""

    RESET = "abort the connection with a RST"
    STALL = "send nothing more until the client closes the connection"
    COMMENTS = "send comments until the client closes the connection"
    PAUSE = "wait a millisecond"


Steps: TypeAlias = "Sequence[bytes | Action]"
EditReply: TypeAlias = Callable[[bytes], Steps]
EditEvents: TypeAlias = "Callable[[list[bytes], list[bytes]], Steps]"
"""Takes the events before and after the place of the fault, and returns the whole body."""


@dataclass(frozen=True, slots=True)
class Script:
    """The behaviour of the server in one cell.

    Attributes:
        faulty: The kind of request with the fault.
        edit_reply: Edits the bytes of the whole reply.
        edit_events: Edits the events of the stream; of each one if another request has the fault.
        place: Number of the event before which the stream's fault happens.
        times: Number of replies with the fault; None for all.
        is_refused: Whether the port is closed instead.
        acts_first: Whether a request with the fault has its effect all the same.
        status, output, error: Those of the record at the end of the prediction.
        running_gets: Number of GETs of the record before it shows the end; None: it never does.
        created: Fields of the reply to the creation that replace the right ones.
        has_stream: Whether the reply to the creation has a stream's URL.
        has_record: Whether there is a record to be fetched.
        replays: The events that a further connection gets: those after `Last-Event-ID`, "all", or
            "none" but the last.
    """

    faulty: str
    edit_reply: EditReply | None = None
    edit_events: EditEvents | None = None
    place: int = 0
    times: int | None = None
    is_refused: bool = False
    acts_first: bool = False
    status: str = "succeeded"
    output: Any = TOKENS
    error: str | None = None
    running_gets: int | None = 0
    created: dict[str, Any] = field(default_factory=dict)
    has_stream: bool = True
    has_record: bool = True
    replays: str = "after id"


def build_reply(status: int, body: bytes, content_type: str, *headers: str) -> bytes:
    """Build the bytes of a whole HTTP reply."""
    phrase = HTTPStatus(status).phrase
    lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Type: {content_type}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def build_json(status: int, body: object, *headers: str) -> bytes:
    """Build the bytes of a reply with JSON."""
    return build_reply(status, json.dumps(body).encode(), "application/json", *headers)


def build_event(name: str, data: str, event_id: str | None) -> bytes:
    """Build the bytes of an event in the form of Replicate's stream server."""
    lines = [f"event: {name}", *([f"id: {event_id}"] if event_id else [])]
    return "\n".join([*lines, *(f"data: {line}" for line in data.split("\n")), "", ""]).encode()


EVENTS = [build_event("output", token, f"170:{i}") for i, token in enumerate(TOKENS)]
DONE = build_event("done", "{}", f"170:{len(TOKENS)}")
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"


class FaultyServer:
    """Serves one prediction by a script, in a thread of its own; a context manager.

    Attributes:
        requests: Number of requests by kind.
        cancels: Number of cancel requests that had their effect.
        connections: The open connections.
        idle: Those of the API that wait for another request.
        base_url: The API's address.
        filler: What `Action.COMMENTS` sends.
    """

    filler = b": still here\n\n"
    _streaming = STREAM
    # A port is closed behind this reply, so that the next request of the kind is refused.
    _replies_before: ClassVar[Mapping[str, str]] = {RECORD: CREATE, CREATE: LOOK_UP, CANCEL: CREATE}

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: Counter[str] = Counter()
        self.cancels = 0
        self.connections: set[asyncio.StreamWriter] = set()
        self.idle: set[asyncio.StreamWriter] = set()
        self._faults_left = script.times
        self._loop = asyncio.new_event_loop()
        self._stop_event = asyncio.Event()
        self._closed = threading.Condition()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop_event.set)
        self._thread.join()
        self._loop.close()

    def wait_until_closed(self, timeout: float = 5.0) -> bool:
        """Block until the client has closed all connections; return False if it did not."""
        with self._closed:
            return self._closed.wait_for(lambda: not self.connections, timeout)

    def wait_until_idle(self, timeout: float = 5.0) -> bool:
        """Block until no connection is open but such as wait for another request to the API."""
        with self._closed:
            return self._closed.wait_for(lambda: self.connections == self.idle, timeout)

    async def _run(self) -> None:
        self._api = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._stream = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._api.sockets[0].getsockname()[1]}/v1"
        self._stream_origin = f"http://127.0.0.1:{self._stream.sockets[0].getsockname()[1]}"
        if self.script.is_refused and self.script.faulty not in self._replies_before:
            (self._stream if self.script.faulty == STREAM else self._api).close()
        self._started.set_result(None)
        await self._stop_event.wait()
        self._api.close()
        self._stream.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._serve_request(reader, writer):
                    with self._closed:
                        self.idle.add(writer)
                        self._closed.notify_all()
        except asyncio.CancelledError:
            pass  # the server stops; asyncio's own callback would raise it again
        finally:
            writer.close()
            with self._closed:
                self.connections.discard(writer)
                self.idle.discard(writer)
                self._closed.notify_all()

    async def _serve_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; return whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.idle.discard(writer)
        length = re.search(r"(?i)^content-length: (\d+)", head, re.MULTILINE)
        await reader.readexactly(int(length[1]) if length else 0)
        kind = self._find_kind(head.split(" HTTP", 1)[0])
        self.requests[kind] += 1
        last_id = re.search(r"(?im)^last-event-id: (.*?)\r$", head)
        is_faulty = self._take_fault(kind)
        if kind == CANCEL and (not is_faulty or self.script.acts_first):
            self.cancels += 1
        steps = self._build_steps(kind, last_id[1] if last_id else None, is_faulty=is_faulty)
        for step in steps:
            await self._take(step, reader, writer)
        is_last = kind == self._replies_before.get(self.script.faulty) and self.script.is_refused
        if is_last:
            self._api.close()
        return not (is_last or is_faulty or kind == self._streaming)

    def _find_kind(self, request: str) -> str:
        return _KINDS[request]

    def _take_fault(self, kind: str) -> bool:
        if kind != self.script.faulty or self._faults_left == 0:
            return False
        if self._faults_left is not None:
            self._faults_left -= 1
        return True

    async def _take(
        self, step: bytes | Action, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif step is Action.RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        elif step is Action.PAUSE:
            await asyncio.sleep(0.001)
        else:
            await self._wait_for_close(reader, writer, sends=step is Action.COMMENTS)

    async def _wait_for_close(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, sends: bool
    ) -> None:
        closing = asyncio.ensure_future(reader.read())
        while not (await asyncio.wait({closing}, timeout=0.02 if sends else None))[0]:
            writer.write(self.filler)
        closing.result()

    def _build_steps(self, kind: str, last_id: str | None, *, is_faulty: bool) -> Steps:
        script = self.script
        if kind != STREAM:
            reply = self._build_api_reply(kind)
            if is_faulty:  # the server closes the connection behind it, and announces that
                reply = reply.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            return script.edit_reply(reply) if is_faulty and script.edit_reply else [reply]
        events, start = [*EVENTS, DONE], self._choose_start(last_id)
        if script.edit_events and (is_faulty or script.faulty != STREAM):
            place = max(start, script.place)
            edited = script.edit_events(events[start:place], events[place:])
            return [STREAM_HEAD, b": hi\n\n", *edited]
        reply = STREAM_HEAD + b": hi\n\n" + b"".join(events[start:])
        if is_faulty and script.edit_reply:
            return script.edit_reply(reply)
        # A stream that has nothing to send stays open.
        return [reply] if events[start:] else [reply, Action.STALL]

    def _choose_start(self, last_id: str | None) -> int:
        """Number of the first event that a connection gets."""
        if self.requests[STREAM] > 1 and self.script.replays == "none":
            return self.script.place + 2  # one was made while nobody was connected
        if last_id and last_id.startswith("170:") and self.script.replays == "after id":
            return int(last_id.removeprefix("170:")) + 1
        return 0

    def _build_api_reply(self, kind: str) -> bytes:
        if kind == LOOK_UP:
            return build_json(200, _MODEL_RECORD)
        if kind == CREATE:
            return build_json(201, self._build_record("starting") | self.script.created)
        if kind == RECORD and not self.script.has_record:
            return build_json(404, {"detail": "Not found.", "status": 404})
        running_gets = self.script.running_gets
        is_running = running_gets is None or self.requests[RECORD] <= running_gets
        return build_json(200, self._build_record("processing" if is_running else "end"))

    def _build_record(self, status: str) -> dict[str, Any]:
        url = f"{self.base_url}/predictions/p1"
        urls = {"get": url, "cancel": f"{url}/cancel"}
        if self.script.has_stream:
            urls["stream"] = f"{self._stream_origin}/streams/secret"
        record: dict[str, Any] = {"id": "p1", "urls": urls, "status": status, "model": MODEL}
        if status != "starting":
            record["output"] = self.script.output
        if status == "end":
            metrics = {"input_token_count": 3, "output_token_count": len(TOKENS)}
            record |= {"status": self.script.status, "error": self.script.error, "metrics": metrics}
        return record


_TEXT_OUTPUT = {
    "type": "array",
    "items": {"type": "string"},
    "x-cog-array-type": "iterator",
    "x-cog-array-display": "concatenate",
}
_MODEL_RECORD = {
    "owner": MODEL.split("/")[0],
    "name": MODEL.split("/")[1],
    "is_official": True,
    "latest_version": {
        "id": "0" * 64,
        "openapi_schema": {
            "components": {
                "schemas": {
                    "Input": {"type": "object", "properties": {"prompt": {"type": "string"}}},
                    "Output": _TEXT_OUTPUT,
                }
            }
        },
    },
}

"""What observers of a program see of a client's requests: logs, traces, pickles, other hosts."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps
from langchain_core.tracers import LangChainTracer
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr

import langchain_replicate_stream
import llama_index_replicate_stream
import replicate_stream
from langchain_replicate_stream import ChatReplicate
from llama_index_replicate_stream import Replicate
from replicate_stream import Client, Message, ReplicateError, ToolCall
from replicate_stream.testing import Emulator, Fault

TOKEN = "r8_" + "FAKE" * 9
KEY = "sk-" + "MARKED" * 5
PROMPT = "MARKEDPROMPT of a user"
HEADERS = {"X-Gateway-Key": KEY}
MESSAGES = [Message("user", PROMPT)]

Seen: TypeAlias = list[str]
Observe: TypeAlias = Callable[[Emulator], Awaitable[Seen]]

PACKAGES = tuple(
    str(Path(package.__file__ or "").parent)
    for package in (replicate_stream, langchain_replicate_stream, llama_index_replicate_stream)
)


def make_client(emulator: Emulator, **settings: Any) -> Client:
    return Client(TOKEN, base_url=emulator.base_url, headers=HEADERS, **settings)


def make_langchain(emulator: Emulator, **settings: Any) -> ChatReplicate:
    return ChatReplicate(
        model=emulator.model,
        api_key=TOKEN,
        base_url=emulator.base_url,
        default_headers=HEADERS,
        **settings,
    )


def make_llama_index(emulator: Emulator, **settings: Any) -> Replicate:
    return Replicate(
        model=emulator.model,
        api_key=TOKEN,
        base_url=emulator.base_url,
        default_headers=HEADERS,
        **settings,
    )


# Failures on the way, and servers that send back what they were sent

ECHO = f"bad header: Authorization: Bearer {TOKEN}, {KEY}"
FAULTS = [
    Fault(on="create", status=401, body={"detail": ECHO}),
    Fault(on="create", status=500, body=f"<html>{ECHO}</html>"),
    Fault(on="create", garbage=b"\x16\x03garbage"),
    Fault(on="create", lose_reply=True),
    Fault(on="create", body={"id": None, "error": ECHO}, status=201),
    Fault(on="model", status=403, body={"title": ECHO}),
    Fault(on="stream", body=f"event: error\ndata: {ECHO}\n\nevent: done\ndata: {{}}\n\n"),
]


async def collect_errors(emulator: Emulator, *, with_frames: bool) -> Seen:
    seen: Seen = []
    for fault in FAULTS:
        client = make_client(emulator, max_retries=0)
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda client=client: client.complete(emulator.model, MESSAGES),  # type: ignore[misc]  # bound at once
            lambda: make_langchain(emulator, max_retries=0).ainvoke(PROMPT),
            lambda: make_llama_index(emulator, max_retries=0).acomplete(PROMPT),
        ]
        for call in calls:
            emulator.clear_faults()
            emulator.fault(fault, times=None)
            try:
                await call()
            except ReplicateError as error:
                seen += show_frames(error) if with_frames else show_error(error)
        await client.aclose()
    emulator.clear_faults()
    assert seen
    return seen


def show_error(error: BaseException | None) -> Iterator[str]:
    """Everything of an exception and its causes but its frames' variables."""
    if error is None:
        return
    yield from (str(error), repr(error), repr(vars(error)), repr(error.args))
    yield repr(getattr(error, "__notes__", ()))
    yield from traceback.format_exception(error)
    yield pickle.dumps(error).decode("latin1") if isinstance(error, ReplicateError) else ""
    yield from show_error(error.__cause__)
    yield from show_error(error.__context__)


def show_frames(error: BaseException | None) -> Iterator[str]:
    """The variables of the frames of our packages, as error trackers record them."""
    if error is None:
        return
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(PACKAGES):
            yield from map(repr, frame.f_locals.values())
            yield from map(str, frame.f_locals.values())
    yield from show_frames(error.__cause__)
    yield from show_frames(error.__context__)


# Values


async def collect_reprs(emulator: Emulator) -> Seen:
    async with make_client(emulator) as client:
        async with client.stream(emulator.model, MESSAGES) as events:
            values: list[Any] = [client, events, events.prediction]
            values += [event async for event in events]
        values += [await client.complete(emulator.model, MESSAGES), MESSAGES]
        values += [await client.prepare(emulator.model, MESSAGES), ToolCall("1", "f", PROMPT)]
        values += vars(client).values()
    values += [make_langchain(emulator), make_llama_index(emulator)]
    values += [Message("tool", PROMPT, tool_calls=(ToolCall("1", "f", {"a": PROMPT}),))]
    return [text for value in values for text in (repr(value), str(value))]


async def collect_recordings(emulator: Emulator) -> Seen:
    async with make_client(emulator) as client:
        await client.complete(emulator.model, MESSAGES)
    values = [emulator, emulator.requests, emulator.predictions, emulator.behaviour]
    return [text for value in values for text in (repr(value), str(value))]


async def collect_pickles(emulator: Emulator) -> Seen:
    client, lc, li = make_client(emulator), make_langchain(emulator), make_llama_index(emulator)
    await client.complete(emulator.model, MESSAGES)
    await lc.ainvoke(PROMPT)
    await li.acomplete(PROMPT)
    await client.aclose()
    values = [client, lc, li, lc.bind(stop=["x"]), copy.copy(client)]
    state = [repr(lc.__getstate__()), repr(li.__getstate__())]
    return [pickle.dumps(value).decode("latin1") for value in values] + state


async def collect_langchain_forms(emulator: Emulator) -> Seen:
    llm = make_langchain(emulator)
    runnables = [
        llm,
        llm.bind(stop=["x"]),
        llm.bind_tools([{"name": "f", "parameters": {}}]),
        llm.with_structured_output({"title": "f", "type": "object", "properties": {}}),
        llm.with_config(tags=["x"]),
    ]
    forms = [f(each) for each in runnables for f in (dumps, dumpd, repr)]
    forms += [llm.model_dump(), llm.model_dump_json(), llm.to_json(), llm._identifying_params]
    forms += [llm._get_llm_string(), llm.metadata]
    answer = await llm.ainvoke(PROMPT)
    return [*map(str, forms), dumps(answer), repr(answer)]


async def collect_llama_index_forms(emulator: Emulator) -> Seen:
    llm = make_llama_index(emulator)
    answer = await llm.acomplete(PROMPT)
    forms = [llm.to_dict(), llm.to_json(), llm.model_dump(), llm.model_dump_json(), llm.metadata]
    return [*map(str, forms), answer.model_dump_json(), str(answer.raw)]


# Traces


class _Callbacks(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: Seen = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.seen += [repr(serialized), json.dumps(serialized, default=str), repr(kwargs)]


async def collect_langchain_callbacks(emulator: Emulator) -> Seen:
    handler, llm = _Callbacks(), make_langchain(emulator)
    await llm.ainvoke(PROMPT, {"callbacks": [handler]})
    _ = [chunk async for chunk in llm.astream(PROMPT, {"callbacks": [handler]})]
    assert len(handler.seen) == 6
    return handler.seen


async def collect_langsmith(emulator: Emulator) -> Seen:
    """What LangSmith's client sends to its server, of an answer and of a failure."""
    from langsmith import Client as LangSmith

    with Host() as host:
        langsmith = LangSmith(host.origin, api_key="fake", auto_batch_tracing=False)
        tracer = LangChainTracer(client=langsmith)
        llm = make_langchain(emulator, max_retries=0)
        await llm.ainvoke("Hi", {"callbacks": [tracer]})
        emulator.fault(FAULTS[0])
        with suppress(ReplicateError):
            await llm.ainvoke("Hi", {"callbacks": [tracer]})
        tracer.wait_for_futures()
    assert any("Hi" in each for each in host.seen)
    return host.seen


class _Events(BaseEventHandler):
    _seen: Seen = PrivateAttr(default_factory=list)

    def handle(self, event: Any, **_: Any) -> None:
        self._seen += [repr(event), str(event), event.model_dump_json()]


async def collect_instrumentation(emulator: Emulator) -> Seen:
    """LlamaIndex's events, spans and callbacks, of an answer and of a failure."""
    events, spans, dispatcher = _Events(), SimpleSpanHandler(), get_dispatcher()
    debug = LlamaDebugHandler(print_trace_on_end=False)
    dispatcher.add_event_handler(events)
    dispatcher.add_span_handler(spans)
    try:
        llm = make_llama_index(emulator, max_retries=0, callback_manager=CallbackManager([debug]))
        await llm.acomplete("Hi")
        emulator.fault(FAULTS[0])
        with suppress(ReplicateError):
            await llm.acomplete("Hi")
    finally:
        dispatcher.event_handlers.remove(events)
        dispatcher.span_handlers.remove(spans)
    seen = [*events._seen, *map(repr, spans.completed_spans), *map(repr, spans.dropped_spans)]
    assert len(seen) > 6
    return seen + [repr(event.payload) for event in debug.get_events()]


class _Logs(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: Seen = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen += [self.format(record), repr(record.__dict__)]


@contextmanager
def logs_of_everything() -> Iterator[Seen]:
    handler, root, loop = _Logs(), logging.getLogger(), asyncio.get_running_loop()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    try:
        yield handler.seen
    finally:
        loop.set_debug(False)
        root.setLevel(level)
        root.removeHandler(handler)


async def collect_logs(emulator: Emulator) -> Seen:
    with logs_of_everything() as seen:
        await collect_errors(emulator, with_frames=False)
        async with make_client(emulator) as client:
            await client.complete(emulator.model, MESSAGES)
            async with client.stream(emulator.model, MESSAGES) as events:
                await events.__anext__()
    assert seen
    return seen


# Other hosts, and other processes


class Host:
    """Another host: records the whole of each request, and answers with a 404 or a redirect."""

    def __init__(self, location: str = "") -> None:
        self.seen = seen = list[str]()

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen.append(f"{self.requestline}\n{self.headers}\n{body.decode('latin1')}")
                self.send_response(307 if location else 404)
                if location:
                    self.send_header("Location", location + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_PATCH = handle_any  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Host:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


async def collect_redirects(_: Emulator) -> Seen:
    """Requests of each kind to an API that sends them on to another host."""
    with Host() as other, Host(other.origin) as api:
        client = Client(TOKEN, base_url=api.origin, headers=HEADERS, max_retries=0)
        async with client:
            with suppress(ReplicateError):
                await client.describe("a/b")
            for model in ("a/b", "a" * 64):
                with suppress(ReplicateError):
                    await client.complete(model, MESSAGES)
        assert TOKEN in "".join(api.seen)
        assert other.seen
    return other.seen


async def collect_foreign_urls(emulator: Emulator) -> Seen:
    """Requests to the URLs of a record, of which each is on another host."""
    with Host() as other:
        urls = {name: f"{other.origin}/{name}" for name in ("get", "cancel", "stream")}
        record: Mapping[str, Any] = {"id": "p", "status": "starting", "urls": urls}
        for is_left in (False, True):
            emulator.fault(Fault(on="create", status=201, body=record))
            async with make_client(emulator, max_retries=0, timeout=2) as client:
                with suppress(ReplicateError):
                    async with client.stream(emulator.model, MESSAGES) as events:
                        async for _ in events:
                            if is_left:
                                break
        assert any(each.startswith("GET /stream") for each in other.seen)
    return other.seen


async def collect_command_line(emulator: Emulator) -> Seen:
    """Output and arguments of the program, of an answer and of failures."""
    environment = {
        **os.environ,
        "REPLICATE_API_TOKEN": TOKEN,
        "REPLICATE_BASE_URL": emulator.base_url,
        "PYTHONASYNCIODEBUG": "1",
    }
    seen: Seen = []
    # The command line sends no headers but its own, so none can come back.
    echo = {"detail": ECHO.replace(KEY, "")}
    faults = [Fault(on="create", status=status, body=echo) for status in (401, 422)]
    for fault in (None, FAULTS[2], *faults):
        if fault is not None:
            emulator.fault(fault)
        process = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, "-X", "dev", "-m", "replicate_stream", "chat", "-m", emulator.model],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        seen.append(str(process.args))
        output = await asyncio.to_thread(process.communicate, PROMPT.encode(), 60)
        seen += [each.decode() for each in output]
        emulator.clear_faults()
    assert any(ECHO[:10] in each for each in seen)
    return seen

"""`Replicate` in a web application: many answers at once, and a loop that is never held up.

The application is called as its server would call it. httpx would collect a whole answer before it
shows any of it, and what is to be seen here is when the pieces come, and who stops listening.
"""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import suppress
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from llama_index.core.llms import ChatMessage
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from llama_index_replicate_stream import Replicate
from replicate_stream import ReplicateError
from replicate_stream.testing import Emulator, Reply

MakeLLM = Callable[..., Replicate]
Told = MutableMapping[str, Any]
PATHS = ["/chat", "/complete"]
MANY = 50


def make_app(llm: Replicate) -> Starlette:
    """An application that answers a question, in the body, by a stream of text."""

    async def answer(request: Request) -> StreamingResponse:
        question = (await request.body()).decode()
        if request.url.path == "/chat":
            return StreamingResponse(chat(question), media_type="text/plain")
        return StreamingResponse(complete(question), media_type="text/plain")

    async def chat(question: str) -> AsyncIterator[str]:
        async for response in await llm.astream_chat([ChatMessage(content=question)]):
            yield response.delta or ""

    async def complete(question: str) -> AsyncIterator[str]:
        async for response in await llm.astream_complete(question):
            yield response.delta or ""

    async def whole(request: Request) -> JSONResponse:
        try:
            return JSONResponse({"answer": (await llm.acomplete("Hi")).text})
        except ReplicateError as error:
            return JSONResponse({"error": type(error).__name__}, status_code=502)

    routes = [Route(path, answer, methods=["POST"]) for path in PATHS]
    return Starlette(routes=[*routes, Route("/whole", whole)])


class Call:
    """One request to an application, and what has come back of it.

    The caller goes away after `leaves_after` pieces, if ever. An application learns of it by a
    message, as from uvicorn, or by an error when it sends, as from other servers.
    """

    def __init__(self, question: str, leaves_after: int | None = None, spec: str = "2.3") -> None:
        self.status = 0
        self.pieces: list[str] = []
        self.has_begun = asyncio.Event()
        self._question, self._leaves_after, self._spec = question, leaves_after, spec
        self._is_asked = False
        self._gone = asyncio.Event()

    async def __call__(self, app: Starlette, path: str) -> Call:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": self._spec},
            "http_version": "1.1",
            "method": "GET" if path == "/whole" else "POST",
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "headers": [],
        }
        await app(scope, self._receive, self._send)
        return self

    async def _receive(self) -> Told:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": self._question.encode(), "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Told) -> None:
        if self._gone.is_set():
            if self._spec == "2.3":
                return  # uvicorn drops what is sent before the application reads its message
            raise OSError("the caller is gone")
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["body"]:
            self.pieces.append(message["body"].decode())
            self.has_begun.set()
        if len(self.pieces) == self._leaves_after:
            self._gone.set()

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def numbered(values: dict[str, Any]) -> list[str]:
    """An answer of forty tokens that only this question can have."""
    (number,) = re.findall(r"number (\d+)", values["prompt"])
    return [f"{number}.{token} é\n" for token in range(40)]


def expected(number: int) -> str:
    return "".join(f"{number}.{token} é\n" for token in range(40))


async def test_fifty_callers_at_once_get_their_own_whole_answers(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    app = make_app(make_llm())
    for path in PATHS:  # what is imported and connected once
        await Call("Hi")(app, path)
    before = len(replicate_emulator.predictions)
    all_there = threading.Barrier(MANY)

    def together(values: dict[str, Any]) -> list[str]:
        # Every prediction waits for all the others: one after the other, none would ever begin.
        all_there.wait(30)
        return numbered(values)

    replicate_emulator.reply = together
    calls = [Call(f"Question number {n}") for n in range(MANY)]
    with blockbuster_ctx(["llama_index_replicate_stream", "replicate_stream"]):
        await asyncio.gather(*[call(app, PATHS[n % 2]) for n, call in enumerate(calls)])
    assert [call.text for call in calls] == [expected(n) for n in range(MANY)]
    assert {call.status for call in calls} == {200}
    assert len(replicate_emulator.predictions) == before + MANY
    assert replicate_emulator.cancels == []


@pytest.fixture
def no_old_garbage() -> Iterator[None]:
    """The collector does not look at what other tests have left: that would take its time here."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def test_fifty_streams_do_not_hold_up_the_loop(
    replicate_emulator: Emulator, make_llm: MakeLLM, no_old_garbage: None
) -> None:
    app = make_app(make_llm())
    for path in PATHS:  # what is imported and connected once
        await Call("Hi")(app, path)
    replicate_emulator.behaviour.token_delay = 0.02
    replicate_emulator.reply = numbered
    busy: list[float] = []
    most_open = 0

    async def tick() -> None:
        nonlocal most_open
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.005)
            busy.append(time.thread_time() - before)
            most_open = max(most_open, replicate_emulator.streams_open)

    # Time that this thread itself computed between two ticks: what other programs take of a shared
    # machine does not count. That nothing waits instead of computing is BlockBuster's part.
    with blockbuster_ctx(["llama_index_replicate_stream", "replicate_stream"]):
        ticker = asyncio.create_task(tick())
        calls = [Call(f"Question number {n}") for n in range(MANY)]
        tasks = []
        for n, call in enumerate(calls):  # not all in one step: sockets do not bring them so either
            tasks.append(asyncio.create_task(call(app, PATHS[n % 2])))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        ticker.cancel()
    assert [call.text for call in calls] == [expected(n) for n in range(MANY)]
    assert len(busy) > 20
    assert most_open > MANY / 2
    assert max(busy) < 0.1, sorted(busy)[-5:]


@pytest.mark.parametrize("path", PATHS)
async def test_a_caller_reads_the_beginning_before_the_end_is_made(
    replicate_emulator: Emulator, make_llm: MakeLLM, path: str
) -> None:
    call = Call("Hi")
    was_read = threading.Event()

    async def answer(_: dict[str, Any]) -> AsyncIterator[str]:
        yield "first "
        await asyncio.to_thread(was_read.wait, 10)
        yield "second"

    replicate_emulator.reply = answer
    task = asyncio.create_task(call(make_app(make_llm()), path))
    await asyncio.wait_for(call.has_begun.wait(), 10)
    assert call.pieces == ["first "]
    was_read.set()
    await task
    assert call.text == "first second"


@pytest.mark.parametrize("spec", ["2.3", "2.4"])
@pytest.mark.parametrize("path", PATHS)
async def test_a_caller_who_goes_away_stops_the_prediction(
    endless: Emulator, make_llm: MakeLLM, path: str, spec: str
) -> None:
    call = Call("Hi", leaves_after=5, spec=spec)
    with suppress(ClientDisconnect):  # which Starlette raises where it hears of it by an error
        await call(make_app(make_llm()), path)
    await endless.wait_for_async(lambda e: len(e.cancels) == 1 and e.streams_open == 0)
    assert endless.cancels == list(endless.predictions)
    assert len(call.pieces) == 5


async def test_one_caller_who_goes_away_takes_nothing_from_the_others(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.behaviour.token_delay = 0.005
    replicate_emulator.reply = numbered
    app = make_app(make_llm())
    leaver = Call("Question number 0", leaves_after=3)
    others = [Call(f"Question number {n}") for n in range(1, 9)]
    await asyncio.gather(*[call(app, "/chat") for call in (leaver, *others)])
    await replicate_emulator.wait_for_async(lambda e: len(e.cancels) == 1)
    assert [call.text for call in others] == [expected(n) for n in range(1, 9)]
    assert leaver.text == "".join(f"0.{token} é\n" for token in range(3))


async def test_an_application_can_answer_that_the_model_failed(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = Reply(["Hel"], error="It broke.")
    call = await Call("Hi")(make_app(make_llm()), "/whole")
    assert (call.status, call.text) == (502, '{"error":"PredictionFailedError"}')

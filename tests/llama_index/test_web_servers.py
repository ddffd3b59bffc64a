"""What stops when a client hangs up: the table of docs/streaming-in-web-apps.md."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.agent import FunctionAgent, ReActAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage
from starlette.concurrency import iterate_in_threadpool
from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from llama_index_replicate_stream import Replicate
from replicate_stream import cancel_on_exit
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., Replicate]
Leave = Callable[..., Awaitable[None]]
QUESTION = "What is the capital of France?"
ENGINES = ["simple", "context", "condense_plus_context"]

# The framework keeps the history in a database in memory, which it never closes.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*aiosqlite.* was deleted before being closed"),
    pytest.mark.usefixtures("closed_loops"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]


class Text(Event):
    text: str


class Asking(Workflow):
    """Asks the model, and writes its words into the stream."""

    def __init__(self, llm: Replicate) -> None:
        super().__init__(timeout=None)
        self.llm = llm

    @step
    async def ask(self, context: Context, event: StartEvent) -> StopEvent:
        async for response in await self.llm.astream_complete("Hi"):
            context.write_event_to_stream(Text(text=response.delta or ""))
        return StopEvent(result=None)


def say(city: str) -> str:
    """Say the name of a city."""
    return city


RUNS: dict[str, Callable[[Replicate], Any]] = {
    "a function agent": lambda llm: FunctionAgent(llm=llm, tools=[say]).run("Hi"),
    "a ReAct agent": lambda llm: ReActAgent(llm=llm, tools=[say]).run("Hi"),
    "a workflow": lambda llm: Asking(llm).run(),
}


async def chat(llm: Replicate, _: VectorStoreIndex) -> AsyncIterator[str]:
    async for response in await llm.astream_chat([ChatMessage(content="Hi")]):
        yield response.delta or ""


async def complete(llm: Replicate, _: VectorStoreIndex) -> AsyncIterator[str]:
    async for response in await llm.astream_complete("Hi"):
        yield response.delta or ""


async def query(llm: Replicate, index: VectorStoreIndex) -> AsyncIterator[str]:
    response: Any = await index.as_query_engine(llm=llm, streaming=True).aquery(QUESTION)
    async for text in response.async_response_gen():
        yield text


STREAMS = {"chat": chat, "complete": complete, "query": query}
every_stream = pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))
every_run = pytest.mark.parametrize("run", RUNS.values(), ids=list(RUNS))
every_engine = pytest.mark.parametrize("mode", ENGINES)


async def read_run(run: Any, llm: Replicate) -> AsyncIterator[Any]:
    async for event in run(llm).stream_events():
        yield event


async def cancel_run(run: Any, llm: Replicate) -> AsyncIterator[Any]:
    handler = run(llm)
    async with cancel_on_exit(handler.stream_events(), cancel=handler.cancel_run) as events:
        async for event in events:
            yield event


def make_engine(mode: Any, llm: Replicate, index: VectorStoreIndex) -> Any:
    if mode == "simple":
        return SimpleChatEngine.from_defaults(llm=llm)
    return index.as_chat_engine(chat_mode=mode, llm=llm)


async def read_engine(mode: str, llm: Replicate, index: VectorStoreIndex) -> AsyncIterator[str]:
    response = await make_engine(mode, llm, index).astream_chat(QUESTION)
    async for text in response.async_response_gen():
        yield text


async def cancel_engine(mode: str, llm: Replicate, index: VectorStoreIndex) -> AsyncIterator[str]:
    response = await make_engine(mode, llm, index).astream_chat(QUESTION)
    history = response.awrite_response_to_history_task
    async with cancel_on_exit(response.async_response_gen(), cancel=history.cancel) as texts:
        async for text in texts:
            yield text


async def until_stopped(emulator: Emulator) -> None:
    """Wait until the only prediction is cancelled, and every task that read it has ended."""
    await emulator.wait_for_async(lambda e: len(e.cancels) == 1 and e.streams_open == 0)
    assert emulator.cancels == list(emulator.predictions)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, unfinished = await asyncio.wait(others, timeout=10)
        assert not unfinished


@pytest.fixture(params=["scope", "scope between items", "uvicorn", "ASGI 2.4"])
def leave(request: pytest.FixtureRequest, hang_up: Leave, leave_in_scope: Leave) -> Leave:
    """Reads a stream, and is cancelled, or hangs up, in each of the ways."""
    way: str = request.param

    async def leave(open_stream: Callable[[], Any]) -> None:
        if "scope" in way:
            await leave_in_scope(open_stream, between_items="between" in way)
        else:
            await hang_up(open_stream, asgi="2.4" if way == "ASGI 2.4" else "2.3")

    return leave


@every_stream
async def test_in_cancel_on_exit_a_stream_stops(
    endless: Emulator, make_llm: MakeLLM, index: VectorStoreIndex, leave: Leave, stream: Any
) -> None:
    llm = make_llm()
    await leave(lambda: cancel_on_exit(stream(llm, index)))
    await until_stopped(endless)


@every_run
async def test_in_cancel_on_exit_a_run_stops(
    endless: Emulator, make_llm: MakeLLM, leave: Leave, run: Any
) -> None:
    llm = make_llm()
    await leave(lambda: cancel_on_exit(cancel_run(run, llm)))
    await until_stopped(endless)


@every_engine
async def test_in_cancel_on_exit_a_chat_engine_stops(
    endless: Emulator, make_llm: MakeLLM, index: VectorStoreIndex, leave: Leave, mode: str
) -> None:
    llm = make_llm()
    await leave(lambda: cancel_on_exit(cancel_engine(mode, llm, index)))
    await until_stopped(endless)


@every_stream
async def test_a_stream_stops_without_help_when_a_client_hangs_up(
    endless: Emulator, make_llm: MakeLLM, index: VectorStoreIndex, hang_up: Leave, stream: Any
) -> None:
    llm = make_llm()
    await hang_up(lambda: stream(llm, index))
    await until_stopped(endless)


async def break_after_ten(stream: AsyncIterator[Any]) -> None:
    count = 0
    async for item in stream:
        count += "word" in str(item)
        if count == 10:
            break


@every_run
@pytest.mark.parametrize("by_break", [True, False], ids=["break", "uvicorn"])
async def test_a_run_that_is_left_reads_on(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    endless_answer: Any,
    hang_up: Leave,
    run: Any,
    by_break: bool,
) -> None:
    llm = make_llm()
    if by_break:
        await break_after_ten(read_run(run, llm))
    else:
        await hang_up(lambda: read_run(run, llm))
    await endless_answer.assert_read_on(replicate_emulator)


@every_engine
async def test_a_chat_engine_that_is_left_between_two_tokens_reads_on(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    index: VectorStoreIndex,
    endless_answer: Any,
    leave_in_scope: Leave,
    mode: str,
) -> None:
    llm = make_llm()
    await leave_in_scope(lambda: read_engine(mode, llm, index), between_items=True)
    await endless_answer.assert_read_on(replicate_emulator)


async def test_a_chat_engine_reads_on_behind_a_break(
    replicate_emulator: Emulator, make_llm: MakeLLM, index: VectorStoreIndex, endless_answer: Any
) -> None:
    await break_after_ten(read_engine("simple", make_llm(), index))
    await endless_answer.assert_read_on(replicate_emulator)


@every_engine
async def test_a_chat_engine_stops_without_help_when_a_client_hangs_up_before_a_token(
    endless: Emulator, make_llm: MakeLLM, index: VectorStoreIndex, hang_up: Leave, mode: str
) -> None:
    llm = make_llm()
    await hang_up(lambda: read_engine(mode, llm, index))
    await until_stopped(endless)


@pytest.mark.parametrize("method", ["stream_chat", "stream_complete", "query"])
async def test_a_blocking_stream_that_a_client_left_stops_when_garbage_is_collected(
    endless: Emulator,
    make_llm: MakeLLM,
    index: VectorStoreIndex,
    call: Any,
    hang_up: Leave,
    method: str,
) -> None:
    llm = make_llm()

    def open_stream() -> Any:
        if method == "query":
            response: Any = index.as_query_engine(llm=llm, streaming=True).query(QUESTION)
            return iterate_in_threadpool(response.response_gen)
        return iterate_in_threadpool(call(llm, method))

    await hang_up(open_stream)
    gc.collect()
    await until_stopped(endless)


async def test_a_blocking_chat_engine_reads_on_when_a_client_hangs_up(
    replicate_emulator: Emulator, make_llm: MakeLLM, endless_answer: Any, hang_up: Leave
) -> None:
    engine = SimpleChatEngine.from_defaults(llm=make_llm())

    def open_stream() -> Any:
        return iterate_in_threadpool(engine.stream_chat(QUESTION).response_gen)

    leaving = asyncio.ensure_future(hang_up(open_stream))
    await endless_answer.assert_read_on(replicate_emulator)
    await leaving

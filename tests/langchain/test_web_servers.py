"""What stops when a client hangs up: the table of docs/streaming-in-web-apps.md."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from starlette.concurrency import iterate_in_threadpool
from typing_extensions import TypedDict

from langchain_replicate_stream import ChatReplicate
from replicate_stream import cancel_on_exit
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]
Leave = Callable[..., Awaitable[None]]
Until = Callable[[Emulator], Awaitable[None]]

pytestmark = [
    pytest.mark.filterwarnings("ignore:astream_events version='v1'"),
    pytest.mark.filterwarnings("ignore:.*_achat_model_stream_v3` is in beta"),
    pytest.mark.filterwarnings("ignore:The v3 streaming protocol"),
]


class State(TypedDict):
    messages: Annotated[list[BaseMessage], add_messages]


def weather(city: str) -> str:
    """Get the weather of a city."""
    return city


def build_graph(llm: ChatReplicate) -> Any:
    async def ask(state: State) -> Any:
        return {"messages": [await llm.ainvoke(state["messages"])]}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    return graph.compile()


def build_agent(llm: ChatReplicate) -> Any:
    return create_agent(llm, [weather])


ASKED: Any = {"messages": [("human", "Hi")]}


async def read_events_of_version_3(llm: Any) -> AsyncIterator[str]:
    async for text in (await llm.astream_events("Hi", version="v3")).text:
        yield text


async def read_events_of_version_3_in_a_block(llm: Any) -> AsyncIterator[str]:
    async with await llm.astream_events("Hi", version="v3") as stream:
        async for text in stream.text:
            yield text


async def read_texts(run: Any) -> AsyncIterator[str]:
    async for turn in run.messages:
        async for text in turn.text:
            yield text


async def read_an_agents_events_of_version_3(llm: Any) -> AsyncIterator[str]:
    async for text in read_texts(await build_agent(llm).astream_events(ASKED, version="v3")):
        yield text


async def read_an_agents_events_of_version_3_in_a_block(llm: Any) -> AsyncIterator[str]:
    async with await build_agent(llm).astream_events(ASKED, version="v3") as run:
        async for turn in run.messages:
            async for text in turn.text:
                yield text


async def cancel_events_of_version_3(llm: Any) -> AsyncIterator[str]:
    stream = await llm.astream_events("Hi", version="v3")
    async with cancel_on_exit(stream.text, cancel=stream.aclose) as texts:
        async for text in texts:
            yield text


async def cancel_an_agents_events_of_version_3(llm: Any) -> AsyncIterator[str]:
    run = await build_agent(llm).astream_events(ASKED, version="v3")
    async with cancel_on_exit(read_texts(run), cancel=run.abort) as texts:
        async for text in texts:
            yield text


def stream_agent(llm: Any) -> Any:
    return build_agent(llm).astream(ASKED, stream_mode="messages")


STREAMS: dict[str, Callable[[Any], Any]] = {
    "a model": lambda llm: llm.astream("Hi"),
    "a chain": lambda llm: (llm | StrOutputParser()).astream("Hi"),
    "events of version 2": lambda llm: llm.astream_events("Hi", version="v2"),
    "an agent's events": lambda llm: build_agent(llm).astream_events(ASKED),
    "an agent": stream_agent,
    "an agent in several modes": lambda llm: build_agent(llm).astream(
        ASKED, stream_mode=["messages", "updates", "values", "custom"]
    ),
    "a graph": lambda llm: build_graph(llm).astream(ASKED, stream_mode="messages"),
    "version 3": read_events_of_version_3_in_a_block,
    "an agent, version 3": read_an_agents_events_of_version_3_in_a_block,
}


def cancel_stream(stream: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda llm: cancel_on_exit(stream(llm))


# Before Python 3.11 a task has no context of its own to hand on, and LangGraph's asynchronous nodes
# stream nothing unless each passes its `config` on by hand.
graphs_stream = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="LangGraph streams from asynchronous nodes from 3.11 on"
)


def choose(streams: dict[str, Callable[..., Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "stream",
        [
            pytest.param(stream, id=name, marks=[graphs_stream] if "a" in name.split()[0] else [])
            for name, stream in streams.items()
        ],
    )


@choose(
    {
        **{name: cancel_stream(stream) for name, stream in STREAMS.items()},
        "version 3 with `cancel`": cancel_events_of_version_3,
        "an agent, version 3, with `cancel`": cancel_an_agents_events_of_version_3,
    }
)
@pytest.mark.parametrize("leaving", ["scope", "scope between items", "uvicorn", "ASGI 2.4"])
async def test_in_cancel_on_exit_every_stream_stops(
    endless: Emulator,
    make_llm: MakeLLM,
    until_cancelled: Until,
    hang_up: Leave,
    leave_in_scope: Leave,
    stream: Any,
    leaving: str,
) -> None:
    llm = make_llm()
    if "scope" in leaving:
        await leave_in_scope(lambda: stream(llm), between_items="between" in leaving)
    elif leaving == "uvicorn":
        await hang_up(lambda: stream(llm))
    else:
        await hang_up(lambda: stream(llm), asgi="2.4")
    await until_cancelled(endless)


@choose({name: STREAMS[name] for name in [*list(STREAMS)[:4], "version 3"]})
async def test_these_stop_without_help_when_a_client_hangs_up(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until, hang_up: Leave, stream: Any
) -> None:
    llm = make_llm()
    await hang_up(lambda: stream(llm))
    await until_cancelled(endless)


@choose(
    {
        **{name: STREAMS[name] for name in ("an agent", "a graph", "an agent, version 3")},
        "version 3 without a block": read_events_of_version_3,
        "an agent, version 3, without a block": read_an_agents_events_of_version_3,
    }
)
async def test_these_read_on_without_help_when_a_client_hangs_up(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    endless_answer: Any,
    hang_up: Leave,
    stream: Any,
) -> None:
    llm = make_llm()
    await hang_up(lambda: stream(llm))
    await endless_answer.assert_read_on(replicate_emulator)


async def break_after_ten(stream: AsyncIterator[Any]) -> None:
    count = 0
    async for item in stream:
        count += "word" in str(item)
        if count == 10:
            break


async def cancel_once(stream: AsyncIterator[Any]) -> None:
    """Cancel the task of a reader once, while it waits for a token."""
    has_read = asyncio.Event()

    async def read(stream: AsyncIterator[Any]) -> None:
        async for item in stream:
            if "word" in str(item):
                has_read.set()

    task = asyncio.create_task(read(stream))
    del stream
    await has_read.wait()
    task.cancel()
    await asyncio.wait([task])


@choose(
    {
        "version 3 without a block": read_events_of_version_3,
        "an agent, version 3, without a block": read_an_agents_events_of_version_3,
        "events of version 1": lambda llm: llm.astream_events("Hi", version="v1"),
    }
)
async def test_these_read_on_behind_a_break(
    replicate_emulator: Emulator, make_llm: MakeLLM, endless_answer: Any, stream: Any
) -> None:
    await break_after_ten(stream(make_llm()))
    await endless_answer.assert_read_on(replicate_emulator)


@graphs_stream
async def test_a_break_stops_an_agents_events_of_version_3_in_a_block(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until
) -> None:
    await break_after_ten(read_an_agents_events_of_version_3_in_a_block(make_llm()))
    await until_cancelled(endless)


EVENTS: dict[str, Callable[[Any, Any], Any]] = {
    "the model": lambda llm, version: llm.astream_events("Hi", version=version),
    "some chain": lambda llm, version: (llm | StrOutputParser()).astream_events(
        "Hi", version=version
    ),
    "an agent": lambda llm, version: build_agent(llm).astream_events(ASKED, version=version),
}


@choose(EVENTS)
@pytest.mark.parametrize("leaving", ["break", "waiting", "between tokens", "one cancellation"])
async def test_events_of_version_2_stop_wherever_they_are_left(
    endless: Emulator,
    make_llm: MakeLLM,
    until_cancelled: Until,
    leave_in_scope: Leave,
    stream: Any,
    leaving: str,
) -> None:
    llm = make_llm()
    if leaving == "break":
        await break_after_ten(stream(llm, "v2"))
    elif leaving == "one cancellation":
        await cancel_once(stream(llm, "v2"))
    else:
        await leave_in_scope(lambda: stream(llm, "v2"), between_items=leaving == "between tokens")
    await until_cancelled(endless)


@pytest.mark.parametrize("helped", [False, True])
@choose(EVENTS)
async def test_events_of_version_1_stop_while_a_token_is_waited_for(
    endless: Emulator,
    make_llm: MakeLLM,
    until_cancelled: Until,
    leave_in_scope: Leave,
    stream: Any,
    helped: bool,
) -> None:
    def open_stream() -> Any:
        events = stream(make_llm(), "v1")
        return cancel_on_exit(events) if helped else events

    await leave_in_scope(open_stream)
    await until_cancelled(endless)


@pytest.mark.parametrize("helped", [False, True])
@choose(EVENTS)
async def test_events_of_version_1_read_on_if_they_are_left_between_two_tokens(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    endless_answer: Any,
    leave_in_scope: Leave,
    stream: Any,
    helped: bool,
) -> None:
    def open_stream() -> Any:
        events = stream(make_llm(), "v1")
        return cancel_on_exit(events) if helped else events

    await leave_in_scope(open_stream, between_items=True)
    await endless_answer.assert_read_on(replicate_emulator)


@choose(EVENTS)
async def test_one_cancellation_does_not_stop_events_of_version_1(
    replicate_emulator: Emulator, make_llm: MakeLLM, endless_answer: Any, stream: Any
) -> None:
    leaving = asyncio.ensure_future(cancel_once(stream(make_llm(), "v1")))
    await endless_answer.assert_read_on(replicate_emulator)
    await leaving


async def test_a_blocking_stream_that_a_client_left_stops_when_garbage_is_collected(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until, hang_up: Leave
) -> None:
    llm = make_llm()
    await hang_up(lambda: iterate_in_threadpool(llm.stream("Hi")))
    if sys.version_info >= (3, 11):  # on 3.10 nothing keeps it that long
        assert endless.cancels == []
    gc.collect()
    await until_cancelled(endless)


BLOCKING: dict[str, Callable[[Any], Iterator[Any]]] = {
    "a chain": lambda llm: (llm | StrOutputParser()).stream("Hi"),
    "an agent": lambda llm: build_agent(llm).stream(ASKED, stream_mode="messages"),
}


@pytest.mark.parametrize("stream", BLOCKING.values(), ids=list(BLOCKING))
async def test_other_blocking_streams_read_on_when_a_client_hangs_up(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    endless_answer: Any,
    hang_up: Leave,
    stream: Any,
) -> None:
    llm = make_llm()
    leaving = asyncio.ensure_future(hang_up(lambda: iterate_in_threadpool(stream(llm))))
    await endless_answer.assert_read_on(replicate_emulator)
    await leaving

"""Leaving agents, graphs and chains early cancels the prediction once."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]
Until = Callable[[Emulator], Awaitable[None]]


class Essay(BaseModel):
    """A text on owls."""

    text: str


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


ASKED: Any = {"messages": [("human", "Hi")]}
STREAMS: dict[str, Callable[[ChatReplicate], Any]] = {
    "tools": lambda llm: llm.bind_tools([weather]).astream("Hi"),
    "a chain": lambda llm: (llm | StrOutputParser()).astream("Hi"),
    "events of version 2": lambda llm: llm.astream_events("Hi", version="v2"),
    "an agent": lambda llm: create_agent(llm, [weather]).astream(ASKED, stream_mode="messages"),
    "an agent's events": lambda llm: create_agent(llm, [weather]).astream_events(ASKED),
    "a graph": lambda llm: build_graph(llm).astream(ASKED, stream_mode="messages"),
}
OF_GRAPHS = {"an agent", "an agent's events", "a graph"}
# Before Python 3.11 a task has no context of its own to hand on, and LangGraph's asynchronous nodes
# stream nothing unless each passes its `config` on by hand.
graphs_stream = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="LangGraph streams from asynchronous nodes from 3.11 on"
)
every_stream = pytest.mark.parametrize(
    "stream",
    [
        pytest.param(stream, id=name, marks=[graphs_stream] if name in OF_GRAPHS else [])
        for name, stream in STREAMS.items()
    ],
)


def write_endless_object(method: str) -> list[str]:
    """Write an answer whose object never ends."""
    start = '{"text": "'
    if method == "function_calling":
        start = f'<tool_call>\n{{"name": "Essay", "arguments": {start}'
    return [start, *["word "] * 20_000]


async def take_ten(items: AsyncIterator[Any]) -> None:
    """Read items until ten of them had a word of the answer, then stop."""
    count = 0
    async for item in items:
        count += "word" in str(item)
        if count == 10:
            break
    assert count == 10


@every_stream
async def test_breaking_out_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until, stream: Any
) -> None:
    await take_ten(stream(make_llm()))
    await until_cancelled(endless)


@every_stream
async def test_a_time_out_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until, stream: Any
) -> None:
    async def read() -> None:
        async for _ in stream(make_llm()):
            pass

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(read(), 1.0)
    await until_cancelled(endless)


@pytest.mark.filterwarnings("ignore:astream_events version='v1'")
def test_breaking_out_of_events_of_version_1_cancels_once_when_the_loop_ends(
    endless: Emulator, make_llm: MakeLLM
) -> None:
    # The framework lets what was left run to its end behind these (deprecated) events, no sooner.
    asyncio.run(take_ten(make_llm().astream_events("Hi", version="v1")))
    endless.wait_for(lambda e: len(e.cancels) == 1)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("schema", [Essay, Essay.model_json_schema()], ids=["class", "dict"])
async def test_breaking_out_of_a_streamed_object_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until, schema: Any, method: Any
) -> None:
    endless.reply = write_endless_object(method)
    await take_ten(make_llm().with_structured_output(schema, method=method).astream("Hi"))
    await until_cancelled(endless)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("schema", [Essay, Essay.model_json_schema()], ids=["class", "dict"])
def test_breaking_out_of_a_blocking_streamed_object_cancels_once(
    endless: Emulator, make_llm: MakeLLM, schema: Any, method: Any
) -> None:
    endless.reply = write_endless_object(method)
    for count, _ in enumerate(make_llm().with_structured_output(schema, method=method).stream("")):
        if count == 10:
            break
    endless.wait_for(lambda e: len(e.cancels) == 1)


async def test_leaving_the_raw_message_of_an_object_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until
) -> None:
    llm = make_llm().with_structured_output(Essay, include_raw=True)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(llm.ainvoke("Hi"), 1.0)
    await until_cancelled(endless)


@graphs_stream
async def test_aborting_an_agents_events_of_version_3_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain warns that version 3 is a beta
        agent: Any = create_agent(make_llm(), [weather])
        run = await agent.astream_events(ASKED, version="v3")
        async for turn in run.messages:
            await take_ten(aiter(turn.text))
            break
        await run.abort()
    await until_cancelled(endless)


def test_breaking_out_of_blocking_events_of_version_3_cancels_once(
    endless: Emulator, make_llm: MakeLLM
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream: Any = make_llm().stream_events("Hi", version="v3")
        for count, _ in enumerate(stream.text):
            if count == 10:
                break
    del stream
    gc.collect()  # the framework's stream is a cycle of references, and has no way to be closed
    endless.wait_for(lambda e: len(e.cancels) == 1)


LEFT_LAST = """
import asyncio, sys
from langchain.agents import create_agent
from langchain_replicate_stream import ChatReplicate
from replicate_stream import cancel_on_exit

async def take_ten(chunks):
    count = 0
    async for chunk in chunks:
        count += "word" in str(chunk)
        if count == 10:
            break

async def main(by_hand):
    agent = create_agent(ChatReplicate(model=sys.argv[2]))
    stream = agent.astream({"messages": [("human", "Hi")]}, stream_mode="messages")
    if by_hand:
        async with cancel_on_exit(stream) as chunks:
            await take_ten(chunks)
    else:
        await take_ten(stream)

if sys.argv[1] == "asyncio.run":
    asyncio.run(main(False))
else:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main(True))
    loop.close()
"""


@graphs_stream
@pytest.mark.parametrize("loop", ["asyncio.run", "a loop made by hand, with cancel_on_exit"])
def test_a_program_that_left_an_agent_last_ends_without_a_word(
    endless: Emulator, loop: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEFT_LAST, loop, endless.model],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    endless.wait_for(lambda e: len(e.cancels) == 1)

"""Sync code of the framework inside a running loop, and loops that come and go."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.async_utils import asyncio_run, run_async_tasks
from llama_index.core.llms import ChatMessage

from replicate_stream.testing import Emulator

QUESTION = "What is the capital of France?"

NESTED = """
import asyncio
import sys

import nest_asyncio

from llama_index_replicate_stream import Replicate
from llama_index.core.llms import ChatMessage

nest_asyncio.apply()
llm = Replicate(sys.argv[1], api_key=sys.argv[2], base_url=sys.argv[3])
messages = [ChatMessage(role="user", content="Hi")]


async def stream():
    return [each.delta async for each in await llm.astream_chat(messages)]


async def main():
    loop = asyncio.get_running_loop()
    answers = [
        llm.complete("Hi").text,
        "".join(each.delta for each in llm.stream_complete("Hi")),
        loop.run_until_complete(llm.acomplete("Hi")).text,
        "".join(asyncio.run(stream())),
        (await llm.achat(messages)).message.content,
    ]
    assert answers == ["Hello there."] * 5, answers


asyncio.run(main())
print("done")
"""


def test_it_works_with_nested_loops(replicate_emulator: Emulator) -> None:
    """In a process of its own: `nest_asyncio` changes asyncio for all that comes after it."""
    replicate_emulator.reply = "Hello there."
    emulator = replicate_emulator
    arguments = [emulator.model, emulator.token, emulator.base_url]
    done = subprocess.run(
        [sys.executable, "-c", NESTED, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


async def test_a_blocking_query_works_inside_a_running_loop(
    make_llm: Any, replicate_emulator: Emulator, index: VectorStoreIndex
) -> None:
    replicate_emulator.reply = "Paris."
    engine = index.as_query_engine(llm=make_llm())
    assert str(engine.query(QUESTION)) == "Paris."
    streamed: Any = index.as_query_engine(llm=make_llm(), streaming=True).query(QUESTION)
    assert "".join(streamed.response_gen) == "Paris."


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # see `closed_loops`
async def test_the_frameworks_own_loops_in_threads_are_served(
    make_llm: Any, replicate_emulator: Emulator, closed_loops: None
) -> None:
    replicate_emulator.reply = "Paris."
    llm = make_llm()
    for _ in range(3):  # each in a loop that is closed behind it
        assert asyncio_run(llm.acomplete("Hi")).text == "Paris."
        assert (await llm.acomplete("Hi")).text == "Paris."
    answers = run_async_tasks([llm.acomplete("Hi") for _ in range(5)])
    assert [each.text for each in answers] == ["Paris."] * 5


def test_one_object_serves_the_loops_of_many_threads_and_the_sync_callers_beside_them(
    make_llm: Any, replicate_emulator: Emulator, index: VectorStoreIndex
) -> None:
    replicate_emulator.reply = "Paris."
    llm = make_llm()
    engine = index.as_query_engine(llm=llm)
    answers: list[str] = []

    async def aask() -> None:
        messages = [ChatMessage(role="user", content="Hi")]
        pieces = [str(each.delta) async for each in await llm.astream_chat(messages)]
        answers.append("".join(pieces))
        answers.append(str(await engine.aquery(QUESTION)))

    def ask() -> None:
        answers.append(str(engine.query(QUESTION)))
        answers.append("".join(str(each.delta) for each in llm.stream_complete("Hi")))

    threads = [threading.Thread(target=lambda: asyncio.run(aask())) for _ in range(4)]
    threads += [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == ["Paris."] * 16


@pytest.mark.parametrize("method", ["chat", "stream_chat"])
async def test_a_sync_call_in_a_thread_of_the_loop_does_not_hold_it_up(
    make_llm: Any, replicate_emulator: Emulator, call: Any, method: str
) -> None:
    replicate_emulator.behaviour.token_delay = 0.01
    replicate_emulator.reply = ["word "] * 20
    called = asyncio.create_task(asyncio.to_thread(lambda: list(call(make_llm(), method))))
    ticks = 0
    while not called.done():
        await asyncio.sleep(0.005)
        ticks += 1
    assert await called
    assert ticks > 10

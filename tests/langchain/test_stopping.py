"""Whoever stops listening stops paying, once and at once, and without the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessageChunk

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]


@pytest.fixture
def endless(replicate_emulator: Emulator) -> Iterator[Emulator]:
    """An emulator whose answers last longer than any test; in the end it has had one cancel.

    No garbage is collected meanwhile: what is closed has been closed by someone. What was forgotten
    is collected afterwards, and must have nothing left to cancel.
    """
    replicate_emulator.behaviour.token_delay = 0.005
    replicate_emulator.reply = ["word "] * 20_000
    gc.disable()
    try:
        yield replicate_emulator
    finally:
        gc.enable()
    gc.collect()
    join_cancels()
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)
    assert len(replicate_emulator.cancels) == 1


def join_cancels() -> None:
    """Wait for the threads that cancel what was dropped."""
    for thread in threading.enumerate():
        if thread.name == "replicate-stream-cancel":
            thread.join(timeout=10)


def one_cancel(emulator: Emulator) -> bool:
    (prediction_id,) = emulator.predictions
    return emulator.cancels == [prediction_id] and emulator.streams_open == 0


async def until_cancelled(emulator: Emulator) -> None:
    """Wait for the cancel, and for the end of all that goes with it: the loop lives on."""
    await emulator.wait_for_async(one_cancel)
    await asyncio.to_thread(join_cancels)
    await asyncio.sleep(0)  # a thread that ends may leave the loop something to close
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, unfinished = await asyncio.wait(others, timeout=10)
        assert not unfinished


async def take_ten(items: AsyncIterator[Any]) -> None:
    count = 0
    async for _ in items:
        count += 1
        if count == 10:
            break
    assert count == 10


async def test_breaking_out_of_astream_cancels_once(endless: Emulator, make_llm: MakeLLM) -> None:
    await take_ten(make_llm().astream("Hi"))
    await until_cancelled(endless)


async def test_closing_astream_cancels_once(endless: Emulator, make_llm: MakeLLM) -> None:
    stream = cast("AsyncGenerator[AIMessageChunk, None]", make_llm().astream("Hi"))
    for _ in range(10):
        await anext(stream)
    await stream.aclose()
    await until_cancelled(endless)


async def test_breaking_out_of_an_event_stream_cancels_once(
    endless: Emulator, make_llm: MakeLLM
) -> None:
    count = 0
    async for event in make_llm().astream_events("Hi", version="v2"):
        count += event["event"] == "on_chat_model_stream"
        if count == 10:
            break
    await until_cancelled(endless)


async def test_leaving_a_stream_of_the_protocol_cancels_once(
    endless: Emulator, make_llm: MakeLLM
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain says of version 3 that it is a beta
        stream: Any = await make_llm().astream_events("Hi", version="v3")
    async with stream:
        await take_ten(aiter(stream.text))
    await until_cancelled(endless)


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_a_time_out_cancels_once(endless: Emulator, make_llm: MakeLLM, way: str) -> None:
    async def read() -> None:
        if way == "ainvoke":
            await make_llm().ainvoke("Hi")
        async for _ in make_llm().astream("Hi"):
            pass

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(read(), 1.0)
    await until_cancelled(endless)


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_cancelled_task_cancels_once(
    endless: Emulator, make_llm: MakeLLM, streaming: bool
) -> None:
    task = asyncio.create_task(make_llm(streaming=streaming).ainvoke("Hi"))
    await endless.wait_for_async(lambda e: e.streams_open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_cancelled(endless)


async def test_an_error_of_the_reader_cancels_once(endless: Emulator, make_llm: MakeLLM) -> None:
    async def read() -> None:
        async for _ in make_llm().astream("Hi"):
            raise LookupError

    with pytest.raises(LookupError):
        await read()
    await until_cancelled(endless)


def test_breaking_out_of_stream_cancels_once(endless: Emulator, make_llm: MakeLLM) -> None:
    for count, _ in enumerate(make_llm().stream("Hi")):
        if count == 10:
            break
    endless.wait_for(one_cancel)


def test_a_loop_that_ends_right_after_a_break_cancels_once(
    endless: Emulator, make_llm: MakeLLM
) -> None:
    asyncio.run(take_ten(make_llm().astream("Hi")))
    endless.wait_for(one_cancel)

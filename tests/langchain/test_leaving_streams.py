"""Leaving a stream cancels the prediction once, immediately, without the garbage collector."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessageChunk

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]
Until = Callable[[Emulator], Awaitable[None]]


def has_one_cancel(emulator: Emulator) -> bool:
    (prediction_id,) = emulator.predictions
    return emulator.cancels == [prediction_id] and emulator.streams_open == 0


async def take_ten(items: AsyncIterator[Any]) -> None:
    count = 0
    async for _ in items:
        count += 1
        if count == 10:
            break
    assert count == 10


async def test_breaking_out_of_astream_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until
) -> None:
    await take_ten(make_llm().astream("Hi"))
    await until_cancelled(endless)


async def test_closing_astream_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until
) -> None:
    stream = cast("AsyncGenerator[AIMessageChunk, None]", make_llm().astream("Hi"))
    for _ in range(10):
        await anext(stream)
    await stream.aclose()
    await until_cancelled(endless)


async def test_breaking_out_of_an_event_stream_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until
) -> None:
    count = 0
    async for event in make_llm().astream_events("Hi", version="v2"):
        count += event["event"] == "on_chat_model_stream"
        if count == 10:
            break
    await until_cancelled(endless)


async def test_leaving_events_of_version_3_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain warns that version 3 is a beta
        stream: Any = await make_llm().astream_events("Hi", version="v3")
    async with stream:
        await take_ten(aiter(stream.text))
    await until_cancelled(endless)


@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_a_time_out_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until, method: str
) -> None:
    async def read() -> None:
        if method == "ainvoke":
            await make_llm().ainvoke("Hi")
        async for _ in make_llm().astream("Hi"):
            pass

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(read(), 1.0)
    await until_cancelled(endless)


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_cancelled_task_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until, streaming: bool
) -> None:
    task = asyncio.create_task(make_llm(streaming=streaming).ainvoke("Hi"))
    await endless.wait_for_async(lambda e: e.streams_open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_cancelled(endless)


async def test_an_error_of_the_reader_cancels_once(
    endless: Emulator, make_llm: MakeLLM, until_cancelled: Until
) -> None:
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
    endless.wait_for(has_one_cancel)


def test_a_loop_that_ends_right_after_a_break_cancels_once(
    endless: Emulator, make_llm: MakeLLM
) -> None:
    asyncio.run(take_ten(make_llm().astream("Hi")))
    endless.wait_for(has_one_cancel)

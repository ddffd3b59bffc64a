"""Chat models on the emulator, and fixtures to call and to leave them."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]
Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def make_llm(replicate_emulator: Emulator) -> MakeLLM:
    """Makes models of the emulator with further settings."""

    def make(**settings: Any) -> ChatReplicate:
        defaults = {
            "model": replicate_emulator.model,
            "api_key": replicate_emulator.token,
            "base_url": replicate_emulator.base_url,
        }
        return ChatReplicate(**{**defaults, **settings})

    return make


@pytest.fixture
def words() -> list[str]:
    """Tokens that are easily damaged: newlines, separators, characters of many bytes."""
    return ["", "Hello", ",", "\n\n", "wor", "ld\u2028 é😀", "\n"]


@pytest.fixture
def llm(make_llm: MakeLLM, replicate_emulator: Emulator, words: list[str]) -> ChatReplicate:
    """A model that answers with `words`."""
    replicate_emulator.reply = words
    return make_llm()


@pytest.fixture
def ask() -> Ask:
    """Call a model's method by its name; return the answer, or all chunks of a stream."""

    async def ask(llm: ChatReplicate, method: str, messages: Any = "Hi") -> Any:
        if method == "astream":
            return [chunk async for chunk in llm.astream(messages)]
        result = getattr(llm, method)(messages)
        if method == "stream":
            return list(result)
        return await result if method.startswith("a") else result

    return ask


@pytest.fixture
def endless(replicate_emulator: Emulator) -> Iterator[Emulator]:
    """An emulator with endless answers; after the test it must have received one cancel.

    The garbage collector is off during the test, so that streams have to be closed by the code. It
    runs afterwards, and must find nothing to cancel.
    """
    replicate_emulator.behaviour.token_delay = 0.005
    replicate_emulator.reply = ["word "] * 20_000
    gc.disable()
    try:
        yield replicate_emulator
    finally:
        gc.enable()
    gc.collect()
    _join_cancels()
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)
    assert len(replicate_emulator.cancels) == 1


def _join_cancels() -> None:
    """Wait for the threads that cancel dropped streams."""
    for thread in threading.enumerate():
        if thread.name == "replicate-stream-cancel":
            thread.join(timeout=10)


@pytest.fixture
def until_cancelled() -> Callable[[Emulator], Awaitable[None]]:
    """Wait for the cancel and for the tasks and threads that belong to it."""

    async def until_cancelled(emulator: Emulator) -> None:
        await emulator.wait_for_async(lambda e: len(e.cancels) == 1 and e.streams_open == 0)
        await asyncio.to_thread(_join_cancels)
        await asyncio.sleep(0)  # a thread that ends may leave the loop something to close
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, unfinished = await asyncio.wait(others, timeout=10)
            assert not unfinished

    return until_cancelled

"""Models of the emulator, and one way to ask them in all of theirs."""

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
        given = {
            "model": replicate_emulator.model,
            "api_key": replicate_emulator.token,
            "base_url": replicate_emulator.base_url,
        }
        return ChatReplicate(**{**given, **settings})

    return make


@pytest.fixture
def words() -> list[str]:
    """An answer with what is easily lost: newlines, separators, characters of many bytes."""
    return ["", "Hello", ",", "\n\n", "wor", "ld\u2028 é😀", "\n"]


@pytest.fixture
def llm(make_llm: MakeLLM, replicate_emulator: Emulator, words: list[str]) -> ChatReplicate:
    """A model that answers with `words`."""
    replicate_emulator.reply = words
    return make_llm()


@pytest.fixture
def ask() -> Ask:
    """Asks in the way of that name; gives the answer, or all of a stream's chunks."""

    async def ask(llm: ChatReplicate, way: str, said: Any = "Hi") -> Any:
        if way == "astream":
            return [chunk async for chunk in llm.astream(said)]
        answered = getattr(llm, way)(said)
        if way == "stream":
            return list(answered)
        return await answered if way.startswith("a") else answered

    return ask


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
    _join_cancels()
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)
    assert len(replicate_emulator.cancels) == 1


def _join_cancels() -> None:
    """Wait for the threads that cancel what was dropped."""
    for thread in threading.enumerate():
        if thread.name == "replicate-stream-cancel":
            thread.join(timeout=10)


@pytest.fixture
def until_cancelled() -> Callable[[Emulator], Awaitable[None]]:
    """Waits for the cancel, and for the end of all that goes with it: the loop lives on."""

    async def until_cancelled(emulator: Emulator) -> None:
        await emulator.wait_for_async(lambda e: len(e.cancels) == 1 and e.streams_open == 0)
        await asyncio.to_thread(_join_cancels)
        await asyncio.sleep(0)  # a thread that ends may leave the loop something to close
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, unfinished = await asyncio.wait(others, timeout=10)
            assert not unfinished

    return until_cancelled

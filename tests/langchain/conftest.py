"""Models of the emulator, and one way to ask them in all of theirs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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

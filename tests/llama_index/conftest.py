"""Models of the emulator, and one call for all eight endpoints."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import ChatMessage

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., Replicate]
Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def make_llm(replicate_emulator: Emulator) -> MakeLLM:
    """Makes models of the emulator with further settings."""

    def make(**settings: Any) -> Replicate:
        connection = {
            "model": replicate_emulator.model,
            "api_key": replicate_emulator.token,
            "base_url": replicate_emulator.base_url,
        }
        return Replicate(**{**connection, **settings})

    return make


@pytest.fixture
def words() -> list[str]:
    """An answer with what is easily lost: newlines, separators, characters of many bytes."""
    return ["", "Hello", ",", "\n\n", "wor", "ld\u2028 é😀", "\n"]


@pytest.fixture
def llm(make_llm: MakeLLM, replicate_emulator: Emulator, words: list[str]) -> Replicate:
    """A model that answers with `words`."""
    replicate_emulator.reply = words
    return make_llm()


@pytest.fixture
def endless(replicate_emulator: Emulator) -> Emulator:
    """An emulator whose answers last longer than any test."""
    replicate_emulator.behaviour.token_delay = 0.005
    replicate_emulator.reply = ["word "] * 20_000
    return replicate_emulator


@pytest.fixture
def call() -> Callable[..., Any]:
    """Calls an endpoint by its name, with "Hi" in its own form."""

    def call(llm: Replicate, method: str, **kwargs: Any) -> Any:
        argument: Any = [ChatMessage(role="user", content="Hi")] if "chat" in method else "Hi"
        return getattr(llm, method)(argument, **kwargs)

    return call


@pytest.fixture
def ask(call: Callable[..., Any]) -> Ask:
    """Calls an endpoint by its name; returns its response, or the list of a stream."""

    async def ask(llm: Replicate, method: str, **kwargs: Any) -> Any:
        result = call(llm, method, **kwargs)
        if method.startswith("a"):
            result = await result
        if method.startswith("astream"):
            return [response async for response in result]
        return list(result) if method.startswith("stream") else result

    return ask


@pytest.fixture
def closed_loops() -> Iterator[None]:
    """For tests in which the framework runs a loop of its own in a thread.

    It closes that loop without closing what is open in it, so that a connection that waits for the
    next request is left to the garbage collector, which warns of it.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # the client, which then lets go of its sessions
        gc.collect()


@pytest.fixture(scope="session")
def facts() -> list[str]:
    """Texts of the index."""
    return [
        "The capital of France is Paris.",
        "Owls hunt by night and see far.",
        "Iron rusts in wet air.",
    ]


@pytest.fixture
def index(facts: list[str], by_words: BaseEmbedding) -> VectorStoreIndex:
    """An index over the facts, which finds them by their words."""
    return VectorStoreIndex.from_documents([Document(text=f) for f in facts], embed_model=by_words)

"""The six ways to stream an answer, each as one function from a server to the text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

from langchain_replicate_stream import ChatReplicate
from llama_index_replicate_stream import Replicate
from replicate_stream import Client, TextDelta
from replicate_stream.adapters import iterate_blocking
from replicate_stream.testing.emulator import FAKE_TOKEN
from tests.reliability.faulty_server import MODEL

PROMPT = "Why is the sky blue?"


@dataclass(slots=True)
class Answer:
    """The text that has been delivered; what a failed stream has brought stays in it."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One answer to be streamed.

    Attributes:
        settings: `base_url`, `timeout`, `max_retries`.
        leaves_early: Whether to leave behind the first piece of text.
    """

    settings: dict[str, Any]
    leaves_early: bool


async def read_core(call: Call, answer: Answer) -> None:
    """Stream with `Client.stream`."""
    async with (
        Client(FAKE_TOKEN, **call.settings) as client,
        client.stream(MODEL, PROMPT) as events,
    ):
        async for event in events:
            if isinstance(event, TextDelta):
                answer.text += event.text
                if call.leaves_early:
                    break


def read_core_sync(call: Call, answer: Answer) -> None:
    """Stream with the bridge that the adapters' blocking methods use."""

    @asynccontextmanager
    async def open_stream() -> AsyncIterator[AsyncIterator[Any]]:
        async with (
            Client(FAKE_TOKEN, **call.settings) as client,
            client.stream(MODEL, PROMPT) as events,
        ):
            yield events

    with closing(iterate_blocking(open_stream)) as events:
        _collect((event.text for event in events if isinstance(event, TextDelta)), call, answer)


async def read_langchain(call: Call, answer: Answer) -> None:
    """Stream with `ChatReplicate.astream`."""
    llm = ChatReplicate(model=MODEL, api_key=FAKE_TOKEN, **call.settings)
    async with aclosing(llm.astream(PROMPT)) as chunks:  # type: ignore[type-var]  # a generator
        await _acollect((chunk.text async for chunk in chunks), call, answer)


def read_langchain_sync(call: Call, answer: Answer) -> None:
    """Stream with `ChatReplicate.stream`."""
    llm = ChatReplicate(model=MODEL, api_key=FAKE_TOKEN, **call.settings)
    with closing(llm.stream(PROMPT)) as chunks:  # type: ignore[type-var]  # a generator
        _collect((chunk.text for chunk in chunks), call, answer)


async def read_llama_index(call: Call, answer: Answer) -> None:
    """Stream with LlamaIndex's `astream_complete`."""
    llm = Replicate(model=MODEL, api_key=FAKE_TOKEN, **call.settings)
    async with aclosing(await llm.astream_complete(PROMPT)) as responses:
        await _acollect((each.delta or "" async for each in responses), call, answer)


def read_llama_index_sync(call: Call, answer: Answer) -> None:
    """Stream with LlamaIndex's `stream_complete`."""
    llm = Replicate(model=MODEL, api_key=FAKE_TOKEN, **call.settings)
    with closing(llm.stream_complete(PROMPT)) as responses:
        _collect((each.delta or "" for each in responses), call, answer)


def _collect(texts: Iterator[str], call: Call, answer: Answer) -> None:
    for text in texts:
        answer.text += text
        if text and call.leaves_early:
            break


async def _acollect(texts: Any, call: Call, answer: Answer) -> None:
    async for text in texts:
        answer.text += text
        if text and call.leaves_early:
            break


CORE = "core, async"
SURFACES: dict[str, Callable[[Call, Answer], Any]] = {
    CORE: read_core,
    "core, sync": read_core_sync,
    "LangChain, async": read_langchain,
    "LangChain, sync": read_langchain_sync,
    "LlamaIndex, async": read_llama_index,
    "LlamaIndex, sync": read_llama_index_sync,
}

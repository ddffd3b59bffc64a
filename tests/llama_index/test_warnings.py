"""A `ParameterWarning` points at the line of user code that called the model, whatever the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from llama_index.core.agent import FunctionAgent
from llama_index.core.llms import ChatMessage

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator

SCHEMA = {"properties": {"prompt": {"type": "string"}}}
MESSAGES = [ChatMessage(role="user", content="Hi")]
Places = Callable[[], list[tuple[str, int]]]


def first_line(call: Callable[..., object]) -> tuple[str, int]:
    """File and line of the first statement in a function."""
    return call.__code__.co_filename, call.__code__.co_firstlineno + 1


@pytest.fixture
def warning_llm(make_llm: Callable[..., Replicate], replicate_emulator: Emulator) -> Replicate:
    """A model that warns, because it has no input for `seed`."""
    replicate_emulator.add_model("some/model", SCHEMA, official=True)
    return make_llm(model="some/model", seed=1, on_unsupported="warn")


def complete(llm: Replicate) -> None:
    llm.complete("Hi")


def chat(llm: Replicate) -> None:
    llm.chat(MESSAGES)


def stream_complete(llm: Replicate) -> None:
    for _ in llm.stream_complete("Hi"):
        pass


def stream_chat(llm: Replicate) -> None:
    for _ in llm.stream_chat(MESSAGES):
        pass


async def acomplete(llm: Replicate) -> None:
    await llm.acomplete("Hi")


async def achat(llm: Replicate) -> None:
    await llm.achat(MESSAGES)


async def astream_complete(llm: Replicate) -> None:
    async for _ in await llm.astream_complete("Hi"):
        pass


async def astream_chat(llm: Replicate) -> None:
    async for _ in await llm.astream_chat(MESSAGES):
        pass


async def run_agent(llm: Replicate) -> None:
    await FunctionAgent(llm=llm, streaming=False).run("Hi")


@pytest.mark.parametrize(
    "call", [complete, chat, stream_complete, stream_chat], ids=lambda call: call.__name__
)
def test_a_blocking_call(
    warning_llm: Replicate, call: Callable[[Replicate], None], warned_places: Places
) -> None:
    call(warning_llm)
    assert warned_places() == [first_line(call)]


@pytest.mark.parametrize(
    "call",
    [acomplete, achat, astream_complete, astream_chat, run_agent],
    ids=lambda call: call.__name__,
)
async def test_an_async_call(
    warning_llm: Replicate, call: Callable[[Replicate], Awaitable[None]], warned_places: Places
) -> None:
    await call(warning_llm)
    assert warned_places() == [first_line(call)]

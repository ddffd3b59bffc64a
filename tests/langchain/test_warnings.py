"""A `ParameterWarning` points at the line of user code that called the model, whatever the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from langchain.agents import create_agent
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableParallel

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator

SCHEMA = {"properties": {"prompt": {"type": "string"}}}
Places = Callable[[], list[tuple[str, int]]]
Model: TypeAlias = Runnable[Any, Any]


def first_line(call: Callable[..., object]) -> tuple[str, int]:
    """File and line of the first statement in a function."""
    return call.__code__.co_filename, call.__code__.co_firstlineno + 1


@pytest.fixture
def warning_llm(
    make_llm: Callable[..., ChatReplicate], replicate_emulator: Emulator
) -> ChatReplicate:
    """A model that warns, because it has no input for `seed`."""
    replicate_emulator.add_model("some/model", SCHEMA, official=True)
    return make_llm(model="some/model", seed=1, on_unsupported="warn")


def invoke(llm: Model, question: Any) -> None:
    llm.invoke(question)


def stream(llm: Model, question: Any) -> None:
    for _ in llm.stream(question):
        pass


def batch(llm: Model, question: Any) -> None:
    llm.batch([question] * 3)


def batch_as_completed(llm: Model, question: Any) -> None:
    for _ in llm.batch_as_completed([question] * 2):
        pass


async def ainvoke(llm: Model, question: Any) -> None:
    await llm.ainvoke(question)


async def astream(llm: Model, question: Any) -> None:
    async for _ in llm.astream(question):
        pass


async def abatch(llm: Model, question: Any) -> None:
    await llm.abatch([question] * 3)


async def own_generator(llm: Model, question: Any) -> AsyncIterator[Any]:
    async for chunk in llm.astream(question):
        yield chunk


blocking_call = pytest.mark.parametrize(
    "call", [invoke, stream, batch, batch_as_completed], ids=lambda call: call.__name__
)
async_call = pytest.mark.parametrize(
    "call", [ainvoke, astream, abatch], ids=lambda call: call.__name__
)


@blocking_call
def test_a_blocking_call_of_the_model(
    warning_llm: ChatReplicate, call: Callable[[Model, Any], None], warned_places: Places
) -> None:
    call(warning_llm, "Hi")
    assert set(warned_places()) == {first_line(call)}


@async_call
async def test_an_async_call_of_the_model(
    warning_llm: ChatReplicate,
    call: Callable[[Model, Any], Awaitable[None]],
    warned_places: Places,
) -> None:
    await call(warning_llm, "Hi")
    assert set(warned_places()) == {first_line(call)}


@pytest.fixture(params=["sequence", "parallel"])
def chain(warning_llm: ChatReplicate, request: pytest.FixtureRequest) -> Model:
    """The model between a prompt and a parser, alone or beside a second one."""
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    sequence: Model = prompt | warning_llm | StrOutputParser()
    return sequence if request.param == "sequence" else RunnableParallel(a=sequence, b=sequence)


@blocking_call
def test_a_blocking_call_of_a_chain(
    chain: Model, call: Callable[[Model, Any], None], warned_places: Places
) -> None:
    call(chain, {"question": "Hi"})
    assert set(warned_places()) == {first_line(call)}


@async_call
async def test_an_async_call_of_a_chain(
    chain: Model, call: Callable[[Model, Any], Awaitable[None]], warned_places: Places
) -> None:
    await call(chain, {"question": "Hi"})
    assert set(warned_places()) == {first_line(call)}


async def test_a_chain_behind_a_users_own_generator(chain: Model, warned_places: Places) -> None:
    async for _ in own_generator(chain, {"question": "Hi"}):
        pass
    assert set(warned_places()) == {first_line(own_generator)}


@pytest.mark.parametrize("call", [invoke, stream], ids=lambda call: call.__name__)
def test_a_blocking_call_of_an_agent(
    warning_llm: ChatReplicate, call: Callable[[Model, Any], None], warned_places: Places
) -> None:
    call(create_agent(warning_llm), {"messages": [("human", "Hi")]})
    assert set(warned_places()) == {first_line(call)}


@pytest.mark.parametrize("call", [ainvoke, astream], ids=lambda call: call.__name__)
async def test_an_async_call_of_an_agent(
    warning_llm: ChatReplicate,
    call: Callable[[Model, Any], Awaitable[None]],
    warned_places: Places,
) -> None:
    await call(create_agent(warning_llm), {"messages": [("human", "Hi")]})
    assert set(warned_places()) == {first_line(call)}

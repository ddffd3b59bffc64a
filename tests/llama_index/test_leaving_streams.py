"""Whoever stops listening stops paying, and at once."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler

from replicate_stream.testing import Emulator

ASYNC = ["astream_chat", "astream_complete"]
SYNC = ["stream_chat", "stream_complete"]


def one_cancel(emulator: Emulator) -> bool:
    (prediction_id,) = emulator.predictions
    return emulator.cancels == [prediction_id] and emulator.streams_open == 0


@pytest.fixture
def no_collector() -> Iterator[None]:
    """No garbage is collected: what is closed has been closed by someone."""
    gc.disable()
    yield
    gc.enable()


@contextmanager
def kept_generators() -> Iterator[list[Any]]:
    """Every async generator begun in this thread, kept: none is closed by being dropped."""
    kept: list[Any] = []
    begin, drop = sys.get_asyncgen_hooks()

    def keep(generator: AsyncGenerator[Any, Any]) -> None:
        kept.append(generator)
        if begin is not None:
            begin(generator)

    sys.set_asyncgen_hooks(firstiter=keep)
    try:
        yield kept
    finally:
        sys.set_asyncgen_hooks(firstiter=begin, finalizer=drop)


@pytest.mark.parametrize("method", ASYNC)
async def test_breaking_out_of_an_async_stream_cancels_once(
    endless: Emulator, make_llm: Any, call: Callable[..., Any], no_collector: None, method: str
) -> None:
    count = 0
    async for _ in await call(make_llm(), method):
        count += 1
        if count == 10:
            break
    await endless.wait_for_async(one_cancel)


@pytest.mark.parametrize("method", ASYNC)
async def test_a_stream_is_closed_to_the_ground_when_aclose_returns(
    endless: Emulator, make_llm: Any, call: Callable[..., Any], method: str
) -> None:
    llm = make_llm()
    with kept_generators() as kept:
        stream = await call(llm, method)
        for _ in range(10):
            await anext(stream)
        await stream.aclose()
    # The core closes its own two by other means; these are ours and the framework's.
    streams = [g for g in kept if "llama_index" in g.ag_code.co_filename]
    assert len(streams) == 3
    assert [g.__qualname__ for g in streams if g.ag_frame is not None] == []
    await endless.wait_for_async(one_cancel)


@pytest.mark.parametrize("method", ASYNC)
async def test_a_handler_that_keeps_everything_does_not_keep_an_async_stream_open(
    endless: Emulator, make_llm: Any, call: Callable[..., Any], method: str
) -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    llm = make_llm(callback_manager=CallbackManager([handler]))
    async for _ in await call(llm, method):
        break
    await endless.wait_for_async(one_cancel)


@pytest.mark.parametrize("method", SYNC)
def test_a_handler_that_keeps_everything_does_not_keep_a_sync_stream_open(
    endless: Emulator, make_llm: Any, call: Callable[..., Any], method: str
) -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    llm = make_llm(callback_manager=CallbackManager([handler]))
    for _ in call(llm, method):
        break
    endless.wait_for(one_cancel)


@pytest.mark.parametrize("method", SYNC)
def test_breaking_out_of_a_sync_stream_cancels_once(
    endless: Emulator, make_llm: Any, call: Callable[..., Any], no_collector: None, method: str
) -> None:
    for count, _ in enumerate(call(make_llm(), method), start=1):
        if count == 10:
            break
    endless.wait_for(one_cancel)


@pytest.mark.parametrize("method", SYNC)
def test_an_error_of_a_sync_reader_cancels_once(
    endless: Emulator, make_llm: Any, call: Callable[..., Any], method: str
) -> None:
    def read() -> None:
        for _ in call(make_llm(), method):
            raise LookupError

    with pytest.raises(LookupError):
        read()
    endless.wait_for(one_cancel)


@pytest.mark.parametrize("method", ["achat", "acomplete", *ASYNC])
async def test_a_cancelled_task_cancels_once(
    endless: Emulator, make_llm: Any, ask: Any, method: str
) -> None:
    task = asyncio.create_task(ask(make_llm(), method))
    await endless.wait_for_async(lambda e: e.streams_open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await endless.wait_for_async(one_cancel)


@pytest.mark.parametrize("method", ["achat", "astream_complete"])
async def test_a_timed_out_call_cancels_once(
    endless: Emulator, make_llm: Any, ask: Any, method: str
) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(ask(make_llm(), method), 1)
    await endless.wait_for_async(one_cancel)


@pytest.mark.parametrize("method", ASYNC)
def test_a_loop_that_ends_right_after_a_break_cancels_once(
    endless: Emulator, make_llm: Any, call: Any, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    llm = make_llm()

    async def main() -> None:
        async for _ in await call(llm, method):
            break

    asyncio.run(main())
    endless.wait_for(one_cancel)
    assert caplog.records == []


@pytest.mark.parametrize("method", [*ASYNC, *SYNC])
async def test_a_stream_that_nobody_reads_costs_nothing(
    replicate_emulator: Emulator, make_llm: Any, call: Any, method: str
) -> None:
    stream = call(make_llm(), method)
    if method in ASYNC:
        await (await stream).aclose()
    else:
        stream.close()
    assert replicate_emulator.requests == []


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat", "stream_complete"])
async def test_an_answer_that_was_read_to_its_end_is_not_cancelled(
    replicate_emulator: Emulator, make_llm: Any, ask: Any, method: str
) -> None:
    await ask(make_llm(), method)
    await replicate_emulator.wait_for_async(lambda e: e.streams_open == 0)
    assert replicate_emulator.cancels == []


def test_a_blocking_stream_that_is_open_at_exit_is_cancelled_without_a_word(
    endless: Emulator,
) -> None:
    program = f"""
        from llama_index_replicate_stream import Replicate

        class Keeper:
            pass

        llm = Replicate({endless.model!r}, api_key={endless.token!r}, base_url={endless.base_url!r})
        keeper = Keeper()
        keeper.self, keeper.stream = keeper, llm.stream_complete("Hi")
        next(keeper.stream)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    endless.wait_for(one_cancel)

"""One object in many tasks, loops and threads."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator

SYNC = ["chat", "complete", "stream_chat", "stream_complete"]
ASYNC = ["achat", "acomplete", "astream_chat", "astream_complete"]


async def test_the_async_endpoints_do_not_wait_for_each_other(
    replicate_emulator: Emulator, make_llm: Any, ask: Any
) -> None:
    all_there = threading.Barrier(len(ASYNC))

    def together(_: Any) -> list[str]:
        # Every prediction waits for all the others: one after the other, none would ever begin.
        all_there.wait(20)
        return ["ok"]

    replicate_emulator.reply = together
    await asyncio.gather(*[ask(make_llm(), method) for method in ASYNC])


async def test_a_ticker_beside_eight_streams_is_not_held_up(
    replicate_emulator: Emulator, make_llm: Any, ask: Any
) -> None:
    llm = make_llm()
    await ask(llm, "astream_chat")  # what is imported and connected once
    replicate_emulator.behaviour.token_delay = 0.01
    replicate_emulator.reply = [f"word{i} " for i in range(60)]
    busy: list[float] = []

    async def tick() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.005)
            busy.append(time.thread_time() - before)

    # Time that this thread itself computed between two ticks: what other programs take of a shared
    # machine does not count. That nothing waits instead of computing is BlockBuster's part.
    with blockbuster_ctx(["llama_index_replicate_stream", "replicate_stream"]):
        ticker = asyncio.create_task(tick())
        await asyncio.gather(
            *[ask(llm, method) for method in ("astream_chat", "astream_complete") * 4]
        )
        ticker.cancel()
    assert len(busy) > 20
    assert max(busy) < 0.05


@pytest.mark.parametrize("method", ["stream_chat", "stream_complete"])
def test_a_sync_stream_made_in_one_thread_is_read_in_another(
    llm: Replicate, call: Any, words: list[str], method: str
) -> None:
    stream = call(llm, method)
    first = next(stream).delta
    with ThreadPoolExecutor(1) as other:
        rest = other.submit(lambda: [str(response.delta) for response in stream]).result(10)
    assert "".join([first, *rest]) == "".join(words)


def test_one_object_works_in_loop_after_loop(llm: Replicate, ask: Any, words: list[str]) -> None:
    for method in ASYNC * 2:
        asyncio.run(ask(llm, method))
    assert asyncio.run(ask(llm, "acomplete")).text == "".join(words)


def test_one_object_works_in_many_threads_with_loops_of_their_own(
    llm: Replicate, ask: Any, words: list[str]
) -> None:
    together = threading.Barrier(4)

    def run(method: str) -> str:
        together.wait(10)
        return str(asyncio.run(ask(llm, method)).text)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(run, ["complete", "acomplete"] * 2))
    assert answers == ["".join(words)] * 4


@pytest.mark.parametrize("method", SYNC)
async def test_the_sync_endpoints_work_inside_a_running_loop(
    llm: Replicate, ask: Any, words: list[str], method: str
) -> None:
    assert asyncio.get_running_loop().is_running()
    answer = await ask(llm, method)
    last = answer[-1] if isinstance(answer, list) else answer
    assert str(last).removeprefix("assistant: ") == "".join(words)

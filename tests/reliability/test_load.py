"""Many streams at once, one after another, and read slowly; many creations under a rate limit."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import Client, ReplicateTimeoutError, TextDelta
from replicate_stream.adapters import iterate_blocking, run_blocking
from replicate_stream.testing import Emulator, RateLimit
from tests.reliability.conftest import RecordFigure, Size

MB = 1024 * 1024
# In a process of its own, whose memory and descriptors are not measured.
SERVER = """
import sys
from replicate_stream.testing import Emulator, Reply

emulator = Emulator({reply}, token="")
with emulator:
    print(emulator.base_url, flush=True)
    sys.stdin.read()
"""
Run = Callable[[str], Any]


@contextmanager
def serve(reply: str) -> Iterator[str]:
    """Serve a reply, an expression, in another process; yields the base URL."""
    command = [sys.executable, "-c", SERVER.format(reply=reply)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.communicate()


def answer_number(values: Any) -> list[str]:
    """Answer `number n` by ten tokens that hold the number."""
    number = str(values["prompt"]).partition("number ")[2][:5]
    return [f"{number}:{position} " for position in range(10)]


def expect_number(number: int) -> str:
    return "".join(f"{number:05}:{position} " for position in range(10))


def get_memory() -> int:
    """Resident memory of this process, in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as a number, not as paths


async def read(client: Client, model: str, prompt: str) -> str:
    async with client.stream(model, prompt) as events:
        return "".join([each.text async for each in events if isinstance(each, TextDelta)])


def count_posts(emulator: Emulator) -> int:
    return sum(request.kind == "create" for request in emulator.requests)


async def test_concurrent_streams(
    replicate_emulator: Emulator, size: Size, record_figure: RecordFigure
) -> None:
    count = size.choose(100, 1_000)
    replicate_emulator.reply = answer_number
    replicate_emulator.behaviour.token_delay = 0.02
    started_at = time.monotonic()
    async with Client(replicate_emulator.token, base_url=replicate_emulator.base_url) as client:
        texts = await asyncio.gather(
            *(read(client, replicate_emulator.model, f"number {n:05}") for n in range(count))
        )
    assert texts == [expect_number(number) for number in range(count)]
    assert len(replicate_emulator.predictions) == count
    assert replicate_emulator.cancels == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
    record_figure("concurrent streams", count)
    record_figure(f"{count:,} concurrent streams", time.monotonic() - started_at, "s")


def test_threads_of_blocking_streams(
    replicate_emulator: Emulator, size: Size, record_figure: RecordFigure
) -> None:
    count = size.choose(20, 100)
    replicate_emulator.reply = answer_number
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    run_blocking(lambda: client.describe(replicate_emulator.model))  # starts the shared thread
    threads = threading.active_count()

    def read_one(number: int) -> str:
        stream = iterate_blocking(
            lambda: client.stream(replicate_emulator.model, f"number {number:05}")
        )
        return "".join(event.text for event in stream if isinstance(event, TextDelta))

    def read_five(thread: int) -> list[str]:
        return [read_one(number) for number in range(thread * 5, thread * 5 + 5)]

    with ThreadPoolExecutor(count) as pool:
        texts = [text for each in pool.map(read_five, range(count)) for text in each]
    assert texts == [expect_number(number) for number in range(count * 5)]
    assert len(replicate_emulator.predictions) == count * 5
    assert threading.active_count() <= threads + 1  # asyncio's own thread for imports
    record_figure("threads of blocking streams", count)
    run_blocking(client.aclose)


@pytest.mark.skipif(sys.platform != "linux", reason="memory and descriptors are read from /proc")
async def test_streams_one_after_another(size: Size, record_figure: RecordFigure) -> None:
    count = size.choose(300, 10_000)
    with serve("['some ', 'words']") as base_url:
        async with Client("r8_FAKE", base_url=base_url) as client:
            for number in range(count):
                if number == count // 5:  # caches are full by then
                    before = (count_descriptors(), threading.active_count())
                    memory = get_memory()
                assert await read(client, Emulator.model, "Hi") == "some words"
            grown = get_memory() - memory
            assert (count_descriptors(), threading.active_count()) == before
            assert asyncio.all_tasks() == {asyncio.current_task()}
    assert grown < 4 * MB
    record_figure("streams one after another", count)
    record_figure("memory grown by streams one after another", grown / MB, "MB")


@pytest.mark.skipif(sys.platform != "linux", reason="memory and descriptors are read from /proc")
async def test_clients_made_for_each_request(size: Size, record_figure: RecordFigure) -> None:
    count = size.choose(300, 10_000)
    with serve("['some ', 'words']") as base_url:
        for number in range(count):
            if number == count // 5:
                before = (count_descriptors(), threading.active_count())
                memory = get_memory()
            client = Client(f"r8_FAKE_{number}", base_url=base_url)
            assert await read(client, Emulator.model, "Hi") == "some words"
        grown = get_memory() - memory
        assert (count_descriptors(), threading.active_count()) == before
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await client.aclose()
    assert grown < 4 * MB
    record_figure("clients made for each request", count)
    record_figure("memory grown by clients made for each request", grown / MB, "MB")


@pytest.mark.parametrize("surface", ["async", "blocking"])
def test_a_slow_consumer_holds_the_server_back(surface: str, record_figure: RecordFigure) -> None:
    timeout, size_of_token, count = 2.0, 64 * 1024, 800
    with serve(f"['x' * {size_of_token}] * {count}") as base_url:
        client = Client("r8_FAKE", base_url=base_url, timeout=timeout)
        length, held = 0, 0
        # Not the memory of the process, in which earlier tests still free theirs.
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()

        def take(event: object) -> None:
            nonlocal length, held
            length += len(event.text) if isinstance(event, TextDelta) else 0
            if length and held == 0:
                time.sleep(1.5 * timeout)  # the consumer is slow: this is what is tested
                held = tracemalloc.get_traced_memory()[0] - before
                tracemalloc.stop()

        async def read_slowly() -> None:
            async with client, client.stream(Emulator.model, "Hi", include_usage=False) as events:
                async for event in events:
                    take(event)

        if surface == "async":
            asyncio.run(read_slowly())
        else:
            stream = iterate_blocking(
                lambda: client.stream(Emulator.model, "Hi", include_usage=False)
            )
            for event in stream:
                take(event)
            run_blocking(client.aclose)
    assert length == size_of_token * count
    assert 0 < held < 0.75 * size_of_token * count  # the buffer of 256 events takes a third
    record_figure(f"memory held for a slow consumer, {surface}", held / MB, "MB")


# Names, limits and numbers of creations, of the quick and the full size.
MINUTE = RateLimit(600, 60.0)
LIMITS = {
    "600 a minute": ((RateLimit(60, 1.0), 150), (MINUTE, 2_000)),
    "waits rounded down": (
        (RateLimit(60, 1.0, rounds_down=True), 150),
        (MINUTE._replace(rounds_down=True), 2_000),
    ),
    "bursts of 20": ((MINUTE._replace(burst=20), 50), (MINUTE._replace(burst=20), 500)),
    "burst of 1, 60 a minute": (
        (RateLimit(60, 6.0, burst=1, rounds_down=True), 15),
        (RateLimit(60, 60.0, burst=1), 40),
    ),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", LIMITS)
async def test_creations_under_a_rate_limit_are_all_answered(
    replicate_emulator: Emulator, size: Size, record_figure: RecordFigure, name: str
) -> None:
    limit, count = size.choose(*LIMITS[name])
    replicate_emulator.behaviour.rate_limit = limit
    clients = [
        Client(
            replicate_emulator.token,
            base_url=replicate_emulator.base_url,
            timeout=15,
            max_retries=0,
        )
        for _ in range(20)
    ]
    await clients[0].describe(replicate_emulator.model)
    started_at = time.monotonic()
    completions = await asyncio.gather(
        *(clients[number % 20].complete(replicate_emulator.model, "Hi") for number in range(count))
    )
    seconds = time.monotonic() - started_at
    assert all(completion.text for completion in completions)
    assert len(replicate_emulator.predictions) == count
    posts = count_posts(replicate_emulator) / count
    if limit.burst is None:  # a window after the other
        ideal = (count - 1) // limit.requests * limit.seconds
    else:
        ideal = (count - limit.burst) * limit.seconds / limit.requests
    assert posts < 6
    assert seconds < 3 * ideal + 3
    record_figure(f"POSTs per answer, {name}", posts)
    record_figure(f"time against the ideal, {name}", seconds / ideal)
    for client in clients:
        await client.aclose()


async def test_the_deadline_and_a_cancellation_bound_the_wait(
    replicate_emulator: Emulator,
) -> None:
    count, deadline = 100, 1.5
    replicate_emulator.behaviour.rate_limit = RateLimit(10, 0.5, rounds_down=True)
    replicate_emulator.behaviour.token_delay = 60.0  # no answer ends by itself
    async with Client(
        replicate_emulator.token, base_url=replicate_emulator.base_url, deadline=deadline
    ) as client:
        await client.describe(replicate_emulator.model)
        tasks = [
            asyncio.create_task(client.complete(replicate_emulator.model, "Hi"))
            for _ in range(count)
        ]
        await replicate_emulator.wait_for_async(lambda e: count_posts(e) >= count, timeout=30)
        all_sent_at = time.monotonic()  # every deadline began before
        for task in tasks[1::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in results} == {ReplicateTimeoutError, asyncio.CancelledError}
    creations = [each for each in replicate_emulator.requests if each.kind == "create"]
    assert all(each.at < all_sent_at + deadline + 1.0 for each in creations)
    # All, also what was created for a caller that had gone already.
    assert replicate_emulator.predictions
    assert set(replicate_emulator.cancels) == set(replicate_emulator.predictions)


WORKER = """
import asyncio, sys
from replicate_stream import Client

async def main():
    async with Client("r8_FAKE", base_url=sys.argv[1]) as client:
        calls = [client.complete(sys.argv[2], "Hi") for _ in range(int(sys.argv[3]))]
        print(sum(bool(each.text) for each in await asyncio.gather(*calls)))

asyncio.run(main())
"""


def test_processes_with_one_token_are_all_answered(size: Size, record_figure: RecordFigure) -> None:
    count = size.choose(25, 100)
    with Emulator(token="", rate_limit=RateLimit(20, 0.4, rounds_down=True)) as emulator:
        command = [sys.executable, "-c", WORKER, emulator.base_url, emulator.model, str(count)]
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        answered = [worker.communicate()[0].strip() for worker in workers]
        assert len(emulator.predictions) == 4 * count
        posts = count_posts(emulator) / (4 * count)
    assert answered == [str(count)] * 4
    record_figure("POSTs per answer, four processes", posts)


def test_uvloop(replicate_emulator: Emulator) -> None:
    uvloop = pytest.importorskip("uvloop")
    replicate_emulator.reply = answer_number
    replicate_emulator.behaviour.rate_limit = RateLimit(20, 0.2, rounds_down=True)

    async def main() -> list[str]:
        async with Client(replicate_emulator.token, base_url=replicate_emulator.base_url) as client:
            texts = await asyncio.gather(
                *(read(client, replicate_emulator.model, f"number {n:05}") for n in range(50))
            )
            async with client.stream(replicate_emulator.model, "number 00050") as events:
                await anext(events)
            return texts

    assert uvloop.run(main()) == [expect_number(number) for number in range(50)]
    assert len(replicate_emulator.predictions) == 51

"""Whoever stops listening stops paying: exactly one cancel, by whatever way he leaves."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator

import pytest

from replicate_stream import Client, Replicate, StreamEvent
from replicate_stream._sync import iterate_blocking, run_blocking
from replicate_stream.testing import Emulator, Fault


@pytest.fixture
def endless(replicate_emulator: Emulator) -> Emulator:
    """An emulator whose answers do not end while a test lasts."""
    replicate_emulator.behaviour.token_delay = 0.005
    replicate_emulator.reply = ["word "] * 20_000
    return replicate_emulator


async def canceled_once(emulator: Emulator) -> None:
    await emulator.wait_for_async(lambda e: len(e.cancels) >= 1)
    await emulator.wait_for_async(
        lambda e: all(p.status == "canceled" for p in e.predictions.values())
    )
    await emulator.wait_for_async(lambda e: e.streams_open == 0)
    assert emulator.cancels == list(emulator.predictions)


async def take(events: AsyncIterator[object], count: int) -> None:
    async for _ in events:
        count -= 1
        if not count:
            return


async def test_break(client: Client, endless: Emulator) -> None:
    async with client.stream(endless.model, "Hi") as events:
        await take(events, 10)
    assert len(endless.cancels) == 1  # before the block is left
    await canceled_once(endless)


async def test_closing_the_stream(client: Client, endless: Emulator) -> None:
    async with client.stream(endless.model, "Hi") as events:
        await take(events, 10)
        await events.aclose()
    await canceled_once(endless)


async def test_leaving_before_the_first_event(client: Client, endless: Emulator) -> None:
    async with client.stream(endless.model, "Hi"):
        pass
    await canceled_once(endless)


async def test_an_error_of_the_consumer(client: Client, endless: Emulator) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.stream(endless.model, "Hi") as events:
            async for _ in events:
                raise ZeroDivisionError
    await canceled_once(endless)


async def test_a_cancelled_task(client: Client, endless: Emulator) -> None:
    task = asyncio.create_task(client.complete(endless.model, "Hi"))
    await endless.wait_for_async(lambda e: e.streams_open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await canceled_once(endless)


async def test_a_time_out_around_it(client: Client, endless: Emulator) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.complete(endless.model, "Hi"), 0.3)
    await canceled_once(endless)


async def test_a_task_cancelled_while_the_prediction_is_being_created(
    client: Client, endless: Emulator
) -> None:
    await client.prepare(endless.model, "Hi")
    endless.fault(Fault(on="create", delay=0.3))
    task = asyncio.create_task(client.complete(endless.model, "Hi"))
    await endless.wait_for_async(lambda e: any(r.method == "POST" for r in e.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await endless.wait_for_async(lambda e: len(e.cancels) == 1)
    assert len(endless.predictions) == 1


async def test_a_generator_that_is_merely_dropped(client: Client, endless: Emulator) -> None:
    async def texts() -> AsyncIterator[StreamEvent]:
        async with client.stream(endless.model, "Hi") as events:
            async for event in events:
                yield event

    await take(texts(), 10)
    gc.collect()
    await canceled_once(endless)


def test_a_generator_dropped_in_a_loop_that_ends_at_once(endless: Emulator) -> None:
    async def main() -> None:
        client = Client(endless.token, base_url=endless.base_url)

        async def texts() -> AsyncIterator[StreamEvent]:
            async with client.stream(endless.model, "Hi") as events:
                async for event in events:
                    yield event

        async for _ in texts():
            if endless.streams_open:
                break

    asyncio.run(main())
    gc.collect()
    endless.wait_for(lambda e: len(e.cancels) == 1)


def test_a_loop_that_is_closed_with_the_stream_still_open(endless: Emulator) -> None:
    async def main() -> object:
        client = Client(endless.token, base_url=endless.base_url)
        opening = client.stream(endless.model, "Hi")
        events = await opening.__aenter__()
        await take(events, 5)
        return opening, events

    loop = asyncio.new_event_loop()
    held = loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    del held
    gc.collect()
    endless.wait_for(lambda e: len(e.cancels) == 1)


async def test_the_provider(endless: Emulator) -> None:
    texts = Replicate.create_async_generator(
        endless.model, "Hi", api_key=endless.token, base_url=endless.base_url
    )
    await take(texts, 10)
    await texts.aclose()
    await canceled_once(endless)


def test_break_in_sync_code(endless: Emulator) -> None:
    client = Client(endless.token, base_url=endless.base_url)
    for count, _ in enumerate(iterate_blocking(lambda: client.stream(endless.model, "Hi"))):
        if count == 10:
            break
    endless.wait_for(lambda e: e.cancels == list(e.predictions))
    endless.wait_for(lambda e: e.streams_open == 0)


async def test_sync_code_inside_a_running_loop(endless: Emulator) -> None:
    client = Client(endless.token, base_url=endless.base_url)
    stream = iterate_blocking(lambda: client.stream(endless.model, "Hi"))
    for _ in range(5):
        next(stream)
    stream.close()
    await canceled_once(endless)


def test_a_sync_stream_begun_in_one_thread_and_read_in_another(endless: Emulator) -> None:
    client = Client(endless.token, base_url=endless.base_url)
    stream = iterate_blocking(lambda: client.stream(endless.model, "Hi"))
    next(stream)
    read: list[object] = []

    def consume() -> None:
        read.extend(next(stream) for _ in range(5))
        stream.close()

    thread = threading.Thread(target=consume)
    thread.start()
    thread.join(10)
    assert len(read) == 5
    endless.wait_for(lambda e: e.cancels == list(e.predictions))


def test_a_sync_call_gives_the_result_or_the_bare_error(replicate_emulator: Emulator) -> None:
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    model = replicate_emulator.model
    assert run_blocking(lambda: client.complete(model, "Hi")).text
    with pytest.raises(ValueError, match="bare"):
        run_blocking(_fail)


async def _fail() -> None:
    raise ValueError("bare")


@pytest.mark.parametrize("way", ["async", "sync"])
def test_ctrl_c_ends_the_prediction_before_the_process_ends(endless: Emulator, way: str) -> None:
    program = textwrap.dedent(
        f"""
        import asyncio, sys
        from replicate_stream import Client
        from replicate_stream._sync import iterate_blocking

        client = Client({endless.token!r}, base_url={endless.base_url!r})

        async def read():
            async with client.stream({endless.model!r}, "Hi") as events:
                async for _ in events:
                    pass

        if {way!r} == "sync":
            for _ in iterate_blocking(lambda: client.stream({endless.model!r}, "Hi")):
                pass
        else:
            asyncio.run(read())
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) as process:
        endless.wait_for(lambda e: e.streams_open == 1, timeout=20)
        process.send_signal(2)
        _, errors = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    assert b"never retrieved" not in errors
    assert endless.cancels == list(endless.predictions)


async def test_a_cancel_that_fails_is_logged_and_does_not_hide_the_consumers_error(
    client: Client, endless: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    endless.fault(Fault(on="cancel", status=404, body={"detail": "Not found."}))
    with pytest.raises(ZeroDivisionError):
        async with client.stream(endless.model, "Hi") as events:
            async for _ in events:
                raise ZeroDivisionError
    assert [r.levelname for r in caplog.records if "cancelling" in r.message] == ["WARNING"]


async def test_an_answer_that_ended_is_not_cancelled(
    client: Client, replicate_emulator: Emulator
) -> None:
    async with client.stream(replicate_emulator.model, "Hi") as events:
        await take(events, 100_000)
    gc.collect()
    assert replicate_emulator.cancels == []

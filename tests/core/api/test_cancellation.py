"""Leaving a stream in any way sends exactly one cancel request."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator

import pytest

from replicate_stream import Client, Replicate, StreamEvent
from replicate_stream._sync import iterate_blocking, run_blocking
from replicate_stream.testing import Emulator, Fault


@pytest.fixture
def endless(replicate_emulator: Emulator) -> Emulator:
    """An emulator whose answers do not end during a test."""
    replicate_emulator.behaviour.token_delay = 0.005
    replicate_emulator.reply = ["word "] * 20_000
    return replicate_emulator


async def assert_canceled_once(emulator: Emulator) -> None:
    await emulator.wait_for_async(lambda e: len(e.cancels) >= 1)
    await emulator.wait_for_async(
        lambda e: all(p.status == "canceled" for p in e.predictions.values())
    )
    await emulator.wait_for_async(lambda e: e.streams_open == 0)
    assert emulator.cancels == list(emulator.predictions)


async def read_items(events: AsyncIterator[object], count: int) -> None:
    async for _ in events:
        count -= 1
        if not count:
            return


async def test_break_cancels(client: Client, endless: Emulator) -> None:
    async with client.stream(endless.model, "Hi") as events:
        await read_items(events, 10)
    assert len(endless.cancels) == 1  # sent before the block is left
    await assert_canceled_once(endless)


async def test_closing_the_stream_cancels(client: Client, endless: Emulator) -> None:
    async with client.stream(endless.model, "Hi") as events:
        await read_items(events, 10)
        await events.aclose()
    await assert_canceled_once(endless)


async def test_leaving_before_the_first_event_cancels(client: Client, endless: Emulator) -> None:
    async with client.stream(endless.model, "Hi"):
        pass
    await assert_canceled_once(endless)


async def test_an_error_in_the_consumer_cancels(client: Client, endless: Emulator) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.stream(endless.model, "Hi") as events:
            async for _ in events:
                raise ZeroDivisionError
    await assert_canceled_once(endless)


async def test_cancelling_the_task_cancels(client: Client, endless: Emulator) -> None:
    task = asyncio.create_task(client.complete(endless.model, "Hi"))
    await endless.wait_for_async(lambda e: e.streams_open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_canceled_once(endless)


async def test_a_time_out_of_the_caller_cancels(client: Client, endless: Emulator) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.complete(endless.model, "Hi"), 0.3)
    await assert_canceled_once(endless)


async def test_cancelling_the_task_during_the_creation_cancels_the_prediction(
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


@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="create", delay=0.2, status=422, body={"detail": "no"}),
        Fault(on="create", delay=0.2, status=500, body="<html>"),
        Fault(on="create", delay=0.2, status=201, body={"status": "starting"}),
    ],
    ids=["refused", "failed", "without an id"],
)
async def test_a_creation_that_fails_after_its_caller_was_cancelled_is_not_an_asyncio_error(
    client: Client, endless: Emulator, fault: Fault
) -> None:
    problems: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    endless.fault(fault)
    task = asyncio.ensure_future(client.complete(endless.model, "Hi"))
    await endless.wait_for_async(lambda e: any(r.kind == "create" for r in e.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await client.aclose()
    gc.collect()
    assert problems == []
    assert endless.cancels == []


async def test_a_collected_generator_cancels(client: Client, endless: Emulator) -> None:
    async def texts() -> AsyncIterator[StreamEvent]:
        async with client.stream(endless.model, "Hi") as events:
            async for event in events:
                yield event

    await read_items(texts(), 10)
    gc.collect()
    await assert_canceled_once(endless)


def test_a_generator_collected_at_the_end_of_its_loop_cancels(endless: Emulator) -> None:
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


def test_closing_the_loop_with_an_open_stream_cancels(endless: Emulator) -> None:
    async def main() -> object:
        client = Client(endless.token, base_url=endless.base_url)
        opening = client.stream(endless.model, "Hi")
        events = await opening.__aenter__()
        await read_items(events, 5)
        return opening, events

    loop = asyncio.new_event_loop()
    objects = loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    del objects
    gc.collect()
    endless.wait_for(lambda e: len(e.cancels) == 1)


async def test_closing_the_generator_of_the_provider_cancels(endless: Emulator) -> None:
    texts = Replicate.create_async_generator(
        endless.model, "Hi", api_key=endless.token, base_url=endless.base_url
    )
    await read_items(texts, 10)
    await texts.aclose()
    await assert_canceled_once(endless)


def test_break_in_sync_code_cancels(endless: Emulator) -> None:
    client = Client(endless.token, base_url=endless.base_url)
    for count, _ in enumerate(iterate_blocking(lambda: client.stream(endless.model, "Hi"))):
        if count == 10:
            break
    endless.wait_for(lambda e: e.cancels == list(e.predictions))
    endless.wait_for(lambda e: e.streams_open == 0)


async def test_closing_a_sync_stream_inside_a_running_loop_cancels(endless: Emulator) -> None:
    client = Client(endless.token, base_url=endless.base_url)
    stream = iterate_blocking(lambda: client.stream(endless.model, "Hi"))
    for _ in range(5):
        next(stream)
    stream.close()
    await assert_canceled_once(endless)


def test_a_sync_stream_can_be_opened_in_one_thread_and_read_in_another(endless: Emulator) -> None:
    client = Client(endless.token, base_url=endless.base_url)
    stream = iterate_blocking(lambda: client.stream(endless.model, "Hi"))
    next(stream)
    items_read: list[object] = []

    def consume() -> None:
        items_read.extend(next(stream) for _ in range(5))
        stream.close()

    thread = threading.Thread(target=consume)
    thread.start()
    thread.join(10)
    assert len(items_read) == 5
    endless.wait_for(lambda e: e.cancels == list(e.predictions))


def test_a_sync_call_returns_the_result_or_raises_the_original_error(
    replicate_emulator: Emulator,
) -> None:
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    model = replicate_emulator.model
    assert run_blocking(lambda: client.complete(model, "Hi")).text
    with pytest.raises(ValueError, match="bare"):
        run_blocking(_fail)


async def _fail() -> None:
    raise ValueError("bare")


async def test_a_failed_cancel_request_is_logged_and_hides_no_error(
    client: Client, endless: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    endless.fault(Fault(on="cancel", status=404, body={"detail": "Not found."}))
    with pytest.raises(ZeroDivisionError):
        async with client.stream(endless.model, "Hi") as events:
            async for _ in events:
                raise ZeroDivisionError
    assert [r.levelname for r in caplog.records if "cancelling" in r.message] == ["WARNING"]


async def test_a_cancel_request_is_repeated_although_max_retries_is_0(endless: Emulator) -> None:
    endless.fault(Fault(on="cancel", status=503))
    client = Client(endless.token, base_url=endless.base_url, max_retries=0)
    async with client, client.stream(endless.model, "Hi") as events:
        await read_items(events, 5)
    assert [p.status for p in endless.predictions.values()] == ["canceled"]


async def test_a_complete_answer_is_not_cancelled(
    client: Client, replicate_emulator: Emulator
) -> None:
    async with client.stream(replicate_emulator.model, "Hi") as events:
        await read_items(events, 100_000)
    gc.collect()
    assert replicate_emulator.cancels == []


async def test_a_token_that_cannot_be_had_for_a_cancel_hides_no_error_and_no_other_cancel(
    endless: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    is_down = False

    def fetch_token() -> str:
        if is_down:
            raise OSError("vault: r8_fake")
        return endless.token

    async with Client(fetch_token, base_url=endless.base_url) as client:
        with pytest.raises(KeyError):
            async with client.stream(endless.model, "Hi") as events:
                await events.__anext__()
                is_down = True
                raise KeyError
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert "no request could be built (OSError)" in record.getMessage()
    assert "vault" not in record.getMessage()
    assert endless.cancels == []

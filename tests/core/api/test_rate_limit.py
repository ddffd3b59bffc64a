"""The queue for creating predictions: its pace, and who shares it."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from replicate_stream import Client, ReplicateTimeoutError, ResponseError
from replicate_stream._api import rate_limit
from replicate_stream._api.rate_limit import MAX_RETRY_DELAY, PATIENCE, Pace
from replicate_stream._secrets import Headers, Token
from replicate_stream.adapters import run_blocking
from replicate_stream.testing import Emulator, Fault, RateLimit, RecordedRequest

MakeClient = Callable[..., Client]
# 100 a second, in two forms; the waits are rounded down to "~0s".
WINDOW = RateLimit(20, 0.2, rounds_down=True)
BUCKET = RateLimit(100, 1.0, burst=1, rounds_down=True)


def get_creations(emulator: Emulator) -> list[RecordedRequest]:
    return [request for request in emulator.requests if request.kind == "create"]


async def ask(client: Client, emulator: Emulator, count: int) -> list[str]:
    calls = (client.complete(emulator.model, "Hi") for _ in range(count))
    return [completion.text for completion in await asyncio.gather(*calls)]


class TestPace:
    def test_without_a_refusal_there_is_no_wait(self) -> None:
        pace = Pace()
        for _ in range(100):
            assert pace.next_at <= 7.0
            pace.send(7.0)
            pace.accept(7.0)

    @pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.0), (5.0, 5.0), (86_400.0, 60.0)])
    def test_the_wait_that_the_service_asks_for_is_bounded(
        self, asked: float, waited: float
    ) -> None:
        pace = Pace()
        pace.refuse(sent_at=0.0, now=1.0, retry_after=asked)
        assert waited < pace.next_at - 1.0 < waited + 0.2

    def test_waits_that_were_rounded_down_grow_with_each_refusal(self) -> None:
        pace, now, waits = Pace(), 0.0, []
        for _ in range(40):
            pace.refuse(sent_at=now, now=now, retry_after=0.0)
            waits.append(pace.next_at - now)
            now = pace.next_at
        assert 0 < waits[0] < 0.2
        assert sum(waits[:5]) < 2.0  # the service rounds down to whole seconds
        assert 5.0 < waits[-1] <= MAX_RETRY_DELAY
        assert waits[-1] <= 8.05

    def test_after_a_refusal_one_request_tries_and_the_others_wait_for_it(self) -> None:
        pace = Pace()
        pace.refuse(sent_at=0.0, now=0.0, retry_after=1.0)
        pace.send(2.0)
        assert pace.next_at == 2.0 + PATIENCE
        pace.accept(2.0)
        assert 2.0 < pace.next_at < 2.1

    def test_refusals_of_requests_that_were_sent_together_count_once(self) -> None:
        pace = Pace()
        for _ in range(500):
            pace.refuse(sent_at=0.0, now=1.0, retry_after=3.0)
        assert pace.refusals == 1
        assert 4.0 <= pace.next_at <= 4.1

    def test_a_request_that_was_sent_before_the_refusal_does_not_end_the_wait(self) -> None:
        pace = Pace()
        pace.refuse(sent_at=0.0, now=1.0, retry_after=30.0)
        pace.accept(sent_at=0.5)
        assert pace.next_at >= 31.0

    def test_the_interval_settles_at_what_the_service_accepts(self) -> None:
        pace, now, free_at, sent = Pace(), 0.0, 0.0, 0
        while now < 300:
            now = max(now, pace.next_at)
            pace.send(now)
            sent += 1
            if now >= free_at:
                free_at = now + 1.0
                pace.accept(now)
            else:
                pace.refuse(now, now, 0.0)
        assert 0.8 < pace.interval < 1.3
        assert sent < 2 * 300


@pytest.mark.parametrize("limit", [WINDOW, BUCKET], ids=["window", "burst of 1"])
async def test_the_clients_of_a_token_share_one_queue(
    make_client: MakeClient, replicate_emulator: Emulator, limit: RateLimit
) -> None:
    replicate_emulator.behaviour.rate_limit = limit
    clients = [make_client() for _ in range(20)]
    texts = await asyncio.gather(*(ask(each, replicate_emulator, 5) for each in clients))
    assert all(all(each) for each in texts)
    assert len(replicate_emulator.predictions) == 100
    assert len(get_creations(replicate_emulator)) < 400


def test_the_queue_spans_event_loops_and_threads(replicate_emulator: Emulator) -> None:
    replicate_emulator.behaviour.rate_limit = WINDOW

    async def ask_in_own_loop() -> list[str]:
        async with Client(
            replicate_emulator.token, base_url=replicate_emulator.base_url, max_retries=0
        ) as client:
            return await ask(client, replicate_emulator, 10)

    with ThreadPoolExecutor(10) as pool:
        loops = [pool.submit(asyncio.run, ask_in_own_loop()) for _ in range(5)]
        blocking = [pool.submit(run_blocking, ask_in_own_loop) for _ in range(5)]
        assert all(all(future.result()) for future in [*loops, *blocking])
    assert len(replicate_emulator.predictions) == 100
    assert len(get_creations(replicate_emulator)) < 300


async def test_requests_are_answered_in_their_order(
    client: Client, replicate_emulator: Emulator
) -> None:
    await client.prepare(replicate_emulator.model, "Hi")
    replicate_emulator.behaviour.rate_limit = RateLimit(1, 0.1, rounds_down=True)
    done: list[int] = []

    async def ask_and_note(number: int) -> None:
        await client.complete(replicate_emulator.model, "Hi")
        done.append(number)

    await asyncio.gather(*map(ask_and_note, range(10)))
    assert done == sorted(done)


async def test_waiting_is_no_silence_and_costs_no_retry(
    make_client: MakeClient, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.rate_limit = RateLimit(3, 0.5, wording="documented")
    client = make_client(timeout=0.4, max_retries=0)
    replicate_emulator.behaviour.reply = ["a"]
    assert await ask(client, replicate_emulator, 8) == ["a"] * 8
    assert len(replicate_emulator.predictions) == 8


async def test_a_look_up_does_not_wait_in_the_queue(
    make_client: MakeClient, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(
        Fault(on="create", status=429, body={"detail": "…", "retry_after": 60}), times=None
    )
    waiting = asyncio.create_task(make_client().complete(replicate_emulator.model, "Hi"))
    await replicate_emulator.wait_for_async(lambda e: len(get_creations(e)) == 1)
    assert await make_client().describe(replicate_emulator.model)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_other_tokens_and_servers_have_queues_of_their_own(
    make_client: MakeClient, replicate_emulator: Emulator
) -> None:
    refused = {"detail": "…", "retry_after": 60}
    with Emulator(token="") as other:
        other.fault(Fault(on="create", status=429, body=refused))
        replicate_emulator.fault(Fault(on="create", status=429, body=refused))
        waiting = [
            asyncio.create_task(make_client().complete(replicate_emulator.model, "Hi")),
            asyncio.create_task(
                make_client(base_url=other.base_url).complete(replicate_emulator.model, "Hi")
            ),
        ]
        await other.wait_for_async(lambda e: len(get_creations(e)) == 1)
        await replicate_emulator.wait_for_async(lambda e: len(get_creations(e)) == 1)
        async with Client("r8_FAKE_OTHER", base_url=other.base_url) as client:
            assert (await client.complete(other.model, "Hi")).text
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def test_the_registry_of_queues_holds_no_token_and_forgets_what_is_unused() -> None:
    others = set(rate_limit._queues)
    headers = Headers({"Authorization": Token("r8_FAKE_QUEUED")})
    queue = rate_limit.get_queue("https://api.example.com/v1", headers.token_hash)
    same = Headers({"authorization": "Bearer r8_FAKE_QUEUED"})
    assert rate_limit.get_queue("https://api.example.com/v1", same.token_hash) is queue
    (key,) = set(rate_limit._queues) - others
    assert "r8_FAKE" not in str(key)
    del queue
    gc.collect()
    assert key not in rate_limit._queues


async def test_one_warning_says_that_requests_wait(
    client: Client, replicate_emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    replicate_emulator.behaviour.rate_limit = RateLimit(3, 0.2, rounds_down=True)
    with caplog.at_level(logging.WARNING, logger="replicate_stream"):
        await ask(client, replicate_emulator, 6)
    messages = [r.getMessage() for r in caplog.records if "rate limit lets them pass" in str(r.msg)]
    assert len(messages) == 1
    assert "429" in messages[0]


class TestDeadline:
    async def test_no_prediction_is_created_after_the_deadline(
        self, make_client: MakeClient, replicate_emulator: Emulator
    ) -> None:
        client = make_client(deadline=1)
        await client.prepare(replicate_emulator.model, "Hi")
        replicate_emulator.behaviour.rate_limit = RateLimit(2, 0.5, rounds_down=True)
        started_at = time.monotonic()
        results = await asyncio.gather(
            *(client.complete(replicate_emulator.model, "Hi") for _ in range(12)),
            return_exceptions=True,
        )
        assert time.monotonic() - started_at < 2
        errors = [each for each in results if isinstance(each, BaseException)]
        assert {type(each) for each in errors} == {ReplicateTimeoutError}
        assert str(errors[0]).endswith(
            "was not sent, because the rate limit held it back within the deadline of 1 s; "
            "send fewer requests at once, or set a larger deadline="
        )
        assert len(replicate_emulator.predictions) == 12 - len(errors)
        assert all(each.at <= started_at + 1.3 for each in get_creations(replicate_emulator))
        assert replicate_emulator.cancels == []

    @pytest.mark.parametrize("status", [429, 503])
    async def test_a_wait_until_after_the_deadline_is_an_error_at_once(
        self, make_client: MakeClient, replicate_emulator: Emulator, status: int
    ) -> None:
        replicate_emulator.fault(
            Fault(on="create", status=status, headers={"Retry-After": "30"}), times=None
        )
        with pytest.raises(ResponseError) as caught:
            await make_client(deadline=20).complete(replicate_emulator.model, "Hi")
        assert (caught.value.status, caught.value.retry_after) == (status, 30)
        assert str(caught.value).endswith(
            "; the wait before another attempt would end after the deadline"
        )
        assert len(get_creations(replicate_emulator)) == 1

    async def test_a_refusal_that_is_read_after_the_deadline_is_its_time_out(
        self,
        make_client: MakeClient,
        replicate_emulator: Emulator,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        client = make_client(deadline=0.3)
        await client.prepare(replicate_emulator.model, "Hi")

        def block(_: logging.LogRecord) -> bool:
            time.sleep(0.35)  # the loop of a busy machine
            return True

        body = {"detail": "…", "retry_after": 0}
        replicate_emulator.fault(Fault(on="create", status=429, body=body), times=None)
        monkeypatch.setattr(caplog.handler, "filters", [block])
        with pytest.raises(ReplicateTimeoutError, match="the rate limit held it back"):
            await client.complete(replicate_emulator.model, "Hi")

    async def test_cancel_after_is_what_remains_of_the_deadline(
        self, make_client: MakeClient, replicate_emulator: Emulator
    ) -> None:
        replicate_emulator.fault(
            Fault(on="create", status=429, body={"detail": "…", "retry_after": 1.1})
        )
        await make_client(deadline=10).complete(replicate_emulator.model, "Hi")
        sent = [each.headers["cancel-after"] for each in get_creations(replicate_emulator)]
        assert sent == ["10s", "9s"]

    async def test_a_creation_without_a_response_ends_at_the_deadline_and_is_cancelled(
        self, make_client: MakeClient, replicate_emulator: Emulator
    ) -> None:
        replicate_emulator.behaviour.token_delay = 60
        replicate_emulator.fault(Fault(on="create", delay=1.0))
        client = make_client(deadline=0.5)
        with pytest.raises(ReplicateTimeoutError, match=r"had no response within the deadline"):
            await client.complete(replicate_emulator.model, "Hi")
        assert len(replicate_emulator.cancels) == 1


@pytest.mark.parametrize("status", [402, 404, 500])
async def test_any_other_response_lets_the_next_request_pass(
    client: Client, replicate_emulator: Emulator, status: int
) -> None:
    await client.prepare(replicate_emulator.model, "Hi")
    for each in (429, 429, status):
        replicate_emulator.fault(Fault(on="create", status=each, headers={"Retry-After": "0"}))
    started_at = time.monotonic()
    first, second = await asyncio.gather(
        *(client.complete(replicate_emulator.model, "Hi") for _ in range(2)),
        return_exceptions=True,
    )
    assert isinstance(first, ResponseError)
    assert not isinstance(second, BaseException)
    assert time.monotonic() - started_at < PATIENCE


async def test_a_request_that_is_cancelled_in_the_queue_lets_the_next_one_pass(
    client: Client, replicate_emulator: Emulator
) -> None:
    await client.prepare(replicate_emulator.model, "Hi")
    replicate_emulator.fault(Fault(on="create", status=429, body={"retry_after": 0.5}), times=2)
    tasks = [asyncio.create_task(ask(client, replicate_emulator, 1)) for _ in range(2)]
    started_at = time.monotonic()
    await replicate_emulator.wait_for_async(lambda e: len(get_creations(e)) == 2)
    tasks[0].cancel()
    assert await tasks[1]
    assert time.monotonic() - started_at < PATIENCE
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert len(get_creations(replicate_emulator)) == 3


async def test_a_loop_that_stands_still_does_not_hold_up_the_others(
    make_client: MakeClient, replicate_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "PATIENCE", 0.3)
    client = make_client()
    await client.prepare(replicate_emulator.model, "Hi")
    replicate_emulator.fault(Fault(on="create", status=429, body={"retry_after": 0.2}), times=2)
    may_go_on = threading.Event()

    async def stand_still() -> None:
        async with Client(
            replicate_emulator.token, base_url=replicate_emulator.base_url
        ) as blocked:
            task = asyncio.create_task(ask(blocked, replicate_emulator, 1))
            await replicate_emulator.wait_for_async(lambda e: len(get_creations(e)) >= 1)
            await asyncio.sleep(0.1)  # until the refusal is read
            may_go_on.wait(20)
            await task

    thread = threading.Thread(target=asyncio.run, args=(stand_still(),))
    thread.start()
    await replicate_emulator.wait_for_async(lambda e: len(get_creations(e)) >= 1)
    try:
        assert await asyncio.wait_for(ask(client, replicate_emulator, 1), 10)
    finally:
        may_go_on.set()
        await asyncio.to_thread(thread.join)
    assert len(replicate_emulator.predictions) == 2

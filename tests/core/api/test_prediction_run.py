"""Whatever breaks, the whole text is delivered once, or an error is raised: never a short text."""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from typing import Literal

import pytest

from replicate_stream import (
    Client,
    InvalidInputError,
    PredictionCanceledError,
    PredictionFailedError,
    ReplicateTimeoutError,
    StatusChanged,
    StreamInterruptedError,
    TextDelta,
)
from replicate_stream._api import prediction_run
from replicate_stream.testing import Emulator, Event, Fault, Reply

WORDS = ["", "one", " two", "\n", "\n", " th\nree", " é😀", " end"]
WHOLE = "".join(WORDS)


async def get_body_length(client: Client, emulator: Emulator) -> int:
    """Return the length of the stream of WORDS, in bytes."""
    await client.complete(emulator.model, "Hi")
    body = "".join(
        f"event: output\nid: 1234567890:{i}\n"
        + "".join(f"data: {line}\n" for line in word.split("\n"))
        + "\n"
        for i, word in enumerate(WORDS)
    )
    return len((": hi\n\n" + body + "event: done\nid: 1234567890:8\ndata: {}\n\n").encode())


@pytest.mark.parametrize("reset", [False, True], ids=["clean", "reset"])
async def test_a_stream_cut_at_any_byte_still_yields_the_whole_text_once(
    client: Client, replicate_emulator: Emulator, reset: bool
) -> None:
    replicate_emulator.reply = WORDS
    for position in range(await get_body_length(client, replicate_emulator)):
        replicate_emulator.fault(Fault(on="stream", cut_after=position, reset=reset))
        completion = await client.complete(replicate_emulator.model, "Hi")
        assert (position, completion.text) == (position, WHOLE)
    assert replicate_emulator.cancels == []


@pytest.mark.parametrize("reset", [False, True], ids=["clean", "reset"])
async def test_a_running_stream_cut_at_any_token_is_resumed(
    client: Client, replicate_emulator: Emulator, reset: bool
) -> None:
    replicate_emulator.behaviour.token_delay = 0.005
    words = [f" w{i}" for i in range(12)]
    replicate_emulator.reply = words
    for position in range(0, 420, 30):
        replicate_emulator.fault(Fault(on="stream", cut_after=position, reset=reset))
        completion = await client.complete(replicate_emulator.model, "Hi")
        assert (position, completion.text) == (position, "".join(words))


async def test_a_resumed_stream_sends_the_last_event_id(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.02
    replicate_emulator.reply = [f" w{i}" for i in range(12)]
    replicate_emulator.fault(Fault(on="stream", cut_after=200))
    await client.complete(replicate_emulator.model, "Hi")
    first, second = [r for r in replicate_emulator.requests if r.server == "stream"]
    assert "last-event-id" not in first.headers
    assert second.headers["last-event-id"].split(":")[0].isdigit()


async def test_a_stream_is_resumed_after_several_cuts(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.01
    words = [f" w{i}" for i in range(20)]
    replicate_emulator.reply = words
    replicate_emulator.fault(Fault(on="stream", cut_after=120), times=6)
    completion = await client.complete(replicate_emulator.model, "Hi")
    assert completion.text == "".join(words)


@pytest.mark.parametrize("position", range(0, 420, 45))
async def test_a_cut_without_a_replay_never_yields_a_short_text(
    make_client: type[Client], position: int
) -> None:
    words = [f" w{i}" for i in range(12)]
    async with Emulator(replay=False, token_delay=0.005, idle_timeout=0.3) as emulator:
        emulator.reply = words
        emulator.fault(Fault(on="stream", cut_after=position))
        client = make_client(api_key=emulator.token, base_url=emulator.base_url)
        try:
            completion = await client.complete(emulator.model, "Hi")
        except StreamInterruptedError as error:
            assert 0 <= error.delivered < len("".join(words))
            assert f"{error.delivered} characters" in str(error)
        else:
            assert completion.text == "".join(words)


GAPS = {
    "the first event": (["B", "C"], "after 0 characters: 1 are missing in the stream, 0 are not"),
    "one in the middle": (["A", "C"], "after 1 characters: 1 are missing in the stream, 0 are not"),
    "a line end": (["A", "B", "C", "D"], "after 2 characters: 1 are missing in the stream, 0 are"),
    "a foreign text": (["A", "x", "C"], "after 1 characters: 1 are missing in the stream, 1 are"),
    "one twice": (["A", "B", "B", "C"], "after 2 characters: 0 are missing in the stream, 1 are"),
    "a later end": (["A", "B", "C", "D"], "after 3 characters: 0 are missing in the stream, 1 are"),
}
OUTPUTS = {"a line end": ["A", "B", "\n", "C", "D"]}


@pytest.mark.parametrize("gap", GAPS)
async def test_a_stream_that_contradicts_its_record_is_an_error_that_counts_what_is_missing(
    client: Client, replicate_emulator: Emulator, gap: str
) -> None:
    tokens, message = GAPS[gap]
    replicate_emulator.reply = Reply(tokens, output=OUTPUTS.get(gap, ["A", "B", "C"]))
    texts = []
    with pytest.raises(StreamInterruptedError, match=message) as caught:
        async with client.stream(replicate_emulator.model, "Hi") as events:
            async for event in events:
                texts += [event.text] if isinstance(event, TextDelta) else []
    assert ("".join(texts), caught.value.delivered) == ("".join(tokens), len(tokens))
    with pytest.raises(StreamInterruptedError, match=message):
        await client.complete(replicate_emulator.model, "Hi")
    assert replicate_emulator.cancels == []


@pytest.mark.parametrize("tokens", [["A", "B"], []], ids=["the last event", "all events"])
async def test_an_end_that_the_stream_lost_is_delivered_from_the_record(
    client: Client, replicate_emulator: Emulator, tokens: list[str]
) -> None:
    replicate_emulator.reply = Reply(tokens, output=["A", "B", "C"])
    assert (await client.complete(replicate_emulator.model, "Hi")).text == "ABC"


async def test_a_record_that_still_shows_processing_is_compared_too(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.finish_lag = 100
    replicate_emulator.reply = Reply(["A", "C"], output=["A", "B", "C"])
    with pytest.raises(StreamInterruptedError, match="after 1 characters: 1 are missing"):
        await client.complete(replicate_emulator.model, "Hi")
    replicate_emulator.reply = Reply(["A", "B"], output=["A", "B", "C"])
    assert (await client.complete(replicate_emulator.model, "Hi")).text == "ABC"


async def test_a_stream_that_lost_the_beginning_of_a_stopped_answer_is_an_error(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["B", "STOP"], output=["A", "B", "STOP", "C"])
    with pytest.raises(StreamInterruptedError, match="after 0 characters"):
        await client.complete(replicate_emulator.model, "Hi", stop="STOP")


async def test_a_carriage_return_that_a_stream_cannot_carry_is_not_missing(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["A\r\n", "B\r", "C"]
    assert (await client.complete(replicate_emulator.model, "Hi")).text == "A\nBC"


async def test_a_record_without_output_does_not_contradict_a_complete_stream(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["A", "B"], output=None)
    assert (await client.complete(replicate_emulator.model, "Hi")).text == "AB"


async def test_without_usage_nothing_is_verified(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["A", "C"], output=["A", "B", "C"])
    completion = await client.complete(replicate_emulator.model, "Hi", include_usage=False)
    assert completion.text == "AC"
    assert [r for r in replicate_emulator.requests if r.kind == "get"] == []


async def test_a_first_connection_that_comes_late_to_a_server_without_replay_is_an_error(
    make_client: type[Client],
) -> None:
    async with Emulator(list("ABCDEFGHIJKL"), replay=False, token_delay=0.05) as emulator:
        emulator.fault(Fault(on="stream", delay=0.3))
        client = make_client(api_key=emulator.token, base_url=emulator.base_url)
        with pytest.raises(StreamInterruptedError, match="after 0 characters"):
            await client.complete(emulator.model, "Hi")


@pytest.mark.parametrize("status", ["succeeded", "failed"])
async def test_the_record_decides_what_an_unknown_reason_means(
    client: Client, replicate_emulator: Emulator, status: Literal["succeeded", "failed"]
) -> None:
    replicate_emulator.reply = Reply(["A", "B"], reason="novel", status=status)
    answering = client.complete(replicate_emulator.model, "Hi")
    if status == "succeeded":
        assert (await answering).text == "AB"
    else:
        with pytest.raises(PredictionFailedError, match="no error text"):
            await answering


@pytest.mark.parametrize(
    "fault",
    [Fault(on="stream", cut_after=6), Fault(on="stream", delay=60)],
    ids=["cut", "not answered"],
)
async def test_a_stream_that_brings_nothing_is_replaced_by_polling(
    client: Client, replicate_emulator: Emulator, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault.delay:
        monkeypatch.setattr(prediction_run, "MAX_CHECK_INTERVAL", 0.2)
    words = [f" w{i}" for i in range(30)]
    replicate_emulator.reply = Reply(words, delays=[0.0] * 10 + [0.35] * 20)
    replicate_emulator.fault(fault, times=None)
    async with client.stream(replicate_emulator.model, "Hi") as events:
        texts = [event.text async for event in events if isinstance(event, TextDelta)]
    assert "".join(texts) == "".join(words)
    assert len(texts) > 3  # as the record grows
    streams = [r for r in replicate_emulator.requests if r.server == "stream"]
    assert len(streams) == (2 if fault.delay else 6)
    assert replicate_emulator.cancels == []


@pytest.mark.parametrize(
    "fault", [Fault(on="stream", delay=60), Fault(on="stream", stall_after=0)], ids=["dead", "mute"]
)
async def test_a_record_that_grows_is_no_silence_though_its_stream_is_silent(
    make_client: type[Client], replicate_emulator: Emulator, fault: Fault
) -> None:
    words = [f" w{i}" for i in range(8)]
    replicate_emulator.reply = Reply(words, delays=[0.1] * 8)
    replicate_emulator.fault(fault, times=None)
    completion = await make_client(timeout=0.4).complete(replicate_emulator.model, "Hi")
    assert completion.text == "".join(words)
    assert replicate_emulator.cancels == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 451])
async def test_a_refused_stream_is_replaced_by_polling_at_once(
    client: Client, replicate_emulator: Emulator, status: int
) -> None:
    replicate_emulator.reply = Reply([f" w{i}" for i in range(12)], delays=[0.1] * 12)
    replicate_emulator.fault(Fault(on="stream", status=status), times=None)
    async with client.stream(replicate_emulator.model, "Hi") as events:
        texts = [event async for event in events if isinstance(event, TextDelta)]
    assert len(texts) > 1  # as the record grows
    assert len([r for r in replicate_emulator.requests if r.server == "stream"]) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_stream_that_may_be_had_later_is_requested_again(
    client: Client, replicate_emulator: Emulator, status: int
) -> None:
    replicate_emulator.reply = Reply(WORDS, delays=[0.1] * len(WORDS))
    replicate_emulator.fault(Fault(on="stream", status=status))
    assert (await client.complete(replicate_emulator.model, "Hi")).text == WHOLE
    assert len([r for r in replicate_emulator.requests if r.server == "stream"]) == 2


async def test_polling_goes_on_behind_the_text_of_a_broken_stream(
    client: Client, replicate_emulator: Emulator
) -> None:
    words = [f" w{i}" for i in range(30)]
    replicate_emulator.reply = Reply(words, delays=[0.0] * 10 + [0.35] * 20)
    replicate_emulator.fault(Fault(on="stream", cut_after=200))
    replicate_emulator.fault(Fault(on="stream", status=404), times=None)
    completion = await client.complete(replicate_emulator.model, "Hi")
    assert completion.text == "".join(words)


async def test_the_deadline_bounds_an_answer_that_is_polled_and_grows_all_the_time(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply([" w"] * 1000, delays=[0.02] * 1000)
    replicate_emulator.fault(Fault(on="stream", status=404), times=None)
    with pytest.raises(ReplicateTimeoutError, match=r"deadline of 0\.5 s") as caught:
        await make_client(deadline=0.5).complete(replicate_emulator.model, "Hi")
    # By the client: the service cancels after 5 seconds at the earliest.
    assert replicate_emulator.cancels == [caught.value.prediction_id]


async def test_the_time_out_of_a_stream_that_brings_nothing_cancels_the_prediction(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.boot_time = 60.0
    replicate_emulator.fault(Fault(on="stream", cut_after=6), times=None)
    with pytest.raises(ReplicateTimeoutError, match="the first token") as caught:
        await make_client(timeout=6.0).complete(replicate_emulator.model, "Hi")
    assert replicate_emulator.cancels == [caught.value.prediction_id]


async def test_endless_logs_are_no_answer(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.02
    replicate_emulator.reply = [Event("logs", "loading")] * 2000
    with pytest.raises(ReplicateTimeoutError, match="the first token"):
        await make_client(timeout=0.5).complete(replicate_emulator.model, "Hi")
    await replicate_emulator.wait_for_async(lambda e: len(e.cancels) == 1)


async def test_a_loop_that_was_blocked_is_no_silent_server(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.2
    replicate_emulator.reply = [str(i) for i in range(10)]
    blocked = []
    async with make_client(timeout=0.6).stream(replicate_emulator.model, "Hi") as events:
        texts = []
        async for event in events:
            if isinstance(event, TextDelta):
                texts.append(event.text)
                if event.text == "2":  # while the next token is awaited
                    asyncio.get_running_loop().call_later(0.01, time.sleep, 1.0)
                    blocked.append(len([r for r in replicate_emulator.requests if r.kind == "get"]))
    assert "".join(texts) == "0123456789"
    # The stream went on, without a look at the record.
    assert len([r for r in replicate_emulator.requests if r.kind == "get"]) == blocked[0] + 1


async def test_a_response_that_arrived_while_the_loop_was_blocked_is_read(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    client = make_client(timeout=0.6, max_retries=0)
    await client.prepare(replicate_emulator.model, "Hi")
    replicate_emulator.fault(Fault(on="create", delay=0.3))
    asyncio.get_running_loop().call_later(0.1, time.sleep, 1.0)
    assert (await client.complete(replicate_emulator.model, "Hi")).text
    assert len(replicate_emulator.predictions) == 1


async def test_a_silence_is_a_time_out_only_if_the_record_shows_no_end(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = WORDS
    replicate_emulator.fault(Fault(on="stream", stall_after=60))
    completion = await make_client(timeout=0.3).complete(replicate_emulator.model, "Hi")
    assert completion.text == WHOLE


async def test_a_stream_that_the_server_closes_when_idle_is_resumed(
    make_client: type[Client],
) -> None:
    async with Emulator(idle_timeout=0.1, boot_time=0.7) as emulator:
        emulator.reply = WORDS
        client = make_client(api_key=emulator.token, base_url=emulator.base_url)
        completion = await client.complete(emulator.model, "Hi")
        assert completion.text == WHOLE
        assert len([r for r in emulator.requests if r.server == "stream"]) > 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="stream", status=500, body="<html>"),
        Fault(on="stream", status=404, body={"detail": "Not found."}),
        Fault(on="stream", content_type="text/html"),
        Fault(on="stream", drop=True),
        Fault(on="stream", garbage=b"HTTP/1.1 200 OK\r\n\r\n\x00\xff garbage"),
        Fault(on="stream", garbage=b"\x00\xff not even http"),
    ],
    ids=["500", "404", "html", "dropped", "garbage body", "garbage"],
)
async def test_the_record_replaces_a_stream_that_cannot_be_read(
    client: Client, replicate_emulator: Emulator, fault: Fault
) -> None:
    replicate_emulator.reply = WORDS
    replicate_emulator.fault(fault, times=2)
    assert (await client.complete(replicate_emulator.model, "Hi")).text == WHOLE


async def test_the_record_replaces_a_stream_that_stalls(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = WORDS
    replicate_emulator.fault(Fault(on="stream", stall_after=60))
    assert (await client.complete(replicate_emulator.model, "Hi")).text == WHOLE


async def test_the_time_out_before_the_first_token_names_it(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.boot_time = 30.0
    client = make_client(timeout=0.4)
    with pytest.raises(ReplicateTimeoutError, match="the first token") as caught:
        await client.complete(replicate_emulator.model, "Hi")
    assert (caught.value.waited_for, caught.value.seconds) == ("the first token", 0.4)
    assert "starting" in str(caught.value)
    await replicate_emulator.wait_for_async(lambda e: e.cancels == [caught.value.prediction_id])


async def test_the_time_out_between_tokens_names_the_next_one(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(tokens=["one", "two"], delays=[0.0, 30.0])
    with pytest.raises(ReplicateTimeoutError, match="the next token"):
        await make_client(timeout=0.4).complete(replicate_emulator.model, "Hi")


async def test_an_answer_may_last_longer_than_the_idle_time_out(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.1
    replicate_emulator.reply = [str(i) for i in range(12)]
    completion = await make_client(timeout=0.6).complete(replicate_emulator.model, "Hi")
    assert completion.text == "01234567891011"


async def test_a_slow_consumer_causes_no_time_out(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.05
    replicate_emulator.reply = [str(i) for i in range(10)]
    read = []
    async with make_client(timeout=0.3).stream(replicate_emulator.model, "Hi") as events:
        async for event in events:
            if isinstance(event, TextDelta):
                read.append(event.text)
                if event.text == "3":
                    await wait(0.7)
    assert "".join(read) == "0123456789"


async def test_a_silence_behind_a_slow_consumer_is_a_time_out(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(tokens=["one", "two"], delays=[0.0, 30.0])
    async with make_client(timeout=0.3).stream(replicate_emulator.model, "Hi") as events:
        with pytest.raises(ReplicateTimeoutError, match="the next token"):
            async for event in events:
                if isinstance(event, TextDelta):
                    await wait(0.7)


async def wait(seconds: float) -> None:
    """Let time pass, as a consumer at work does: that is what the test is about."""
    await asyncio.wait({asyncio.ensure_future(asyncio.Event().wait())}, timeout=seconds)


async def test_the_status_is_polled_while_the_stream_is_idle(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(tokens=["one"], delays=[3.0])
    async with client.stream(replicate_emulator.model, "Hi") as events:
        statuses = [
            (event.status, len([r for r in replicate_emulator.requests if r.method == "GET"]))
            async for event in events
            if isinstance(event, StatusChanged)
        ]
    # "processing" comes before the first token, because the record was fetched.
    assert [status for status, _ in statuses] == ["starting", "processing"]
    assert statuses[1][1] > 2


async def test_the_deadline_is_sent_and_enforced(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.05
    replicate_emulator.reply = ["x"] * 400
    with pytest.raises(ReplicateTimeoutError, match=r"deadline of 0\.5 s"):
        await make_client(deadline=0.5).complete(replicate_emulator.model, "Hi")
    (create,) = [r for r in replicate_emulator.requests if r.path.endswith("/predictions")]
    assert create.headers["cancel-after"] == "5s"
    await replicate_emulator.wait_for_async(lambda e: len(e.cancels) == 1)


async def test_a_failed_prediction_raises_the_error_of_its_record(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(tokens=["a"], error="E1001: out of memory", status="failed")
    async with client.stream(replicate_emulator.model, "Hi") as events:
        with pytest.raises(PredictionFailedError, match="E1001: out of memory") as caught:
            assert [event.text async for event in events if isinstance(event, TextDelta)]
    assert caught.value.error == "E1001: out of memory"
    assert caught.value.prediction_id == events.prediction.id
    assert replicate_emulator.cancels == []


async def test_a_prediction_canceled_by_another_client_raises(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(tokens=["a"], status="canceled")
    with pytest.raises(PredictionCanceledError) as caught:
        await client.complete(replicate_emulator.model, "Hi")
    assert caught.value.status == "canceled"


async def test_a_model_without_a_stream_is_polled(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(
        "some/plain",
        {"type": "object", "properties": {"prompt": {"type": "string"}}},
        output_schema={"type": "string", "title": "Output"},
        official=True,
    )
    replicate_emulator.reply = Reply(tokens=["all", " at once"], output="all at once")
    completion = await client.complete("some/plain", "Hi")
    assert completion.text == "all at once"
    assert [r for r in replicate_emulator.requests if r.server == "stream"] == []


def test_a_polled_record_is_fetched_often_first_and_seldom_later() -> None:
    waits = list(islice(prediction_run.iterate_poll_intervals(), 8))
    assert waits == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]


async def test_a_polled_record_that_is_gone_is_no_unknown_model(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(
        "some/plain", output_schema={"type": "string", "title": "Output"}, official=True
    )
    replicate_emulator.fault(Fault(on="get", status=404), times=None)
    with pytest.raises(StreamInterruptedError, match="its record is gone") as caught:
        await client.complete("some/plain", "Hi")
    assert caught.value.prediction_id == next(iter(replicate_emulator.predictions))


async def test_the_first_of_several_alternatives_is_the_answer_and_the_record_has_all(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(
        "some/choices",
        {"type": "object", "properties": {"prompt": {"type": "string"}}},
        output_schema={"type": "array", "items": {"type": "string"}, "title": "Output"},
        official=True,
    )
    replicate_emulator.reply = ["one answer", "another answer"]
    completion = await client.complete("some/choices", "Hi")
    assert completion.text == "one answer"
    assert completion.prediction.output == ["one answer", "another answer"]


async def test_a_stop_sequence_ends_the_answer_and_cancels_the_prediction(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.01
    replicate_emulator.reply = ["one", " tw", "o ST", "OP", " three", *["more"] * 400]
    completion = await client.complete(replicate_emulator.model, "Hi", stop=["STOP"])
    assert (completion.text, completion.finish_reason) == ("one two ", "stop")
    assert len(replicate_emulator.cancels) == 1
    assert completion.prediction.status == "canceled"


async def test_the_start_of_a_stop_sequence_is_delivered_if_it_does_not_go_on(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["one ST", "OR"]
    completion = await client.complete(replicate_emulator.model, "Hi", stop="STOP")
    assert completion.text == "one STOR"
    replicate_emulator.reply = ["one ST"]
    assert (await client.complete(replicate_emulator.model, "Hi", stop="STOP")).text == "one ST"


async def test_invalid_input_is_refused_before_a_prediction_is_created(
    client: Client, replicate_emulator: Emulator
) -> None:
    with pytest.raises(InvalidInputError, match="messages"):
        await client.complete(replicate_emulator.model, [])
    with pytest.raises(InvalidInputError, match="model"):
        await client.complete("not a model", "Hi")
    assert replicate_emulator.predictions == {}

"""Whatever breaks, the text is whole and comes once, or there is an error. Never short text."""

from __future__ import annotations

import asyncio

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
from replicate_stream.testing import Emulator, Fault, Reply

WORDS = ["", "one", " two", "\n", "\n", " th\nree", " é😀", " end"]
WHOLE = "".join(WORDS)


async def body_length(client: Client, emulator: Emulator) -> int:
    """How long the stream of WORDS is up to its end."""
    await client.complete(emulator.model, "Hi")
    body = "".join(
        f"event: output\nid: 1234567890:{i}\n"
        + "".join(f"data: {line}\n" for line in word.split("\n"))
        + "\n"
        for i, word in enumerate(WORDS)
    )
    return len((": hi\n\n" + body + "event: done\nid: 1234567890:8\ndata: {}\n\n").encode())


@pytest.mark.parametrize("reset", [False, True], ids=["clean", "reset"])
async def test_a_stream_cut_at_any_byte_still_gives_the_whole_text_once(
    client: Client, replicate_emulator: Emulator, reset: bool
) -> None:
    replicate_emulator.reply = WORDS
    for position in range(await body_length(client, replicate_emulator)):
        replicate_emulator.fault(Fault(on="stream", cut_after=position, reset=reset))
        completion = await client.complete(replicate_emulator.model, "Hi")
        assert (position, completion.text) == (position, WHOLE)
    assert replicate_emulator.cancels == []


@pytest.mark.parametrize("reset", [False, True], ids=["clean", "reset"])
async def test_a_running_stream_cut_at_any_token_goes_on_where_it_broke(
    client: Client, replicate_emulator: Emulator, reset: bool
) -> None:
    replicate_emulator.behaviour.token_delay = 0.005
    words = [f" w{i}" for i in range(12)]
    replicate_emulator.reply = words
    for position in range(0, 420, 30):
        replicate_emulator.fault(Fault(on="stream", cut_after=position, reset=reset))
        completion = await client.complete(replicate_emulator.model, "Hi")
        assert (position, completion.text) == (position, "".join(words))


async def test_a_resumed_stream_says_which_event_it_had_last(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.02
    replicate_emulator.reply = [f" w{i}" for i in range(12)]
    replicate_emulator.fault(Fault(on="stream", cut_after=200))
    await client.complete(replicate_emulator.model, "Hi")
    first, second = [r for r in replicate_emulator.requests if r.server == "stream"]
    assert "last-event-id" not in first.headers
    assert second.headers["last-event-id"].split(":")[0].isdigit()


async def test_several_cuts_in_one_answer_are_all_mended(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.01
    words = [f" w{i}" for i in range(20)]
    replicate_emulator.reply = words
    replicate_emulator.fault(Fault(on="stream", cut_after=120), times=6)
    completion = await client.complete(replicate_emulator.model, "Hi")
    assert completion.text == "".join(words)


@pytest.mark.parametrize("position", range(0, 420, 45))
async def test_without_a_replay_a_cut_is_an_error_or_the_whole_text_but_never_a_short_one(
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


async def test_a_stream_that_breaks_off_again_and_again_is_an_error_that_counts_the_text(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 10.0
    replicate_emulator.reply = Reply(tokens=["never", " comes"])
    replicate_emulator.fault(Fault(on="stream", cut_after=6), times=50)
    with pytest.raises(StreamInterruptedError, match="0 characters") as caught:
        await client.complete(replicate_emulator.model, "Hi")
    assert caught.value.prediction_id in replicate_emulator.predictions
    await replicate_emulator.wait_for_async(lambda e: len(e.cancels) == 1)


async def test_an_idle_stream_that_the_server_closes_is_taken_up_again(
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
async def test_a_stream_that_cannot_be_read_is_made_up_for_by_the_record(
    client: Client, replicate_emulator: Emulator, fault: Fault
) -> None:
    replicate_emulator.reply = WORDS
    replicate_emulator.fault(fault, times=2)
    assert (await client.complete(replicate_emulator.model, "Hi")).text == WHOLE


async def test_a_stream_that_stalls_is_made_up_for_by_the_record(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = WORDS
    replicate_emulator.fault(Fault(on="stream", stall_after=60))
    assert (await client.complete(replicate_emulator.model, "Hi")).text == WHOLE


async def test_a_silent_model_ends_in_a_time_out_that_says_what_was_waited_for(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.boot_time = 30.0
    client = make_client(timeout=0.4)
    with pytest.raises(ReplicateTimeoutError, match="the first token") as caught:
        await client.complete(replicate_emulator.model, "Hi")
    assert (caught.value.waited_for, caught.value.seconds) == ("the first token", 0.4)
    assert "starting" in str(caught.value)
    await replicate_emulator.wait_for_async(lambda e: e.cancels == [caught.value.prediction_id])


async def test_a_silence_between_tokens_says_that_the_next_one_was_waited_for(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(tokens=["one", "two"], delays=[0.0, 30.0])
    with pytest.raises(ReplicateTimeoutError, match="the next token"):
        await make_client(timeout=0.4).complete(replicate_emulator.model, "Hi")


async def test_a_time_out_is_about_silence_and_not_about_length(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.1
    replicate_emulator.reply = [str(i) for i in range(12)]
    completion = await make_client(timeout=0.6).complete(replicate_emulator.model, "Hi")
    assert completion.text == "01234567891011"


async def test_a_consumer_that_takes_its_time_is_not_a_silence(
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
                    await _pause(0.7)
    assert "".join(read) == "0123456789"


async def _pause(seconds: float) -> None:
    """The consumer at work: the behaviour under test is that time passes here."""
    await asyncio.wait({asyncio.ensure_future(asyncio.Event().wait())}, timeout=seconds)


async def test_a_silent_model_is_asked_after_and_its_status_is_told(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(tokens=["one"], delays=[3.0])
    async with client.stream(replicate_emulator.model, "Hi") as events:
        told = [
            (event.status, len([r for r in replicate_emulator.requests if r.method == "GET"]))
            async for event in events
            if isinstance(event, StatusChanged)
        ]
    # "processing" is told before the first token, and because the record was asked.
    assert [status for status, _ in told] == ["starting", "processing"]
    assert told[1][1] > 2


async def test_the_deadline_is_sent_and_kept(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.05
    replicate_emulator.reply = ["x"] * 400
    with pytest.raises(ReplicateTimeoutError, match=r"deadline of 0\.5 s"):
        await make_client(deadline=0.5).complete(replicate_emulator.model, "Hi")
    (create,) = [r for r in replicate_emulator.requests if r.path.endswith("/predictions")]
    assert create.headers["cancel-after"] == "5s"
    await replicate_emulator.wait_for_async(lambda e: len(e.cancels) == 1)


async def test_a_failed_prediction_raises_its_own_error(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(tokens=["a"], error="E1001: out of memory", status="failed")
    async with client.stream(replicate_emulator.model, "Hi") as events:
        with pytest.raises(PredictionFailedError, match="E1001: out of memory") as caught:
            assert [event.text async for event in events if isinstance(event, TextDelta)]
    assert caught.value.error == "E1001: out of memory"
    assert caught.value.prediction_id == events.prediction.id
    assert replicate_emulator.cancels == []


async def test_a_prediction_canceled_by_somebody_else_is_an_error(
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


async def test_of_several_alternatives_the_first_is_the_answer_and_all_can_be_had(
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


async def test_a_stop_sequence_ends_the_answer_exactly_and_cancels_at_once(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.01
    replicate_emulator.reply = ["one", " tw", "o ST", "OP", " three", *["more"] * 400]
    completion = await client.complete(replicate_emulator.model, "Hi", stop=["STOP"])
    assert (completion.text, completion.finish_reason) == ("one two ", "stop")
    assert len(replicate_emulator.cancels) == 1
    assert completion.prediction.status == "canceled"


async def test_what_only_looked_like_a_stop_sequence_is_delivered(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["one ST", "OR"]
    completion = await client.complete(replicate_emulator.model, "Hi", stop="STOP")
    assert completion.text == "one STOR"
    replicate_emulator.reply = ["one ST"]
    assert (await client.complete(replicate_emulator.model, "Hi", stop="STOP")).text == "one ST"


async def test_bad_input_is_refused_before_anything_is_created(
    client: Client, replicate_emulator: Emulator
) -> None:
    with pytest.raises(InvalidInputError, match="messages"):
        await client.complete(replicate_emulator.model, [])
    with pytest.raises(InvalidInputError, match="model"):
        await client.complete("not a model", "Hi")
    assert replicate_emulator.predictions == {}

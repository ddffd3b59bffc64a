"""A prediction that was created before is taken up: its text is whole, once, and its end read."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from replicate_stream import (
    AnswerFormatError,
    Client,
    EventStream,
    Finished,
    InvalidInputError,
    ModelNotFoundError,
    PredictionCanceledError,
    PredictionFailedError,
    ReasoningDelta,
    ReplicateTimeoutError,
    StreamInterruptedError,
    TextDelta,
    ToolCallDelta,
    ToolSpec,
)
from replicate_stream.testing import Emulator, Fault, Reply

TOKENS = ["One,", " two", ",\n", "three", "."]
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
ADD = ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})


def create(emulator: Emulator, model: str = Emulator.model) -> str:
    """Create a prediction as another process does, which is not heard of again."""
    request = urllib.request.Request(
        f"{emulator.base_url}/models/{model}/predictions",
        json.dumps({"input": {"prompt": "Count."}}).encode(),
        {"Authorization": f"Bearer {emulator.token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return str(json.load(response)["id"])


def create_ended(emulator: Emulator, reply: Any) -> str:
    emulator.reply = reply
    prediction_id = create(emulator)
    emulator.wait_for(lambda e: e.predictions[prediction_id].is_terminal)
    return prediction_id


class Gate:
    """A reply that stops after some tokens until the gate is opened."""

    def __init__(self, emulator: Emulator, after: int) -> None:
        self._emulator = emulator
        self._after = after
        self.is_open = threading.Event()

    def __call__(self, values: Mapping[str, Any]) -> Iterator[str]:
        yield from TOKENS[: self._after]
        self.is_open.wait(10)
        yield from TOKENS[self._after :]

    def create(self) -> str:
        self._emulator.reply = self
        prediction_id = create(self._emulator)
        self._emulator.wait_for(
            lambda e: (
                e.predictions[prediction_id].status == "processing"
                and len(e.predictions[prediction_id].tokens) == self._after
            )
        )
        return prediction_id


@pytest.fixture
def make_gate(replicate_emulator: Emulator) -> Iterator[Callable[[int], Gate]]:
    gates: list[Gate] = []

    def make(after: int) -> Gate:
        gates.append(Gate(replicate_emulator, after))
        return gates[-1]

    yield make
    for gate in gates:
        gate.is_open.set()


async def read(stream: EventStream) -> str:
    return "".join([event.text async for event in stream if isinstance(event, TextDelta)])


@pytest.mark.parametrize("is_shown", [True, False], ids=["record shows", "record lags"])
@pytest.mark.parametrize("after", range(len(TOKENS) + 1))
async def test_the_text_before_the_take_up_is_delivered_once_and_whole(
    client: Client, replicate_emulator: Emulator, make_gate: Any, after: int, is_shown: bool
) -> None:
    gate = make_gate(after)
    prediction_id = gate.create()
    if not is_shown:
        # A record that lags has no output yet, although the stream has.
        record = {"id": prediction_id, "status": "starting", "model": replicate_emulator.model}
        stream_id = replicate_emulator.predictions[prediction_id].stream_id
        stream = f"{replicate_emulator.stream_origin}/v1/streams/{stream_id}"
        replicate_emulator.fault(Fault("get", body={**record, "urls": {"stream": stream}}))
    texts = []
    async with client.resume(prediction_id) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                texts.append(event.text)
            if len("".join(texts)) == len("".join(TOKENS[:after])):
                gate.is_open.set()
    assert "".join(texts) == "".join(TOKENS)
    assert isinstance(event, Finished)
    assert event.prediction.id == prediction_id
    assert event.usage is not None
    assert replicate_emulator.cancels == []


async def open_once(gate: Gate, emulator: Emulator, stream_count: int) -> None:
    """Open a gate once that many connections to event streams were made."""
    await emulator.wait_for_async(
        lambda e: sum(each.kind == "stream" for each in e.requests) == stream_count
    )
    gate.is_open.set()


@pytest.mark.parametrize("after", [1, 3])
async def test_a_server_that_repeats_nothing_is_replaced_by_the_record(
    client: Client, replicate_emulator: Emulator, make_gate: Any, after: int
) -> None:
    replicate_emulator.behaviour.replay = False
    gate = make_gate(after)
    opening = asyncio.create_task(open_once(gate, replicate_emulator, 1))
    async with client.resume(gate.create()) as events:
        assert await read(events) == "".join(TOKENS)
    await opening


async def test_a_cut_while_known_text_is_repeated_loses_and_doubles_nothing(
    client: Client, replicate_emulator: Emulator, make_gate: Any
) -> None:
    gate = make_gate(4)
    prediction_id = gate.create()
    # The cut comes after the second of the four events that the record's text has, too.
    replicate_emulator.fault(Fault("stream", cut_after=110))
    opening = asyncio.create_task(open_once(gate, replicate_emulator, 2))
    async with client.resume(prediction_id) as events:
        assert await read(events) == "".join(TOKENS)
    await opening


def write_stream(tokens: list[str]) -> str:
    """The body of a stream that has these tokens, and ends as if they were all."""
    data = [token.replace("\n", "\ndata: ") for token in tokens]
    outputs = [f"event: output\nid: {at}:0\ndata: {each}\n\n" for at, each in enumerate(data, 1)]
    return "".join(outputs) + "event: done\ndata: {}\n\n"


@pytest.mark.parametrize(
    ("lost", "is_whole"),
    [(slice(0, 1), False), (slice(2, 3), False), (slice(4, 5), True), (slice(0, 5), True)],
    ids=["the first", "a middle one", "the last", "all"],
)
@pytest.mark.parametrize("surface", ["resume", "batch"])
async def test_a_stream_that_lost_tokens_is_no_whole_answer(
    client: Client,
    replicate_emulator: Emulator,
    make_gate: Any,
    surface: str,
    lost: slice,
    is_whole: bool,
) -> None:
    left = [token for token in TOKENS if token not in TOKENS[lost]]
    body = write_stream(left)
    replicate_emulator.fault(Fault("stream", body=body, content_type="text/event-stream"))
    gate = make_gate(0)
    opening = asyncio.create_task(open_once(gate, replicate_emulator, 1))
    if surface == "resume":
        answering = read(client.resume(gate.create()))
    else:
        replicate_emulator.reply = gate
        answering = read_batch(client)
    if is_whole:
        assert await answering == "".join(TOKENS)
    else:
        with pytest.raises(StreamInterruptedError):
            await answering
    await opening
    assert len(replicate_emulator.predictions) == 1


async def read_batch(client: Client) -> str:
    async for result in client.batch(Emulator.model, [("a", "Count.")]):
        if result.error is not None:
            raise result.error
        assert result.completion is not None
        return result.completion.text
    raise AssertionError


async def test_an_answer_that_has_ended_is_read_from_its_record(
    client: Client, replicate_emulator: Emulator
) -> None:
    prediction_id = create_ended(replicate_emulator, ["a\r\n", "b"])
    stream = client.resume(prediction_id)
    assert isinstance(stream, EventStream)
    assert (stream.prediction.id, stream.usage) == (prediction_id, None)
    assert await read(stream) == "a\r\nb"
    assert stream.usage is not None
    assert stream.usage.output_tokens == 2
    assert stream.prediction.status == "succeeded"
    assert [each.kind for each in replicate_emulator.requests].count("stream") == 0
    assert replicate_emulator.cancels == []


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(["a"], error="out of memory"), PredictionFailedError),
        (Reply(["a"], status="canceled"), PredictionCanceledError),
        (Reply(["a"], status="aborted"), PredictionCanceledError),
    ],
    ids=["failed", "canceled", "aborted"],
)
async def test_a_prediction_that_did_not_succeed_raises_its_error(
    client: Client, replicate_emulator: Emulator, reply: Reply, error: type[Exception]
) -> None:
    prediction_id = create_ended(replicate_emulator, reply)
    with pytest.raises(error, match=prediction_id):
        await read(client.resume(prediction_id))


async def test_an_answer_whose_text_was_removed_is_an_error_and_not_an_empty_answer(
    client: Client, replicate_emulator: Emulator
) -> None:
    prediction_id = create_ended(replicate_emulator, TOKENS)
    replicate_emulator.expire(prediction_id)
    with pytest.raises(StreamInterruptedError, match="no output any more"):
        await read(client.resume(prediction_id))


async def test_an_unknown_prediction_is_not_found(client: Client) -> None:
    with pytest.raises(ModelNotFoundError):
        async with client.resume("x" * 26):
            pass


@pytest.mark.parametrize("prediction_id", ["", "../models/a/b", "a b", None])
def test_a_wrong_id_is_refused_at_once(prediction_id: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Client("r8_x").resume(prediction_id)
    assert caught.value.fields == ("prediction_id",)


async def test_calls_stops_formats_and_thoughts_are_read_as_in_the_request(
    client: Client, replicate_emulator: Emulator
) -> None:
    prediction_id = create_ended(replicate_emulator, f"So: {CALL}")
    events = [event async for event in client.resume(prediction_id, tools=[ADD])]
    calls = [event for event in events if isinstance(event, ToolCallDelta)]
    assert json.loads("".join(call.arguments for call in calls)) == {"a": 1}
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "tool_calls"
    assert "<tool_call>" in await read(client.resume(prediction_id))

    prediction_id = create_ended(replicate_emulator, "One, END two")
    assert await read(client.resume(prediction_id, stop="END")) == "One, "

    prediction_id = create_ended(replicate_emulator, "<think>Hm.</think>Yes.")
    events = [event async for event in client.resume(prediction_id)]
    assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == "Hm."
    assert "".join(e.text for e in events if isinstance(e, TextDelta)).strip() == "Yes."

    prediction_id = create_ended(replicate_emulator, 'Here: ```json\n{"a": 1}\n```')
    answer = await read(client.resume(prediction_id, response_format={"type": "json_object"}))
    assert json.loads(answer) == {"a": 1}


async def test_a_wrong_answer_is_an_error_and_is_not_asked_for_again(
    client: Client, replicate_emulator: Emulator
) -> None:
    prediction_id = create_ended(replicate_emulator, "No JSON.")
    with pytest.raises(AnswerFormatError):
        await read(client.resume(prediction_id, response_format={"type": "json_object"}))
    assert len(replicate_emulator.predictions) == 1


async def test_the_model_of_the_record_decides_how_the_output_is_read(
    client: Client, replicate_emulator: Emulator
) -> None:
    alternatives = {"type": "array", "items": {"type": "string"}}
    replicate_emulator.add_model("some/sampler", output_schema=alternatives, official=True)
    replicate_emulator.reply = Reply(output=["first", "second"])
    prediction_id = create(replicate_emulator, "some/sampler")
    assert await read(client.resume(prediction_id)) == "first"
    # The record of an official model may name another one (docs/replicate-api.md 2.4).
    assert await read(client.resume(prediction_id, model=Emulator.model)) == "firstsecond"


@pytest.mark.parametrize("is_left", ["break", "error", "close"])
@pytest.mark.parametrize("cancels", [True, False])
async def test_leaving_it_cancels_the_prediction_unless_it_is_to_run_on(
    client: Client, replicate_emulator: Emulator, make_gate: Any, is_left: str, cancels: bool
) -> None:
    gate = make_gate(2)
    prediction_id = gate.create()
    stream = client.resume(prediction_id, cancel_on_exit=cancels)
    if is_left == "close":
        async with aclosing(stream) as events:
            await anext(events)
    else:
        try:
            async with stream as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        break
                if is_left == "error":
                    raise LookupError
        except LookupError:
            pass
    assert replicate_emulator.cancels == ([prediction_id] if cancels else [])
    gate.is_open.set()


async def test_a_stream_that_was_never_entered_does_nothing(
    client: Client, replicate_emulator: Emulator, make_gate: Any
) -> None:
    stream = client.resume(make_gate(1).create())
    await stream.aclose()
    stream.abandon()
    assert [each.kind for each in replicate_emulator.requests] == ["create"]


async def test_the_deadline_counts_from_the_take_up_and_cancels(
    make_client: Any, make_gate: Any, replicate_emulator: Emulator
) -> None:
    prediction_id = make_gate(1).create()
    with pytest.raises(ReplicateTimeoutError, match=r"deadline of 0\.2 s"):
        await read(make_client(deadline=0.2).resume(prediction_id))
    await replicate_emulator.wait_for_async(lambda e: e.cancels == [prediction_id])


async def test_a_record_without_a_model_needs_its_name(
    client: Client, replicate_emulator: Emulator
) -> None:
    prediction_id = create_ended(replicate_emulator, TOKENS)
    record = {"id": prediction_id, "status": "succeeded", "output": TOKENS, "version": "hidden"}
    replicate_emulator.fault(Fault("get", body=record), times=2)
    with pytest.raises(InvalidInputError, match="pass model="):
        await read(client.resume(prediction_id))
    resumed = client.resume(prediction_id, model=replicate_emulator.model)
    assert await read(resumed) == "".join(TOKENS)

"""Scripts of all kinds, and the tokens and events that they produce."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from replicate_stream.testing import Emulator, Event, Reply

Fixture = Callable[..., Any]
STREAM = {"Accept": "text/event-stream"}


def generate(_: dict[str, Any]) -> Iterator[str]:
    yield from ("one ", "two")


async def generate_async(_: dict[str, Any]) -> AsyncIterator[str]:
    yield "one "
    yield "two"


async def answer_async(_: dict[str, Any]) -> str:
    return "one two"


@pytest.mark.parametrize(
    "reply",
    [
        ["one ", "two"],
        "one two",
        generate,
        generate_async,
        answer_async,
        lambda _: ["one ", "two"],
        lambda _: "one two",
        lambda _: Reply(["one ", "two"]),
        Reply(["one ", "two"]),
        Reply(generate({})),
    ],
    ids=[
        "a list",
        "a text",
        "a generator function",
        "an async generator function",
        "an async function",
        "a function that returns a list",
        "a function that returns a text",
        "a function that returns a Reply",
        "a Reply",
        "a Reply of an iterator",
    ],
)
def test_a_reply_can_be(reply: Any, run_prediction: Fixture, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = reply
    record = run_prediction()
    assert record["status"] == "succeeded"
    assert "".join(record["output"]) == "one two"


def test_a_function_receives_the_input(
    run_prediction: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = lambda input_: [input_["prompt"].upper()]
    assert run_prediction("hello")["output"] == ["HELLO"]


def test_a_blocking_function_does_not_block_other_predictions(
    create: Fixture, run_prediction: Fixture, replicate_emulator: Emulator
) -> None:
    release = threading.Event()

    def block(_: dict[str, Any]) -> Iterator[str]:
        yield "at last" if release.wait(10) else "given up"

    replicate_emulator.enqueue(block)
    replicate_emulator.enqueue(["at once"])
    first = create()
    assert run_prediction()["output"] == ["at once"]
    release.set()
    replicate_emulator.wait_for(lambda e: e.predictions[first["id"]].is_terminal)
    assert replicate_emulator.predictions[first["id"]].tokens == ["at last"]


def test_a_blocking_iterator_does_not_block_other_predictions(
    create: Fixture, run_prediction: Fixture, replicate_emulator: Emulator
) -> None:
    release = threading.Event()
    replicate_emulator.enqueue(str(release.wait(10)) for _ in range(1))
    first = create()
    assert run_prediction()["status"] == "succeeded"
    release.set()
    replicate_emulator.wait_for(lambda e: e.predictions[first["id"]].is_terminal)


def test_an_exception_of_the_function_fails_the_prediction(
    run_prediction: Fixture, replicate_emulator: Emulator
) -> None:
    def fail(_: dict[str, Any]) -> Iterator[str]:
        yield "so far"
        raise RuntimeError("CUDA out of memory")

    replicate_emulator.reply = fail
    record = run_prediction()
    assert (record["status"], record["error"]) == ("failed", "CUDA out of memory")
    assert record["output"] == ["so far"]


@pytest.mark.parametrize(
    "end", ["<|eot_id|>\nassistant", "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"]
)
def test_the_default_reply_names_itself_scripted_and_repeats_the_last_words(
    run_prediction: Fixture, end: str
) -> None:
    prompt = f"<|start_header_id|>user<|end_header_id|>\n\nWhy is the sky blue?{end}"
    output = "".join(run_prediction(prompt)["output"])
    assert output.startswith("You asked: Why is the sky blue?\n\n")
    assert "scripted" in output


def test_enqueued_replies_are_used_first_and_in_order(
    run_prediction: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["always"]
    assert replicate_emulator.reply == ["always"]
    replicate_emulator.enqueue(["first"])
    replicate_emulator.enqueue(["second"])
    outputs = [run_prediction()["output"] for _ in range(3)]
    assert outputs == [["first"], ["second"], ["always"]]


def test_a_prediction_runs_without_a_reader_of_its_stream(
    run_prediction: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["a", "b"]
    assert run_prediction()["output"] == ["a", "b"]
    assert not [r for r in replicate_emulator.requests if r.kind == "stream"]


@pytest.mark.parametrize("is_async", [False, True], ids=["in a thread", "async"])
def test_canceling_closes_the_function_at_its_current_token(
    is_async: bool, send: Fixture, create: Fixture, replicate_emulator: Emulator
) -> None:
    closed = threading.Event()

    def endless(_: dict[str, Any]) -> Iterator[str]:
        try:
            while True:
                yield "on "
        finally:
            closed.set()

    async def endless_async(_: dict[str, Any]) -> AsyncIterator[str]:
        try:
            while True:
                yield "on "
        finally:
            closed.set()

    replicate_emulator.behaviour.token_delay = 0.001
    replicate_emulator.reply = endless_async if is_async else endless
    prediction = create()
    replicate_emulator.wait_for(lambda e: len(e.predictions[prediction["id"]].tokens) > 3)
    reply = send("POST", prediction["urls"]["cancel"])
    assert (reply.status, reply.json["status"]) == (200, "canceled")
    assert closed.wait(5)
    tokens = replicate_emulator.predictions[prediction["id"]].tokens
    assert tokens == send("GET", prediction["urls"]["get"]).json["output"]


def test_a_script_can_send_other_events_than_output(
    send: Fixture, create: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.idle_timeout = 0.05
    replicate_emulator.reply = [Event("logs", "loading weights"), "hi"]
    prediction = create()
    body = send("GET", prediction["urls"]["stream"], headers=STREAM).body.decode()
    assert body.index("event: logs\n") < body.index("event: output\n") < body.index("event: done\n")
    assert send("GET", prediction["urls"]["get"]).json["output"] == ["hi"]

"""The record of a prediction, from its start to its expiry (docs/replicate-api.md 2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from replicate_stream.testing import Emulator, Reply

Fixture = Callable[..., Any]

PROMPT = {"input": {"prompt": "Hi"}}
STREAM = {"Accept": "text/event-stream"}


def test_a_record_gains_fields_from_start_to_end(
    send: Fixture, create: Fixture, get_final_record: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.boot_time = 0.2

    def reply(_: dict[str, Any]) -> Iterator[str]:
        yield "half"
        replicate_emulator.wait_for(lambda e: [r.kind for r in e.requests].count("get") >= 2)
        yield "half"

    replicate_emulator.reply = reply
    prediction = create()
    booting = send("GET", prediction["urls"]["get"]).json
    assert booting["status"] == "starting"
    assert {"output", "metrics", "started_at", "completed_at"}.isdisjoint(booting)
    replicate_emulator.wait_for(lambda e: e.predictions[prediction["id"]].tokens)
    working = send("GET", prediction["urls"]["get"]).json
    assert (working["status"], working["output"]) == ("processing", ["half"])
    assert "metrics" not in working
    final = get_final_record(prediction)
    assert (final["status"], final["output"]) == ("succeeded", ["half", "half"])
    assert final["created_at"] <= final["started_at"] <= final["completed_at"]
    assert final["metrics"]["total_time"] >= final["metrics"]["predict_time"] > 0
    assert final["error"] is None


def test_a_record_can_lag_behind_the_end(
    create: Fixture, get_final_record: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.finish_lag = 2
    replicate_emulator.reply = ["all", " of it"]
    prediction = create()
    records = [get_final_record(prediction) for _ in range(3)]
    assert [record["status"] for record in records] == ["processing", "processing", "succeeded"]
    assert [record["output"] for record in records] == [["all", " of it"]] * 3
    assert ["metrics" in record for record in records] == [False, False, True]
    assert ["completed_at" in record for record in records] == [False, False, True]


def test_times_have_two_to_nine_fraction_digits(create: Fixture) -> None:
    times = [create()["created_at"] for _ in range(9)]
    pattern = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d+)Z")
    digits = [len(match[1]) for stamp in times if (match := pattern.fullmatch(stamp))]
    assert digits == [2, 3, 4, 5, 6, 7, 8, 9, 2]


@pytest.mark.parametrize(
    ("count_name", "counts"),
    [
        ("input_token_count", {"input_token_count": 2, "output_token_count": 3}),
        ("token_input_count", {"token_input_count": 2, "token_output_count": 3}),
        (None, {}),
    ],
)
def test_token_counts_have_either_name_or_are_absent(
    count_name: Any,
    counts: dict[str, int],
    create: Fixture,
    get_final_record: Fixture,
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.reply = Reply(["", "a", "b", "c"], token_counts=count_name)
    prediction = create("two words")
    metrics = get_final_record(prediction)["metrics"]
    assert {k: v for k, v in metrics.items() if "count" in k} == counts


def test_a_reply_sets_fields_of_the_record(
    create: Fixture, get_final_record: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(
        ["x"],
        logs="Input token count: 5\n",
        metrics={"predict_time": 7.5, "own": 1},
        output={"any": ["json"]},
        model="replicate/lifeboat-70b",
        version="dp-1",
    )
    prediction = create()
    assert (prediction["model"], prediction["version"]) == ("replicate/lifeboat-70b", "dp-1")
    record = get_final_record(prediction)
    assert record["output"] == {"any": ["json"]}
    assert record["logs"] == "Input token count: 5\n"
    assert (record["metrics"]["predict_time"], record["metrics"]["own"]) == (7.5, 1)


@pytest.mark.parametrize("status", ["failed", "canceled", "aborted"])
def test_a_prediction_can_end_without_success(
    status: Any, create: Fixture, get_final_record: Fixture, replicate_emulator: Emulator
) -> None:
    error = "E1001" if status == "failed" else None
    replicate_emulator.reply = Reply([], status=status, error=error)
    record = get_final_record(create())
    assert (record["status"], record["error"], record["output"]) == (status, error, None)
    assert "input_token_count" not in record["metrics"]


def test_a_canceled_record_matches_the_recording(
    send: Fixture, create: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.boot_time = 60.0
    prediction = create()
    record = send("POST", prediction["urls"]["cancel"]).json
    assert (record["status"], record["output"], record["logs"]) == ("canceled", None, None)
    assert record["completed_at"]
    assert record["metrics"]["predict_time"] < record["metrics"]["total_time"]


def test_the_output_of_a_model_that_is_not_an_iterator_appears_at_the_end(
    emulator_with_models: Emulator, send: Fixture, get_final_record: Fixture
) -> None:
    def reply(_: dict[str, Any]) -> Iterator[str]:
        yield "https://replicate.delivery/"
        emulator_with_models.wait_for(lambda e: any(r.kind == "get" for r in e.requests))
        yield "cat.png"

    emulator_with_models.reply = reply
    prediction = send("POST", "/models/me/picture/predictions", PROMPT).json
    assert "stream" not in prediction["urls"]
    emulator_with_models.wait_for(lambda e: e.predictions[prediction["id"]].tokens)
    assert "output" not in send("GET", prediction["urls"]["get"]).json
    assert get_final_record(prediction)["output"] == "https://replicate.delivery/cat.png"


def test_file_outputs_can_have_a_stream(send: Fixture, replicate_emulator: Emulator) -> None:
    replicate_emulator.behaviour.idle_timeout = 0.05
    files = {"type": "array", "items": {"type": "string", "format": "uri"}}
    replicate_emulator.add_model("a/b", official=True, output_schema=files, file_stream=True)
    replicate_emulator.reply = ["https://replicate.delivery/1.png"]
    prediction = send("POST", "/models/a/b/predictions", PROMPT).json
    assert prediction["urls"]["stream"].startswith(f"{replicate_emulator.stream_origin}/v1/files/")
    stream = send("GET", prediction["urls"]["stream"], headers=STREAM)
    assert b"data: https://replicate.delivery/1.png\n" in stream.body


def test_an_expired_prediction_keeps_its_record_without_its_data(
    send: Fixture, create: Fixture, get_final_record: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.idle_timeout = 0.05
    prediction = create()
    get_final_record(prediction)
    replicate_emulator.expire(prediction["id"])
    record = send("GET", prediction["urls"]["get"]).json
    assert (record["data_removed"], record["output"], record["input"]) == (True, None, {})
    stream = send("GET", prediction["urls"]["stream"], headers=STREAM)
    assert stream.body == b": hi\n\n:408: 408 Request Timeout\n\n"

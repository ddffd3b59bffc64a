"""A batch answers each request once, whatever fails, and pays for none twice."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import (
    AnswerFormatError,
    BatchRequest,
    BatchResult,
    Client,
    InvalidInputError,
    Journal,
    MissingAuthError,
    PredictionFailedError,
    ReplicateConnectionError,
    ReplicateError,
    ResponseError,
)
from replicate_stream.testing import Emulator, Fault, RateLimit, Reply

MODEL = Emulator.model
KEYS = [f"k{i}" for i in range(6)]
QUESTIONS = {key: f"What is {key}?" for key in KEYS}


def answer(values: Mapping[str, Any]) -> str:
    """An answer that shows which question it is for."""
    return "".join(word for word in str(values["prompt"]).split() if word.startswith("k"))


@pytest.fixture(autouse=True)
def model(replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = answer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


async def run(client: Client, requests: Any = None, **settings: Any) -> dict[Any, BatchResult]:
    requests = QUESTIONS.items() if requests is None else requests
    results = [result async for result in client.batch(MODEL, requests, **settings)]
    by_key = {result.key: result for result in results}
    assert len(by_key) == len(results)
    return by_key


def get_texts(results: Mapping[Any, BatchResult]) -> dict[Any, str]:
    return {key: result.completion.text for key, result in results.items() if result.completion}


ANSWERS = {key: f"{key}?" for key in KEYS}


@pytest.mark.parametrize("concurrency", [None, 1, 3])
@pytest.mark.parametrize("is_async", [True, False])
async def test_each_request_is_answered_under_its_own_key(
    client: Client, is_async: bool, concurrency: int | None
) -> None:
    async def generate() -> AsyncIterator[Any]:
        for item in QUESTIONS.items():
            yield item

    requests = generate() if is_async else iter(QUESTIONS.items())
    results = await run(client, requests, concurrency=concurrency)
    assert get_texts(results) == ANSWERS
    assert all(result.error is None for result in results.values())


async def test_results_come_as_they_end(client: Client, replicate_emulator: Emulator) -> None:
    gate = threading.Event()

    def wait(values: Mapping[str, Any]) -> Iterator[str]:
        if "k0" in values["prompt"]:
            gate.wait(10)
        yield answer(values)

    replicate_emulator.reply = wait
    keys = []
    async for result in client.batch(MODEL, QUESTIONS.items(), concurrency=2):
        keys.append(result.key)
        if len(keys) == len(KEYS) - 1:
            gate.set()
    assert keys == [*KEYS[1:], "k0"]


async def test_no_more_predictions_run_at_once_than_the_concurrency(
    client: Client, replicate_emulator: Emulator
) -> None:
    running = most = 0
    lock = threading.Lock()

    def count(values: Mapping[str, Any]) -> Iterator[str]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        yield answer(values)
        with lock:
            running -= 1

    replicate_emulator.reply = count
    replicate_emulator.behaviour.token_delay = 0.01
    assert get_texts(await run(client, concurrency=2)) == ANSWERS
    assert most == 2


async def test_parameters_of_a_request_win_over_those_of_the_batch(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("other/model", official=True)
    requests: list[Any] = [
        BatchRequest("plain", "Hi"),
        BatchRequest("own", "Hi", {"max_tokens": 7, "seed": 1}),
        {"key": "dict", "messages": "Hi", "model": "other/model", "max_tokens": 9},
    ]
    async for _ in client.batch(MODEL, requests, max_tokens=5, concurrency=1):
        pass
    created = replicate_emulator.predictions.values()
    assert [each.input.get("max_tokens") for each in created] == [5, 7, 9]
    assert [each.input.get("seed") for each in created] == [None, 1, None]
    assert [each.model for each in created] == [MODEL, MODEL, "other/model"]


async def test_failed_requests_are_results_and_end_nothing(
    client: Client, replicate_emulator: Emulator
) -> None:
    def fail(values: Mapping[str, Any]) -> Any:
        return Reply(error="E1001") if "k2" in values["prompt"] else answer(values)

    replicate_emulator.reply = fail
    requests: list[Any] = [
        *QUESTIONS.items(),
        {"key": "misspelt", "messages": "Hi", "max_token": 5},
        {"key": "out of range", "messages": "Hi", "max_tokens": 0},
        {"key": "no model", "messages": "Hi", "model": "none/such"},
        ("k0", "a key that occurs twice"),
    ]
    results: dict[Any, list[BatchResult]] = {}
    async for result in client.batch(MODEL, requests, concurrency=2):
        results.setdefault(result.key, []).append(result)
    errors = {key: each[-1].error for key, each in results.items() if each[-1].error}
    assert errors.keys() == {"k0", "k2", "misspelt", "out of range", "no model"}
    assert isinstance(errors["k2"], PredictionFailedError)
    assert isinstance(errors["k0"], InvalidInputError)
    assert results["k0"][0].completion is not None
    assert "'max_tokens'" in str(errors["misspelt"])
    assert len(replicate_emulator.predictions) == len(KEYS)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"cancel_after": 4}, "cancel_after"),
        ({"cancel_after": None}, "cancel_after"),
        ({"cancel_after": float("inf")}, "cancel_after"),
        ({"journal": 5}, "journal"),
        ({"requests": 5}, "requests"),
        ({"requests": {"sky": "Why is it blue?"}}, "requests"),
        ({"requests": "Why is the sky blue?"}, "requests"),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Client("r8_x").batch(MODEL, **{"requests": [], **arguments})
    assert caught.value.fields == (field,)


def test_a_misspelt_parameter_of_the_batch_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="did you mean 'max_tokens'"):
        Client("r8_x").batch(MODEL, [], max_token=5)


@pytest.mark.parametrize("arguments", [{"max_tokens": 0}, {"model": "no owner"}])
async def test_a_parameter_that_is_wrong_for_all_is_an_error_before_anything_is_paid(
    client: Client, replicate_emulator: Emulator, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError):
        async for _ in client.batch(**{"model": MODEL, **arguments}, requests=QUESTIONS.items()):
            pass
    assert replicate_emulator.requests == []


async def test_an_element_that_is_no_request_ends_the_batch(client: Client) -> None:
    with pytest.raises(InvalidInputError, match="a key with messages"):
        await run(client, ["Why?"])


@pytest.mark.parametrize("status", [401, 402])
async def test_a_client_that_is_refused_altogether_ends_the_batch(
    client: Client, replicate_emulator: Emulator, status: int, path: Path
) -> None:
    replicate_emulator.fault(Fault("create", status=status), times=None)
    with pytest.raises(ResponseError) as caught:
        await run(client, journal=path, concurrency=2)
    assert caught.value.status == status
    replicate_emulator.clear_faults()
    assert get_texts(await run(client, journal=path)) == ANSWERS


async def test_a_missing_token_ends_the_batch(
    replicate_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REPLICATE_API_TOKEN")
    async with Client(base_url=replicate_emulator.base_url) as client:
        with pytest.raises(MissingAuthError):
            await run(client)


async def test_creations_wait_for_the_rate_limit(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.rate_limit = RateLimit(2, 0.2, rounds_down=True)
    assert get_texts(await run(client)) == ANSWERS
    assert len(replicate_emulator.predictions) == len(KEYS)


async def test_every_creation_bounds_what_an_orphan_costs(
    client: Client, make_client: Any, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = "No JSON."
    json_format = {"type": "json_object"}
    results = await run(client, [("a", "Hi")], response_format=json_format, max_repairs=1)
    assert isinstance(results["a"].error, AnswerFormatError)
    await run(client, [("a", "Hi")], cancel_after=30.5)
    await run(make_client(deadline=20), [("a", "Hi")])
    headers = [each.headers["cancel-after"] for each in replicate_emulator.predictions.values()]
    assert headers == ["600s", "600s", "31s", "20s"]


def read_lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def write_lines(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(lines))


class Gate:
    """Answers that wait until the gate is opened, and the number that wait."""

    def __init__(self) -> None:
        self.is_open = threading.Event()

    def __call__(self, values: Mapping[str, Any]) -> Iterator[str]:
        yield answer(values)[:1]
        self.is_open.wait(10)
        yield answer(values)[1:]


@pytest.fixture
def gate(replicate_emulator: Emulator) -> Iterator[Gate]:
    gate = Gate()
    replicate_emulator.reply = gate
    yield gate
    gate.is_open.set()


async def leave_early(client: Client, emulator: Emulator, **settings: Any) -> None:
    """Start a batch, and cancel its task while the predictions of two requests are read."""

    async def read() -> None:
        async with aclosing(client.batch(MODEL, QUESTIONS.items(), **settings)) as results:
            await anext(results)

    task = asyncio.create_task(read())
    await emulator.wait_for_async(lambda e: e.streams_open == 2)
    task.cancel()
    await asyncio.wait([task])


async def test_leaving_without_a_journal_cancels_the_predictions(
    client: Client, replicate_emulator: Emulator, gate: Gate
) -> None:
    await leave_early(client, replicate_emulator, concurrency=2)
    assert sorted(replicate_emulator.cancels) == sorted(replicate_emulator.predictions)


async def test_leaving_with_a_journal_lets_the_next_run_take_them_up(
    client: Client, replicate_emulator: Emulator, gate: Gate, path: Path
) -> None:
    await leave_early(client, replicate_emulator, concurrency=2, journal=path)
    assert replicate_emulator.cancels == []
    gate.is_open.set()
    assert get_texts(await run(client, journal=path)) == ANSWERS
    assert len(replicate_emulator.predictions) == len(KEYS)
    # A third run asks for nothing.
    before = len(replicate_emulator.requests)
    assert get_texts(await run(client, journal=path)) == ANSWERS
    assert len(replicate_emulator.requests) == before


async def test_a_prediction_is_recorded_before_each_step_that_must_not_be_forgotten(
    client: Client, replicate_emulator: Emulator, path: Path
) -> None:
    def read_journal(values: Mapping[str, Any]) -> Iterator[str]:
        (created,) = (json.loads(line) for line in read_lines(path)[1:2])
        assert created["input"]
        yield "sent"

    replicate_emulator.reply = read_journal
    async for result in client.batch(MODEL, [("a", "What?")], journal=path):
        lines = [json.loads(line) for line in read_lines(path)]
        assert result.completion is not None
        assert [sorted(line) for line in lines[1:]] == [
            ["at", "input", "key", "request"],
            ["at", "id", "key", "request"],
            ["at", "id", "key", "request", "result"],
        ]
        assert lines[3]["result"]["completion"]["text"] == "sent"
    text = b"".join(read_lines(path)).decode()
    assert "What" not in text
    assert replicate_emulator.token not in text
    assert "/streams/" not in text


@pytest.mark.parametrize("lists_inputs", [True, False])
async def test_a_crash_after_any_line_of_the_journal_pays_for_nothing_twice(
    client: Client, replicate_emulator: Emulator, path: Path, lists_inputs: bool
) -> None:
    replicate_emulator.behaviour.lists_inputs = lists_inputs
    expected = await run(client, journal=path, concurrency=3)
    assert get_texts(expected) == ANSWERS
    lines = read_lines(path)
    for count in range(1, len(lines)):
        # What was created after the crash is gone; the last line's own prediction may be there.
        sent = {json.loads(line)["key"] for line in lines[1:count]}
        before = len(replicate_emulator.predictions)
        write_lines(path, lines[:count])
        assert get_texts(await run(client, journal=path)) == ANSWERS
        created = len(replicate_emulator.predictions) - before
        assert created == len(KEYS) - len(sent)


async def test_a_creation_that_never_arrived_is_sent_again(
    client: Client, replicate_emulator: Emulator, path: Path
) -> None:
    await run(client, [("a", "What is k1?")], journal=path)
    write_lines(path, read_lines(path)[:2])
    (created,) = replicate_emulator.predictions.values()
    created.input = {"prompt": "another one"}
    assert get_texts(await run(client, [("a", "What is k1?")], journal=path)) == {"a": "k1?"}
    assert len(replicate_emulator.predictions) == 2


@pytest.mark.parametrize("change", ["canceled", "expired", "deleted"])
async def test_what_cannot_be_taken_up_is_created_again(
    client: Client, replicate_emulator: Emulator, path: Path, change: str
) -> None:
    await run(client, [("a", "What is k1?")], journal=path)
    write_lines(path, read_lines(path)[:3])
    (created,) = replicate_emulator.predictions.values()
    if change == "canceled":
        created.status = "canceled"
    elif change == "expired":
        replicate_emulator.expire(created.id)
    else:
        replicate_emulator.fault(Fault("get", status=404))
    assert get_texts(await run(client, [("a", "What is k1?")], journal=path)) == {"a": "k1?"}
    assert len(replicate_emulator.predictions) == 2


async def test_equal_requests_keep_their_own_predictions(
    client: Client, replicate_emulator: Emulator, path: Path
) -> None:
    requests = [(key, "What is k1?") for key in KEYS]
    await run(client, requests, journal=path)
    lines = read_lines(path)
    intents = [line for line in lines[1:] if b'"input"' in line]
    write_lines(path, [lines[0], *intents])
    results = await run(client, requests, journal=path)
    found = {result.completion.prediction.id for result in results.values() if result.completion}
    assert found == set(replicate_emulator.predictions)
    assert len(found) == len(KEYS)


async def test_a_lost_response_is_found_in_the_list(
    client: Client, replicate_emulator: Emulator, path: Path
) -> None:
    await run(client, [("first", "to look the model up")])
    replicate_emulator.fault(Fault("create", lose_reply=True))
    assert get_texts(await run(client, journal=path, concurrency=1)) == ANSWERS
    assert len(replicate_emulator.predictions) == 1 + len(KEYS)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("create", drop=True), ReplicateConnectionError),
        (Fault("create", status=500), ResponseError),
    ],
    ids=["lost", "server failed"],
)
async def test_a_request_of_unknown_outcome_is_never_repeated_unasked(
    client: Client,
    replicate_emulator: Emulator,
    path: Path,
    fault: Fault,
    kind: type[ReplicateError],
) -> None:
    await run(client, [("first", "to look the model up")])
    replicate_emulator.fault(fault)
    for _ in range(2):
        results = await run(client, journal=path, concurrency=1)
        error = results["k0"].error
        assert isinstance(error, kind)
        assert error.has_unknown_outcome
        assert len(replicate_emulator.predictions) == len(KEYS)
    assert get_texts(await run(client, journal=path, retry_failed=True)) == ANSWERS
    assert len(replicate_emulator.predictions) == 1 + len(KEYS)


async def test_failed_predictions_are_paid_again_only_on_request(
    client: Client, replicate_emulator: Emulator, path: Path
) -> None:
    replicate_emulator.reply = Reply(error="E1001")
    first = await run(client, [("a", "What is k1?")], journal=path)
    assert isinstance(first["a"].error, PredictionFailedError)
    replicate_emulator.reply = answer
    again = await run(client, [("a", "What is k1?")], journal=path)
    assert str(again["a"].error) == str(first["a"].error)
    assert len(replicate_emulator.predictions) == 1
    retried = await run(client, [("a", "What is k1?")], journal=path, retry_failed=True)
    assert get_texts(retried) == {"a": "k1?"}
    assert get_texts(await run(client, [("a", "What is k1?")], journal=path)) == {"a": "k1?"}
    assert len(replicate_emulator.predictions) == 2


async def test_a_wrong_answer_is_asked_for_again_on_request(
    client: Client, replicate_emulator: Emulator, path: Path
) -> None:
    settings: dict[str, Any] = {"journal": path, "response_format": {"type": "json_object"}}
    replicate_emulator.reply = "No JSON."
    results = await run(client, [("a", "?")], **settings)
    assert isinstance(results["a"].error, AnswerFormatError)
    assert results["a"].error.completion.text == "No JSON."
    replicate_emulator.reply = '{"a": 1}'
    again = await run(client, [("a", "?")], **settings)
    assert isinstance(again["a"].error, AnswerFormatError)
    assert again["a"].error.completion.text == "No JSON."
    assert get_texts(await run(client, [("a", "?")], retry_failed=True, **settings)) == {
        "a": '{"a": 1}'
    }


async def test_what_was_never_created_is_tried_by_the_next_run(
    client: Client, replicate_emulator: Emulator, path: Path
) -> None:
    replicate_emulator.fault(Fault("create", status=422))
    results = await run(client, journal=path, concurrency=1)
    assert isinstance(results["k0"].error, InvalidInputError)
    assert get_texts(await run(client, journal=path)) == ANSWERS


async def test_another_request_under_a_known_key_is_an_error_and_pays_nothing(
    client: Client, replicate_emulator: Emulator, path: Path
) -> None:
    await run(client, journal=path)
    results = await run(client, [("k0", "What is new?")], journal=path)
    assert isinstance(results["k0"].error, InvalidInputError)
    assert results["k0"].error.fields == ("key",)
    assert len(replicate_emulator.predictions) == len(KEYS)


async def test_one_open_journal_serves_many_batches(
    client: Client, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    async with Journal(tmp_path, worker="a") as one, Journal(tmp_path, worker="b") as two:
        assert get_texts(await run(client, journal=one)) == ANSWERS
        assert get_texts(await run(client, journal=two)) == ANSWERS
    assert len(replicate_emulator.predictions) == len(KEYS)


async def test_a_prediction_that_fails_while_it_is_read_is_cancelled(
    make_client: Any, replicate_emulator: Emulator, gate: Gate, path: Path
) -> None:
    """A journal keeps what a run leaves; what is silent for too long nobody waits for."""
    results = await run(make_client(timeout=0.3), [("a", "?")], journal=path)
    assert results["a"].error is not None
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)


async def test_a_search_that_fails_is_an_error_of_each_lost_request_and_pays_for_none(
    make_client: Callable[..., Client], replicate_emulator: Emulator, path: Path
) -> None:
    client = make_client(max_retries=0)
    await run(client, journal=path)
    lines = read_lines(path)
    write_lines(path, [lines[0], *(line for line in lines[1:] if b'"input"' in line)])
    replicate_emulator.fault(Fault("list", status=503), times=1)
    failed = await run(client, journal=path)
    assert {str(result.error).split(":")[0] for result in failed.values()} == {"GET /predictions"}
    assert len(replicate_emulator.predictions) == len(KEYS)
    assert get_texts(await run(client, journal=path)) == ANSWERS
    assert len(replicate_emulator.predictions) == len(KEYS)


async def test_a_search_that_came_before_a_prediction_is_repeated_when_its_response_is_lost(
    client: Client, replicate_emulator: Emulator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(client, [("old", "What is k1?")], journal=path)
    write_lines(path, read_lines(path)[:2])
    replicate_emulator.fault(Fault("create", lose_reply=True, delay=0.5))
    find = client._api.find_predictions
    searches: list[Any] = []

    async def find_later(*args: Any, **settings: Any) -> dict[str, list[str]]:
        searches.append(args)
        return await find(*args, **settings) if len(searches) > 1 else {}

    monkeypatch.setattr(client._api, "find_predictions", find_later)

    async def generate() -> AsyncIterator[Any]:
        yield ("new", "What is k2?")
        await asyncio.to_thread(replicate_emulator.wait_for, lambda e: len(e.predictions) == 2)
        yield ("old", "What is k1?")  # it is searched for while the other one is created

    results = await run(client, generate(), journal=path)
    assert get_texts(results) == {"new": "k2?", "old": "k1?"}
    assert len(searches) == 2

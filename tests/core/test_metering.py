"""What predictions use is counted and reported once, however they end, and a budget is kept."""

from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import pytest

from replicate_stream import (
    Budget,
    BudgetExceededError,
    Client,
    InvalidInputError,
    PredictionFailedError,
    PredictionReport,
    Price,
    ReplicateTimeoutError,
    TextDelta,
    ToolSpec,
    Usage,
)
from replicate_stream.testing import Emulator, Reply

ADD = ToolSpec("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})


def make_client(emulator: Emulator, **arguments: Any) -> tuple[Client, list[PredictionReport]]:
    reports: list[PredictionReport] = []
    client = Client(
        emulator.token, base_url=emulator.base_url, on_prediction=reports.append, **arguments
    )
    return client, reports


async def test_an_answer_is_reported_with_its_usage_times_and_cost(
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.reply = ["Hello", " world"]
    prices = {replicate_emulator.model: Price(output=1_000_000.0)}
    client, reports = make_client(replicate_emulator, prices=prices)
    async with client:
        completion = await client.complete(replicate_emulator.model, "Hi there")
    (report,) = reports
    assert (report.id, report.status) == (completion.prediction.id, "succeeded")
    assert (report.model, report.error) == (replicate_emulator.model, None)
    assert report.usage == completion.usage
    assert report.usage is not None
    assert report.usage.cost == completion.usage.cost == 2.0  # type: ignore[union-attr]
    assert report.usage.predict_time == report.metrics["predict_time"]
    assert report.time_to_first_token is not None
    assert 0 < report.time_to_first_token <= report.duration
    assert client.spent == report.usage


async def test_a_stream_that_is_left_is_reported_once() -> None:
    with Emulator(["word "] * 1000, token_delay=0.01) as emulator:
        client, reports = make_client(emulator)
        async with client, client.stream(emulator.model, "Hi") as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
    (report,) = reports
    assert report.status == "canceled"
    assert report.error is None


async def test_a_failure_and_a_time_out_are_reported_with_the_class_of_the_error() -> None:
    with Emulator(Reply(["Hel"], error="out of memory")) as emulator:
        client, reports = make_client(emulator)
        async with client:
            with pytest.raises(PredictionFailedError):
                await client.complete(emulator.model, "Hi")
    assert [(report.status, report.error) for report in reports] == [
        ("failed", "PredictionFailedError")
    ]
    with Emulator(boot_time=60) as emulator:
        client, reports = make_client(emulator, timeout=0.2)
        async with client:
            with pytest.raises(ReplicateTimeoutError):
                await client.complete(emulator.model, "Hi")
    (report,) = reports
    assert (report.error, report.time_to_first_token) == ("ReplicateTimeoutError", None)


async def test_an_answer_that_is_asked_for_again_counts_twice(
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.enqueue("No call.")
    replicate_emulator.enqueue('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>')
    prices = {replicate_emulator.model: Price(output=1.0)}
    client, reports = make_client(replicate_emulator, prices=prices)
    async with client:
        completion = await client.complete(
            replicate_emulator.model, "Hi", tools=[ADD], tool_choice="required"
        )
    first, second = (report.usage for report in reports)
    assert first is not None
    assert second is not None
    assert completion.usage == client.spent == first + second
    assert client.spent.cost == pytest.approx((first + second).cost)


@pytest.mark.parametrize(
    "budget", [Budget(tokens=1), {"money": 0.1}, 0.1, {"seconds": 0.0}], ids=str
)
async def test_the_request_after_a_spent_budget_is_refused_before_it_is_paid(
    budget: Any, replicate_emulator: Emulator
) -> None:
    prices = {replicate_emulator.model: Price(output=1_000_000.0)}
    client, _ = make_client(replicate_emulator, prices=prices, budget=budget)
    async with client:
        if budget != {"seconds": 0.0}:  # which is spent from the start
            await client.complete(replicate_emulator.model, "Hi")  # never cut off
        paid = len(replicate_emulator.predictions)
        with pytest.raises(BudgetExceededError, match="The budget is spent") as caught:
            await client.complete(replicate_emulator.model, "Hi")
    assert len(replicate_emulator.predictions) == paid
    assert caught.value.spent == client.spent


async def test_a_budget_is_no_promise_where_nothing_could_be_counted(
    replicate_emulator: Emulator,
) -> None:
    client, _ = make_client(replicate_emulator, budget=5.0)
    async with client:
        with pytest.raises(InvalidInputError, match="prices has no price of"):
            await client.complete(replicate_emulator.model, "Hi")
        with pytest.raises(InvalidInputError, match="include_usage is False"):
            await client.complete(replicate_emulator.model, "Hi", include_usage=False)
    assert replicate_emulator.predictions == {}


async def test_a_copy_and_a_pickle_keep_prices_and_budget_and_begin_at_zero(
    replicate_emulator: Emulator,
) -> None:
    prices = {replicate_emulator.model: Price(output=1.0)}
    token, base_url = replicate_emulator.token, replicate_emulator.base_url
    client = Client(token, base_url=base_url, prices=prices, budget=Budget(tokens=1))
    await client.complete(replicate_emulator.model, "Hi")
    for twin in (copy.copy(client), pickle.loads(pickle.dumps(client))):
        assert twin.spent == Usage(0, 0)
        await twin.complete(replicate_emulator.model, "Hi")
        assert twin.spent.cost == client.spent.cost
        with pytest.raises(BudgetExceededError):
            await twin.complete(replicate_emulator.model, "Hi")
        await twin.aclose()
    await client.aclose()


async def test_a_callback_that_fails_is_logged_and_costs_no_answer(
    replicate_emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(report: PredictionReport) -> None:
        raise RuntimeError(report.id)

    replicate_emulator.reply = "Hello"
    token, base_url = replicate_emulator.token, replicate_emulator.base_url
    async with Client(token, base_url=base_url, on_prediction=fail) as client:
        completion = await client.complete(replicate_emulator.model, "Hi")
    assert completion.text == "Hello"
    assert "is called with the report of a prediction failed" in caplog.text


async def test_the_traceback_of_a_callback_does_not_show_the_models_words(
    replicate_emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: PredictionReport) -> None:
        try:
            raise KeyError("the callback's own cause")
        except KeyError:
            raise RuntimeError("the callback's own error")  # noqa: B904 - its context is looked for

    replicate_emulator.reply = Reply(["Hel"], error="a forged\nline \x1b[31m")
    token, base_url = replicate_emulator.token, replicate_emulator.base_url
    async with Client(token, base_url=base_url, on_prediction=fail) as client:
        with pytest.raises(PredictionFailedError):
            await client.complete(replicate_emulator.model, "Hi")
    (record,) = [each for each in caplog.records if each.exc_info]
    assert record.levelno == logging.WARNING
    assert "the callback's own error" in caplog.text
    assert "the callback's own cause" in caplog.text
    assert "forged" not in caplog.text


class Waiting:
    """A callback that has to be awaited."""

    async def __call__(self, report: PredictionReport) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("callback", [Waiting(), Waiting().__call__], ids=["object", "method"])
def test_a_callback_that_nobody_would_await_is_refused(callback: Any) -> None:
    with pytest.raises(InvalidInputError, match="on_prediction"):
        Client("r8_fake", on_prediction=callback)


async def test_a_prediction_is_one_line_of_the_log_without_text(
    replicate_emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "replicate_stream")
    replicate_emulator.reply = ["A", " secret", " answer"]
    client, _ = make_client(replicate_emulator)
    async with client:
        completion = await client.complete(replicate_emulator.model, "A secret question")
    (line,) = [r.getMessage() for r in caplog.records if r.name == "replicate_stream"]
    start = f"prediction {completion.prediction.id} of {replicate_emulator.model}: succeeded, "
    assert line.startswith(start)
    assert "+ 3 tokens" in line
    assert "secret" not in line

"""Records are parsed leniently, and their texts are not in reprs."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream import Prediction, Price, Usage
from replicate_stream._types.prediction import parse_prediction, read_usage


@pytest.mark.parametrize(
    ("metrics", "usage"),
    [
        ({"input_token_count": 12, "output_token_count": 34}, Usage(12, 34)),
        ({"token_input_count": 12, "token_output_count": 34}, Usage(12, 34)),
        ({"output_token_count": 34}, Usage(0, 34)),
        ({"input_token_count": 12.0, "output_token_count": None}, Usage(12, 0)),
        ({"predict_time": 1.5}, Usage(0, 0)),
        ({"input_token_count": 10**400, "output_token_count": 3}, Usage(0, 3)),
        ({"input_token_count": -5, "output_token_count": 1e300}, Usage(0, 0)),
        ({"predict_time": float("nan")}, None),
        ({}, None),
    ],
)
def test_token_counts_are_read_under_both_names(
    metrics: dict[str, Any], usage: Usage | None
) -> None:
    assert read_usage(Prediction("p", "succeeded", metrics=metrics)) == usage


@pytest.mark.parametrize(
    "count", [10**400, 1e308, -(10**400), float("inf"), float("nan"), "9" * 99]
)
def test_a_count_that_is_none_costs_nothing(count: Any) -> None:
    record = Prediction("p", "succeeded", metrics={"input_token_count": count})
    assert read_usage(record, Price(input=1.0)) == Usage(0, 0, cost=0.0)


def test_token_counts_are_read_from_the_logs_if_metrics_has_none() -> None:
    logs = "Starting\nInput token count: 263\nOutput token count: 515\nDone"
    assert read_usage(Prediction("p", "succeeded", logs=logs)) == Usage(263, 515)


def test_times_and_costs_add_up_and_unknown_ones_count_nothing() -> None:
    total = Usage(1, 2, 0.5, 1.0, 0.25) + Usage(3, 4, 1.5, None, 0.25) + Usage(5, 6)
    assert (total.input_tokens, total.output_tokens) == (9, 12)
    assert (total.predict_time, total.total_time, total.cost) == (2.0, 1.0, 0.5)


def test_total_tokens_is_the_sum() -> None:
    assert Usage(3, 4).total_tokens == 7


def test_a_record_needs_only_an_id() -> None:
    prediction = parse_prediction({"id": "abc"})
    assert (prediction.status, prediction.output, prediction.is_terminal) == (
        "starting",
        None,
        False,
    )


@pytest.mark.parametrize("body", [{}, {"id": None}, {"id": ""}, {"id": 7}])
def test_a_record_without_an_id_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="id"):
        parse_prediction(body)


def test_a_record_with_odd_values_is_parsed() -> None:
    prediction = parse_prediction(
        {"id": "abc", "status": "thinking", "metrics": None, "urls": {"get": 1}, "error": {"a": 1}}
    )
    assert prediction.status == "thinking"
    assert prediction.metrics == {}
    assert prediction.urls == {}
    assert not prediction.is_terminal


@pytest.mark.parametrize("status", ["succeeded", "failed", "canceled", "aborted"])
def test_these_statuses_are_terminal(status: str) -> None:
    assert Prediction("abc", status).is_terminal


def test_a_repr_shows_neither_the_stream_url_nor_the_output() -> None:
    prediction = parse_prediction(
        {
            "id": "abc",
            "output": ["the", " answer"],
            "logs": "the prompt was …",
            "input": {"prompt": "SECRET PROMPT"},
            "urls": {"stream": "https://stream.example/v1/streams/SECRET"},
        }
    )
    assert "answer" not in repr(prediction)
    assert "SECRET" not in repr(prediction)
    assert "prompt" not in repr(prediction)

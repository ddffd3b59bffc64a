"""Errors form one tree and keep their attributes when pickled and copied."""

from __future__ import annotations

import copy
import pickle

import pytest

import replicate_stream
from replicate_stream import (
    AnswerFormatError,
    BudgetExceededError,
    Completion,
    InvalidInputError,
    MissingAuthError,
    ModelNotFoundError,
    Prediction,
    PredictionCanceledError,
    PredictionFailedError,
    RateLimitError,
    ReplicateConnectionError,
    ReplicateError,
    ReplicateTimeoutError,
    ResponseError,
    StreamInterruptedError,
    UnsupportedParameterError,
    Usage,
    _errors,
)

ERRORS: list[ReplicateError] = [
    ReplicateError("text"),
    MissingAuthError(),
    ResponseError("text", status=500, title="t", detail="d", prediction_id="p", retry_after=1.5),
    ModelNotFoundError("text", status=404),
    RateLimitError("text", status=429, retry_after=3),
    InvalidInputError("text", fields=("top_k",), status=422),
    UnsupportedParameterError("text", parameter="top_k", available=("prompt",)),
    ReplicateConnectionError("text"),
    ReplicateTimeoutError("text", waited_for="the first token", seconds=2, prediction_id="p"),
    PredictionFailedError("text", prediction_id="p", error="E1001"),
    PredictionCanceledError("text", prediction_id="p", status="aborted"),
    StreamInterruptedError("text", prediction_id="p", delivered=12),
    AnswerFormatError(
        "it holds no JSON",
        completion=Completion("text", "", (), "stop", None, Prediction(id="p", status="succeeded")),
    ),
    BudgetExceededError("text", spent=Usage(1, 2, cost=0.5)),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_and_copying(error: ReplicateError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert (str(twin), vars(twin)) == (str(error), vars(error))


def test_every_public_error_is_in_the_list_above_and_in_the_tree() -> None:
    public = {
        value
        for name in replicate_stream.__all__
        if isinstance(value := getattr(replicate_stream, name), type)
        and issubclass(value, BaseException)
        and not issubclass(value, Warning)
    }
    assert public == {type(error) for error in ERRORS}
    assert all(issubclass(error, ReplicateError) for error in public)
    tree = _errors.__doc__ or ""
    assert all(f" {error.__name__} " in f"{tree} ".replace("\n", " ") for error in public)


def test_the_error_for_a_missing_token_links_to_the_tokens_page() -> None:
    assert "REPLICATE_API_TOKEN" in str(MissingAuthError())
    assert "https://replicate.com/account/api-tokens" in str(MissingAuthError())

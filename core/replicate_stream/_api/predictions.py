"""Requests about one prediction, and the errors of a prediction that does not succeed."""

from __future__ import annotations

import asyncio

from replicate_stream._api.http import Http
from replicate_stream._api.responses import Response, decode_json, parse_json_object
from replicate_stream._errors import (
    PredictionCanceledError,
    PredictionFailedError,
    ReplicateError,
    ResponseError,
)
from replicate_stream._secrets import Redactor
from replicate_stream._types.prediction import (
    CANCELED,
    FAILED,
    SUCCEEDED,
    Prediction,
    parse_prediction,
)

CHECK_TIMEOUT = 3.0
"""Longest time to fetch a record while a stream, or its reader, waits, in seconds."""
_RECORD_LAG = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds to wait before each attempt to fetch a record that lags behind its stream."""


async def fetch_prediction(
    http: Http, url: str, prediction_id: str, *, timeout: float | None = None
) -> Prediction:
    """Fetch a prediction's record.

    Args:
        http: Sends the request.
        url: The record's URL, or a path below the base URL.
        prediction_id: The prediction, for messages.
        timeout: Seconds for a single attempt; None for the settings' time-out and retries.

    Raises:
        ReplicateError: No response, a refusal, or a response that is not a prediction.
    """
    retries = None if timeout is None else 0
    response = await http.request("GET", url, retries=retries, timeout=timeout)
    return parse_response(response, f"GET prediction {prediction_id}")


async def refetch_prediction(
    http: Http, url: str, prediction: Prediction, *, timeout: float | None = None
) -> Prediction:
    """Fetch a newer record; return the old one if the API does not send it.

    Takes what `fetch_prediction` takes.
    """
    try:
        return await fetch_prediction(http, url, prediction.id, timeout=timeout)
    except ReplicateError:
        return prediction


async def fetch_until_terminal(http: Http, url: str, prediction: Prediction) -> Prediction:
    """Fetch the record of a prediction whose stream has ended, with its metrics.

    The record lags behind the stream (docs/replicate-api.md 2.6), so it is fetched again for a few
    seconds. It may still not be terminal then, or the API may have failed twice.
    """
    failures = 0
    for delay in _RECORD_LAG:
        if prediction.is_terminal and prediction.metrics:
            break
        if delay:
            await asyncio.sleep(delay)
        try:
            prediction = await fetch_prediction(http, url, prediction.id, timeout=CHECK_TIMEOUT)
        except ReplicateError:
            failures += 1
        if failures > 1 or prediction.is_terminal:
            break
    return prediction


def parse_response(response: Response, action: str) -> Prediction:
    """Parse a response that describes a prediction.

    Raises:
        ResponseError: It describes none.
    """
    body = parse_json_object(response, action)
    try:
        return parse_prediction(body)
    except ValueError as error:
        raise ResponseError(
            f"{action}: invalid response: {error}", status=response.status
        ) from error


def raise_for_status(prediction: Prediction) -> None:
    """Raise the error of a terminal record that did not succeed."""
    if prediction.status in CANCELED:
        raise _build_canceled_error(prediction)
    if prediction.status != SUCCEEDED:
        is_failed = prediction.status == FAILED
        fallback = "no error text" if is_failed else f"it ended as {prediction.status!r}"
        raise _build_failed_error(prediction, fallback)


def parse_done_reason(data: str) -> str | None:
    """Parse the data of a `done` event: the reason of an unsuccessful end; None for success.

    Success is `{}` or empty data. An unknown reason is never a success (docs/replicate-api.md 3.4).
    """
    return None if data.strip() in {"", "{}"} else _get_field(data, "reason")


def build_stream_error(
    prediction: Prediction, reason: str, error_data: str | None, redactor: Redactor
) -> ReplicateError:
    """Build the error for a stream whose `done` event has a reason.

    Args:
        prediction: The newest record, which may lag behind the stream.
        reason: The reason in `done`: `error`, `canceled`, or an unknown one.
        error_data: The data of the `error` event, if there was one: `{"detail": …}` or plain text
            (docs/replicate-api.md 3.4).
        redactor: Removes the secrets of requests from these texts.
    """
    if reason == "canceled" or prediction.status in CANCELED:
        return _build_canceled_error(prediction)
    detail = _get_field(error_data, "detail") or error_data if error_data else None
    text = detail or f"the stream ended with reason {reason!r}"
    return _build_failed_error(prediction, redactor.redact(text))


def _get_field(data: str, name: str) -> str | None:
    """Return a field of a JSON object as text; the data themselves if they are not JSON of one."""
    body = decode_json(data)
    value = body.get(name) if isinstance(body, dict) else data
    return None if value is None else str(value)


def _build_failed_error(prediction: Prediction, fallback: str) -> PredictionFailedError:
    error = prediction.error or fallback
    return PredictionFailedError(
        f"prediction {prediction.id} failed: {error}", prediction_id=prediction.id, error=error
    )


def _build_canceled_error(prediction: Prediction) -> PredictionCanceledError:
    status = prediction.status if prediction.status in CANCELED else "canceled"
    cause = "its deadline passed before it started" if status == "aborted" else "not by this caller"
    return PredictionCanceledError(
        f"prediction {prediction.id} was {status} ({cause})",
        prediction_id=prediction.id,
        status=status,
    )

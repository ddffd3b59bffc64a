"""How a prediction can end, and which error that is. Pure."""

from __future__ import annotations

import json

from replicate_stream._errors import (
    PredictionCanceledError,
    PredictionFailedError,
    ReplicateError,
    ReplicateTimeoutError,
)
from replicate_stream._types.prediction import CANCELED, SUCCEEDED, Prediction


def reason_of(data: str) -> str | None:
    """Why a stream ended, from the data of its `done` event; None if it ended well.

    `{}` is success, and so is no data at all; a reason is never one (replicate-api.md 3.4).
    """
    if not data.strip():
        return None
    try:
        body = json.loads(data)
    except ValueError:
        return data
    if isinstance(body, dict):
        reason = body.get("reason")
        return None if reason is None else str(reason)
    return data


def failure_of(prediction: Prediction, reason: str, said: str | None = None) -> ReplicateError:
    """The error for a stream that ended with a reason.

    Args:
        prediction: The record, as far as it has caught up.
        reason: The reason that the stream gave: `error`, `canceled`, or an unknown one.
        said: The data of an `error` event, which may be JSON or plain text.
    """
    if reason == "canceled" or prediction.status in CANCELED:
        return canceled(prediction)
    return failed(prediction, _detail(said) or f"the stream ended with reason {reason!r}")


def check_ended_well(prediction: Prediction, *, missed_deadline: float | None) -> None:
    """Raise the error of a record that is terminal and did not succeed.

    Args:
        prediction: A terminal record.
        missed_deadline: The caller's own deadline in seconds, if it has passed.
    """
    if prediction.status == SUCCEEDED:
        return
    if prediction.status not in CANCELED:
        raise failed(prediction, "no error text")
    if missed_deadline is not None:
        raise ReplicateTimeoutError(
            f"prediction {prediction.id} was {prediction.status} at its deadline "
            f"of {missed_deadline:g} s",
            waited_for="the end of the answer",
            seconds=missed_deadline,
            prediction_id=prediction.id,
        )
    raise canceled(prediction)


def failed(prediction: Prediction, otherwise: str) -> PredictionFailedError:
    """A failed prediction, with its own error text where it has one."""
    error = prediction.error or otherwise
    return PredictionFailedError(
        f"prediction {prediction.id} failed: {error}", prediction_id=prediction.id, error=error
    )


def canceled(prediction: Prediction) -> PredictionCanceledError:
    """A prediction that somebody else ended."""
    status = prediction.status if prediction.status in CANCELED else "canceled"
    why = "its deadline passed before it started" if status == "aborted" else "not by this caller"
    return PredictionCanceledError(
        f"prediction {prediction.id} was {status} ({why})",
        prediction_id=prediction.id,
        status=status,
    )


def _detail(said: str | None) -> str | None:
    if not said:
        return None
    try:
        body = json.loads(said)
    except ValueError:
        return said
    detail = body.get("detail") if isinstance(body, dict) else None
    return str(detail) if detail else said

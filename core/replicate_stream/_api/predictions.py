"""Creating a prediction: the one request that costs money, and so is sent once."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from replicate_stream._api.cancellation import Cancellation
from replicate_stream._api.http import Http
from replicate_stream._api.models import Model, Models
from replicate_stream._api.prediction_run import PredictionRun, TextOf
from replicate_stream._api.responses import Response, json_object
from replicate_stream._errors import ModelNotFoundError, ResponseError
from replicate_stream._settings import origin
from replicate_stream._types.prediction import Prediction, parse_prediction

SHORTEST_DEADLINE = 5
"""Seconds; the API refuses a shorter `Cancel-After`. The client enforces shorter ones itself."""


async def create_prediction(
    http: Http,
    models: Models,
    model: Model,
    input_: dict[str, Any],
    text_of: TextOf,
    *,
    is_whole: bool = False,
) -> PredictionRun:
    """Create a prediction.

    If the caller is cancelled while the request is under way, its reply is still waited for, and
    the prediction that it tells of is cancelled.

    Args:
        http: The way to the API.
        models: Remembers what the creation teaches of the model.
        model: The model to run.
        input_: The prediction's `input`.
        text_of: Gives the text of a record's `output`.
        is_whole: Whether the output is no text in pieces, and has to be read as a whole.

    Raises:
        ResponseError: The API refused, or its reply has no id.
        ReplicateConnectionError: No connection, or it broke; whether the prediction was created
            is not known then, which is why it is not tried again.
    """
    deadline = http.settings.deadline
    headers, until = {}, None
    if deadline is not None:
        headers["Cancel-After"] = f"{max(SHORTEST_DEADLINE, math.ceil(deadline))}s"
        until = asyncio.get_running_loop().time() + deadline

    async def late(reply: Response) -> None:
        await _lease(http, _created(reply)).cancel()

    while True:
        path, beside = model.endpoint()
        try:
            reply = await http.create(path, {**beside, "input": input_}, headers=headers, late=late)
        except ModelNotFoundError:
            # Where the API does not say which models are official, it says so here, unpaid.
            community = model.by_version()
            if community is None:
                raise
            model = community
            models.remember(model)
        else:
            prediction = _created(reply)
            path = _own_url(http, prediction, "get", f"/predictions/{prediction.id}")
            lease = _lease(http, prediction)
            return PredictionRun(http, prediction, path, lease, text_of, until, is_whole=is_whole)


def _created(reply: Response) -> Prediction:
    body = json_object(reply, "creating a prediction")
    try:
        return parse_prediction(body)
    except ValueError:
        raise ResponseError(
            "creating a prediction: invalid response, it has no prediction id", status=reply.status
        ) from None


def _lease(http: Http, prediction: Prediction) -> Cancellation:
    path = _own_url(http, prediction, "cancel", f"/predictions/{prediction.id}/cancel")
    return Cancellation(http, prediction.id, path)


def _own_url(http: Http, prediction: Prediction, name: str, path: str) -> str:
    """A URL of the record if the token may go there, else the path that the API documents."""
    url = prediction.urls.get(name)
    return url if url and origin(url) == origin(http.settings.base_url) else path

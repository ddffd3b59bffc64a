"""Creating predictions: what is run, what is refused, and the first record of it."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping
from typing import Any

from replicate_stream.testing.server.catalogue import Version
from replicate_stream.testing.server.http import (
    PROBLEM_HEADERS,
    Request,
    Response,
    json_response,
    problem,
)
from replicate_stream.testing.server.prediction import EmulatedPrediction, timestamp
from replicate_stream.testing.server.state import RateLimit, State
from replicate_stream.testing.server.validation import (
    BY_NAME,
    BY_VERSION,
    check_body,
    check_input,
    parse_cancel_after,
    parse_prefer,
    refusal,
)

NOT_FOUND = problem(404, "The requested resource could not be found.")
_NO_VERSION = problem(
    422,
    "The specified version does not exist (or perhaps you don't have permission to use it?)",
    "Invalid version or not permitted",
)
_NO_STREAM = problem(422, "Streaming not supported for the output type of the requested version.")


class Creation:
    """The three endpoints that create predictions."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def by_version(self, request: Request) -> Response:
        """`POST /v1/predictions`."""
        if (refused := self._throttle()) is not None:
            return refused
        body = _decode(request.body)
        if findings := check_body(body, BY_VERSION):
            return refusal(findings)
        version = self._state.catalogue.find(body["version"])
        return _NO_VERSION if version is None else await self._create(request, body, version, {})

    async def official(self, request: Request, name: str) -> Response:
        """`POST /v1/models/{owner}/{name}/predictions`; a community model is not found here."""
        return await self._by_name(request, self._state.catalogue.official(name), {})

    async def deployed(self, request: Request, name: str) -> Response:
        """`POST /v1/deployments/{owner}/{name}/predictions`."""
        version = self._state.catalogue.deployed(name)
        return await self._by_name(request, version, {"deployment": name})

    async def _by_name(
        self, request: Request, version: Version | None, echo: Mapping[str, Any]
    ) -> Response:
        if (refused := self._throttle()) is not None:
            return refused
        if version is None:
            return NOT_FOUND
        body = _decode(request.body)
        if findings := check_body(body, BY_NAME):
            return refusal(findings)
        return await self._create(request, body, version, echo)

    async def _create(
        self, request: Request, body: Mapping[str, Any], version: Version, echo: Mapping[str, Any]
    ) -> Response:
        if findings := check_input(body["input"], version.openapi):
            return refusal(findings)
        if body.get("stream") and not version.streams_text:
            return _NO_STREAM
        try:
            deadline = parse_cancel_after(request.headers.get("cancel-after"))
            wait = parse_prefer(request.headers.get("prefer"))
        except ValueError as error:
            return problem(422, str(error), "Invalid header")
        sent = {name: value for name, value in body.items() if name not in {"input", "version"}}
        prediction = self._state.create(
            version,
            body["input"],
            deadline=deadline,
            echo={**echo, **sent, **_deadline_field(deadline)},
            headers=request.headers,
        )
        if wait is None:
            return json_response(201, self._state.record(prediction, shows="starting"))
        return await self._when_ended(prediction, wait, request.headers["prefer"])

    async def _when_ended(
        self, prediction: EmulatedPrediction, wait: float, preference: str
    ) -> Response:
        try:
            await asyncio.wait_for(prediction.ended.wait(), wait)
        except asyncio.TimeoutError:
            shows = "starting"
        else:
            # The reply comes before the record is complete (replicate-api.md 2.3).
            shows = "processing" if prediction.status == "succeeded" else prediction.status
        record = self._state.record(prediction, shows=shows)
        if shows == "processing":
            del record["started_at"]  # as recorded
        return json_response(201, record, {"Preference-Applied": preference})

    def _throttle(self) -> Response | None:
        limit = self._state.behaviour.rate_limit
        seconds = self._state.throttled()
        return None if limit is None or seconds is None else _too_many(limit, seconds)


def _too_many(limit: RateLimit, seconds: float) -> Response:
    """A 429 in one of its two wordings (replicate-api.md 1.5)."""
    wait = max(1, math.ceil(seconds))
    resets = f"Your rate limit resets in ~{wait}s."
    body: dict[str, Any] = {"detail": f"Request was throttled. {resets}"}
    if limit.wording == "current":
        reduced = (
            f"Your rate limit for creating predictions is reduced to {limit.requests} requests "
            f"per {limit.seconds:g} seconds."
        )
        detail = f"Request was throttled. {reduced} {resets}"
        body = {"detail": detail, "status": 429, "retry_after": wait}
    header = {"Retry-After": str(wait)} if limit.retry_after else {}
    return json_response(429, body, {**PROBLEM_HEADERS, "ratelimit-reset": str(wait), **header})


def _deadline_field(deadline: float | None) -> dict[str, str]:
    if deadline is None:
        return {}
    return {"deadline": timestamp(time.time_ns() + int(deadline * 1e9), 3)}


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None

"""The endpoints that create something: predictions and files."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from replicate_stream.testing.server import validation
from replicate_stream.testing.server.catalogue import Version, format_time
from replicate_stream.testing.server.http import (
    NOT_FOUND,
    PROBLEM_HEADERS,
    RefusalError,
    Request,
    Response,
)
from replicate_stream.testing.server.prediction import EmulatedPrediction
from replicate_stream.testing.server.state import RateLimit, State

LARGEST_FILE = 100 * 1024 * 1024
_DAY = 24 * 3600 * 10**9
_INVALID_VERSION = Response.problem(
    422,
    "The specified version does not exist (or perhaps you don't have permission to use it?)",
    "Invalid version or not permitted",
)
_NO_STREAM = Response.problem(
    422, "Streaming not supported for the output type of the requested version."
)


class CreateEndpoints:
    """The endpoints that create predictions and files, all of them `POST`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def create_by_version(self, request: Request) -> Response:
        """Answer `/v1/predictions`."""
        self._check_rate_limit(request)
        validation.check_body(request.json, validation.VERSION_BODY)
        version = self._state.catalogue.find_version(request.json["version"])
        # A wrong version is a 422 and not a 404 (docs/replicate-api.md 1.3).
        return _INVALID_VERSION if version is None else await self._create(request, version)

    async def create_by_model(self, request: Request, name: str) -> Response:
        """Answer `/v1/models/{owner}/{name}/predictions`; a community model is not found."""
        return await self._create_by_name(request, self._state.catalogue.get_official(name))

    async def create_by_deployment(self, request: Request, name: str) -> Response:
        """Answer `/v1/deployments/{owner}/{name}/predictions`."""
        version = self._state.catalogue.get_deployed(name)
        return await self._create_by_name(request, version, deployment=name)

    async def _create_by_name(
        self, request: Request, version: Version | None, **echo: str
    ) -> Response:
        self._check_rate_limit(request)
        if version is None:
            return NOT_FOUND
        validation.check_body(request.json, validation.MODEL_BODY)
        return await self._create(request, version, **echo)

    async def _create(self, request: Request, version: Version, **echo: str) -> Response:
        # Decoded again, because a script may change its input but not the recorded request.
        body: Mapping[str, Any] = json.loads(request.body)
        validation.check_input(body["input"], version.openapi)
        if body.get("stream") and not version.streams_text:
            return _NO_STREAM
        deadline = validation.parse_cancel_after(request.headers.get("cancel-after"))
        hold = validation.parse_prefer(request.headers.get("prefer"))
        fields = {k: v for k, v in {**echo, **body}.items() if k not in {"input", "version"}}
        if deadline is not None:
            fields["deadline"] = format_time(time.time_ns() + int(deadline * 1e9), 3)
        is_official = self._state.catalogue.models[version.model].is_official
        prediction = EmulatedPrediction(
            version,
            body["input"],
            digits=2 + len(self._state.predictions) % 8,
            shown_version="hidden" if is_official else version.id,  # docs/replicate-api.md 2.4
            echo=fields,
            headers=request.headers,
        )
        self._state.run(prediction, deadline)
        if hold is None:
            return Response.from_json(201, self._state.build_record(prediction, shows="starting"))
        return await self._hold(prediction, hold, request.headers["prefer"])

    async def _hold(
        self, prediction: EmulatedPrediction, seconds: float, preference: str
    ) -> Response:
        """Answer a creation with `Prefer: wait`, whose record is odd (docs/replicate-api.md 2.3).

        It shows `processing` with the complete output, since the reply is sent before the record
        is complete, and `starting` if the time ran out, even if the model is running.
        """
        shows = "starting"
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(prediction.ended.wait(), seconds)
            shows = "processing" if prediction.status == "succeeded" else prediction.status
        record = self._state.build_record(prediction, shows=shows)
        if shows == "processing":
            del record["started_at"]  # as recorded
        return Response.from_json(201, record, {"Preference-Applied": preference})

    def _check_rate_limit(self, request: Request) -> None:
        limit = self._state.behaviour.rate_limit
        if limit is None:
            return
        seconds = self._state.count_creation(limit, request.headers.get("authorization", ""))
        if seconds is not None:
            wait = math.floor(seconds) if limit.rounds_down else max(1, math.ceil(seconds))
            raise RefusalError(_build_throttled(limit, wait))

    async def upload(self, request: Request) -> Response:
        """Answer `/v1/files`: keep the file's record, which holds for 24 hours."""
        content_type = request.headers.get("content-type", "")
        head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
        form = BytesParser(policy=HTTP).parsebytes(head + request.body)
        parts = {
            part.get_param("name", header="content-disposition"): part for part in form.iter_parts()
        }
        if "content" not in parts:
            return Response.problem(422, "- content is required\n", "Input validation failed")
        data = _get_data(parts["content"])
        if len(data) > LARGEST_FILE:
            return Response.problem(413, "Files must be less than 100MB in size")
        try:
            metadata = json.loads(_get_data(parts["metadata"])) if "metadata" in parts else {}
        except (ValueError, RecursionError):
            return Response.problem(
                422, "- metadata must be valid JSON\n", "Input validation failed"
            )
        record = _build_file_record(self._state.api_base, parts["content"], data, metadata)
        self._state.files[record["id"]] = record
        return Response.from_json(201, record)


def _build_throttled(limit: RateLimit, wait: int) -> Response:
    """Build a 429 in one of its two wordings (docs/replicate-api.md 1.5)."""
    value: dict[str, Any] = {"detail": "Request was throttled. "}
    if limit.wording == "current":
        value |= {"status": 429, "retry_after": wait}
        burst = "" if limit.burst is None else f" with a burst of {limit.burst} requests"
        value["detail"] += (
            f"Your rate limit for creating predictions is reduced to {limit.requests} requests "
            f"per {limit.seconds:g} seconds{burst}. "
        )
    value["detail"] += f"Your rate limit resets in ~{wait}s."
    headers = {**PROBLEM_HEADERS, "ratelimit-reset": str(wait)}
    if limit.retry_after:
        headers["Retry-After"] = str(wait)
    return Response.from_json(429, value, headers)


def _build_file_record(api_base: str, part: Message, data: bytes, metadata: Any) -> dict[str, Any]:
    file_id = base64.b64encode(str(uuid.uuid4()).encode()).decode()
    now = time.time_ns()
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return {
        "id": file_id,
        "name": part.get_filename() or "file",
        "content_type": part.get_content_type(),
        "size": len(data),
        "etag": md5,
        "checksums": {"sha256": hashlib.sha256(data).hexdigest(), "md5": md5},
        "metadata": metadata,
        "created_at": format_time(now, 3),
        "expires_at": format_time(now + _DAY, 3),
        "urls": {"get": f"{api_base}/v1/files/{file_id}"},
    }


def _get_data(part: Message) -> bytes:
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""

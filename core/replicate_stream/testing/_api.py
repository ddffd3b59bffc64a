"""The API half: what is asked for at which path, and what is answered.

Bodies, statuses and refusals are those of replicate-api.md 1 to 5.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from replicate_stream.testing._catalogue import Version, deployment_record
from replicate_stream.testing._events import EventLog
from replicate_stream.testing._faults import Kind
from replicate_stream.testing._files import store_file
from replicate_stream.testing._http import Request, Response, json_response, problem
from replicate_stream.testing._prediction import EmulatedPrediction, timestamp
from replicate_stream.testing._subscription import (
    Subscription,
    last_event_id,
    long_poll,
    wants_event_stream,
)
from replicate_stream.testing._validation import (
    BY_NAME,
    BY_VERSION,
    check_body,
    check_input,
    parse_cancel_after,
    parse_prefer,
    refusal,
)
from replicate_stream.testing._world import World

Answer = Callable[[], "Awaitable[Response | Subscription]"]
_Handler = Callable[..., "Awaitable[Response | Subscription]"]

NOT_FOUND = problem(404, "The requested resource could not be found.")
_NO_VERSION = problem(
    422,
    "The specified version does not exist (or perhaps you don't have permission to use it?)",
    "Invalid version or not permitted",
)
_NO_STREAM = problem(422, "Streaming not supported for the output type of the requested version.")
_NO_LIST = problem(
    404, "This model is an official model and does not expose a list of versions.", "Not found"
)
_MODEL = r"/v1/models/([^/]+/[^/]+)"


class Api:
    """Answers requests out of a world."""

    def __init__(self, world: World, *, streams: bool) -> None:
        """Set the routes up.

        Args:
            world: What there is.
            streams: Whether event streams are served here too.
        """
        self._world = world
        self._routes: list[tuple[str, re.Pattern[str], Kind, _Handler]] = [
            ("POST", re.compile(r"/v1/predictions"), "create", self._create_by_version),
            ("POST", re.compile(rf"{_MODEL}/predictions"), "create", self._create_official),
            (
                "POST",
                re.compile(r"/v1/deployments/([^/]+/[^/]+)/predictions"),
                "create",
                self._create_deployed,
            ),
            ("GET", re.compile(r"/v1/predictions/([^/]+)"), "get", self._get),
            ("POST", re.compile(r"/v1/predictions/([^/]+)/cancel"), "cancel", self._cancel),
            ("GET", re.compile(_MODEL), "model", self._model),
            ("GET", re.compile(rf"{_MODEL}/versions"), "version", self._versions),
            ("GET", re.compile(rf"{_MODEL}/versions/([^/]+)"), "version", self._version),
            ("GET", re.compile(r"/v1/deployments/([^/]+/[^/]+)"), "deployment", self._deployment),
            ("POST", re.compile(r"/v1/files"), "file", self._upload),
            ("GET", re.compile(r"/v1/files/([^/]+)"), "file", self._file),
        ]
        self._streams = StreamRoutes(world) if streams else None

    def route(self, request: Request) -> tuple[Kind, Answer]:
        """What a request is for, and how to answer it."""
        if self._streams is not None and self._streams.knows(request):
            return self._streams.route(request)
        for method, pattern, kind, handler in self._routes:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                return kind, partial(self._guarded, kind, handler, request, match.groups())
        return "other", partial(self._guarded, "other", _not_found, request, ())

    async def _guarded(
        self, kind: Kind, handler: _Handler, request: Request, names: tuple[str, ...]
    ) -> Response | Subscription:
        if (refused := self._check_token(request)) is not None:
            return refused
        reply = await handler(request, *names)
        if isinstance(reply, Response):
            return replace(reply, headers={**self._headers(kind), **reply.headers})
        return reply

    def _check_token(self, request: Request) -> Response | None:
        if not self._world.token:
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            detail = "You did not pass an authentication token"
        elif scheme.lower() not in {"bearer", "token"} or token.strip() != self._world.token:
            detail = "You did not pass a valid authentication token"
        else:
            return None
        return problem(401, detail, "Unauthenticated")

    def _headers(self, kind: Kind) -> dict[str, str]:
        left = {"create": self._world.creations_left(), "get": 59999}.get(kind, 2999)
        return {
            "Server": "cloudflare",
            "CF-Cache-Status": "DYNAMIC",
            "ratelimit-remaining": str(left),
            "ratelimit-reset": "1",
        }

    async def _create_by_version(self, request: Request) -> Response:
        body = _decode(request.body)
        if findings := check_body(body, BY_VERSION):
            return refusal(findings)
        version = self._world.catalogue.find(body["version"])
        return await self._create(request, body, version, _NO_VERSION, {})

    async def _create_official(self, request: Request, name: str) -> Response:
        version = self._world.catalogue.official(name)
        return await self._create_by_name(request, version, {})

    async def _create_deployed(self, request: Request, name: str) -> Response:
        version = self._world.catalogue.deployed(name)
        return await self._create_by_name(request, version, {"deployment": name})

    async def _create_by_name(
        self, request: Request, version: Version | None, echo: Mapping[str, Any]
    ) -> Response:
        body = _decode(request.body)
        if version is not None and (findings := check_body(body, BY_NAME)):
            return refusal(findings)
        return await self._create(request, body, version, NOT_FOUND, echo)

    async def _create(
        self,
        request: Request,
        body: Any,
        version: Version | None,
        unknown: Response,
        echo: Mapping[str, Any],
    ) -> Response:
        if (seconds := self._world.throttled()) is not None:
            return self._too_many(seconds)
        if version is None:
            return unknown
        if findings := check_input(body["input"], version.openapi):
            return refusal(findings)
        if body.get("stream") and not version.streams_text:
            return _NO_STREAM
        try:
            deadline = parse_cancel_after(request.headers.get("cancel-after"))
            wait = parse_prefer(request.headers.get("prefer"))
        except ValueError as error:
            return problem(422, str(error), "Invalid header")
        echo = {**echo, **{k: v for k, v in body.items() if k not in {"input", "version"}}}
        if deadline is not None:
            until = time.time_ns() + int(deadline * 1e9)
            echo = {**echo, "deadline": timestamp(until, 3)}
        prediction = self._world.create(
            version, body["input"], deadline=deadline, echo=echo, headers=request.headers
        )
        return await self._created(prediction, wait, request.headers.get("prefer", ""))

    async def _created(
        self, prediction: EmulatedPrediction, wait: float | None, preference: str
    ) -> Response:
        urls = self._world.urls(prediction)
        if wait is None:
            return json_response(201, prediction.record(urls, shows="starting"))
        try:
            await asyncio.wait_for(prediction.ended.wait(), wait)
        except asyncio.TimeoutError:
            shows = "starting"
        else:
            # The reply comes before the record is complete (replicate-api.md 2.3).
            shows = "processing" if prediction.status == "succeeded" else prediction.status
        record = prediction.record(urls, shows=shows)
        return json_response(201, record, {"Preference-Applied": preference})

    def _too_many(self, seconds: float) -> Response:
        limit = self._world.behaviour.rate_limit
        wait = max(1, math.ceil(seconds))
        resets = f"Your rate limit resets in ~{wait}s."
        if limit is not None and limit.wording == "documented":
            body: dict[str, Any] = {"detail": f"Request was throttled. {resets}"}
        else:
            reduced = "Your rate limit for creating predictions is reduced."
            detail = f"Request was throttled. {reduced} {resets}"
            body = {"detail": detail, "status": 429, "retry_after": wait}
        header = {"Retry-After": str(wait)} if limit and limit.retry_after else {}
        return json_response(
            429, body, {**_PROBLEM_HEADERS, "ratelimit-reset": str(wait), **header}
        )

    async def _get(self, _: Request, prediction_id: str) -> Response:
        prediction = self._world.predictions.get(prediction_id)
        if prediction is None:
            return NOT_FOUND
        shows = None
        if prediction.is_terminal and prediction.lag > 0:
            prediction.lag -= 1
            shows = "processing"
        return json_response(200, prediction.record(self._world.urls(prediction), shows=shows))

    async def _cancel(self, _: Request, prediction_id: str) -> Response:
        prediction = self._world.predictions.get(prediction_id)
        if prediction is None:
            return NOT_FOUND
        self._world.cancel(prediction)
        return json_response(200, prediction.record(self._world.urls(prediction)))

    async def _model(self, _: Request, name: str) -> Response:
        model = self._world.catalogue.models.get(name)
        if model is None:
            return NOT_FOUND
        with_official = self._world.behaviour.shows_is_official
        return json_response(200, model.record(with_official=with_official))

    async def _versions(self, _: Request, name: str) -> Response:
        model = self._world.catalogue.models.get(name)
        if model is None:
            return NOT_FOUND
        if model.is_official:
            return _NO_LIST
        results = [version.record() for version in reversed(model.versions)]
        return json_response(200, {"previous": None, "next": None, "results": results})

    async def _version(self, _: Request, name: str, version_id: str) -> Response:
        version = self._world.catalogue.version(name, version_id)
        return NOT_FOUND if version is None else json_response(200, version.record())

    async def _deployment(self, _: Request, name: str) -> Response:
        version = self._world.catalogue.deployed(name)
        return (
            NOT_FOUND if version is None else json_response(200, deployment_record(name, version))
        )

    async def _upload(self, request: Request) -> Response:
        return store_file(self._world, request)

    async def _file(self, _: Request, file_id: str) -> Response:
        record = self._world.files.get(file_id)
        return NOT_FOUND if record is None else json_response(200, record)


class StreamRoutes:
    """The stream half: `GET` a stream, and nothing else. No token is needed."""

    _PATH = re.compile(r"/v1/(streams|files)/([a-z2-7]{52})")

    def __init__(self, world: World) -> None:
        self._world = world

    def knows(self, request: Request) -> bool:
        """Whether a request is for a stream."""
        return self._PATH.fullmatch(request.path) is not None

    def route(self, request: Request) -> tuple[Kind, Answer]:
        """What a request is for, and how to answer it."""
        match = self._PATH.fullmatch(request.path)
        if match is None:
            return "other", partial(_not_found, request)
        return "stream", partial(self._stream, request, match[2])

    async def _stream(self, request: Request, stream_id: str) -> Response | Subscription:
        if request.method != "GET":
            return Response(405, b"", {"Allow": "GET", "Server": "nginx/1.21.3"})
        behaviour = self._world.behaviour
        prediction = self._world.find_stream(stream_id)
        log = prediction.log if prediction else EventLog()
        if not wants_event_stream(request):
            return await long_poll(log, behaviour.idle_timeout)
        try:
            after = last_event_id(request)
        except ValueError:
            return Response(400, b"Message ID invalid", {"Content-Type": "text/plain"})
        return Subscription(
            log, after=after, replay=behaviour.replay, idle_timeout=behaviour.idle_timeout
        )


async def _not_found(_: Request) -> Response:
    return NOT_FOUND


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


_PROBLEM_HEADERS = {"Content-Type": "application/problem+json", "Server": "cloudflare"}

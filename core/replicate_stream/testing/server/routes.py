"""The routes of the two servers: the purpose of each request, and the function that answers it.

Bodies, statuses and refusals are those of docs/replicate-api.md 1 to 5.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from replicate_stream.testing.server.catalogue import build_deployment_record
from replicate_stream.testing.server.creation import CreateEndpoints
from replicate_stream.testing.server.discovery import DiscoveryEndpoints
from replicate_stream.testing.server.events import (
    SERVER_HEADER,
    EventLog,
    Subscription,
    build_long_poll,
    parse_event_id,
)
from replicate_stream.testing.server.faults import Kind
from replicate_stream.testing.server.history import HistoryEndpoints
from replicate_stream.testing.server.http import NOT_FOUND, RefusalError, Request, Response
from replicate_stream.testing.server.state import State

Respond: TypeAlias = Callable[[], "Awaitable[Response | Subscription]"]
"""Has a request's effect and builds its reply."""
Route: TypeAlias = Callable[[Request], "tuple[Kind, Respond]"]
"""Finds the purpose of a request, and the function that answers it."""
_Endpoint: TypeAlias = Callable[..., "Awaitable[Response | dict[str, Any] | None]"]
"""Answers with a reply, with a record, which is sent as JSON, or with None if it is not found."""

_STREAM_PATH = re.compile(r"/v1/(?:streams|files)/([a-z2-7]{52})")

_SEARCH_PATH = "/v1/search"  # the only one that needs no token (docs/replicate-api.md 5.5)
_NO_LIST = Response.problem(
    404, "This model is an official model and does not expose a list of versions.", "Not found"
)


class StreamRoutes:
    """The routes of the stream server, which takes `GET` of a stream only and needs no token."""

    def __init__(self, state: State) -> None:
        self._state = state

    def route(self, request: Request) -> tuple[Kind, Respond]:
        """Find the purpose of a request, and the function that answers it."""
        match = _STREAM_PATH.fullmatch(request.path)
        if match is not None and request.method == "GET":
            return "stream", partial(self._open_stream, request, match[1])
        return "other", partial(self._refuse, 404 if match is None else 403)

    async def _open_stream(self, request: Request, stream_id: str) -> Response | Subscription:
        prediction = self._state.find_stream(stream_id)
        # An unknown stream is not a 404: it is silent until the idle timer ends it
        # (docs/replicate-api.md 3.6).
        log = prediction.log if prediction else EventLog()
        behaviour = self._state.behaviour
        # Nchan frames the reply as an event stream only if `Accept` names it; else it is a long
        # poll (docs/replicate-api.md 3.1). The last id may be in the header or in the query.
        if "text/event-stream" not in request.headers.get("accept", ""):
            return await build_long_poll(log, behaviour.idle_timeout)
        last = request.headers.get("last-event-id") or request.query.get("last_event_id") or ""
        return Subscription(log, parse_event_id(last), behaviour.replay, behaviour.idle_timeout)

    async def _refuse(self, status: int) -> Response:
        return Response(status, b"", SERVER_HEADER)


class ApiRoutes:
    """The routes of the API."""

    def __init__(self, state: State, streams: StreamRoutes | None = None) -> None:
        """Set up the routes.

        Args:
            state: The state that they read and change.
            streams: Routes of event streams to serve too.
        """
        self._state = state
        self._streams = streams
        create, history = CreateEndpoints(state), HistoryEndpoints(state)
        discovery = DiscoveryEndpoints(state)
        name, one = r"([^/]+/[^/]+)", r"([^/]+)"
        routes: list[tuple[str, Kind, _Endpoint]] = [
            ("GET /v1/predictions", "list", history.list_predictions),
            ("POST /v1/predictions", "create", create.create_by_version),
            (f"POST /v1/models/{name}/predictions", "create", create.create_by_model),
            (f"POST /v1/deployments/{name}/predictions", "create", create.create_by_deployment),
            (f"GET /v1/predictions/{one}", "get", self._get_prediction),
            (f"POST /v1/predictions/{one}/cancel", "cancel", self._cancel),
            (f"GET /v1/models/{name}", "model", self._get_model),
            (f"GET /v1/models/{name}/versions", "version", self._list_versions),
            (f"GET /v1/models/{name}/versions/{one}", "version", self._get_version),
            (f"GET /v1/deployments/{name}", "deployment", self._get_deployment),
            ("POST /v1/files", "file", create.upload),
            (f"GET /v1/files/{one}", "file", self._get_file),
            ("GET /v1/models", "list", discovery.list_models),
            ("QUERY /v1/models", "list", discovery.query_models),
            ("GET /v1/collections", "list", discovery.list_collections),
            (f"GET /v1/collections/{one}", "list", discovery.get_collection),
            (f"GET {_SEARCH_PATH}", "list", discovery.search),
            ("GET /v1/account", "other", discovery.get_account),
            ("GET /v1/hardware", "other", discovery.list_hardware),
        ]
        self._routes: list[tuple[re.Pattern[str], Kind, _Endpoint]] = [
            (re.compile(pattern), kind, endpoint) for pattern, kind, endpoint in routes
        ]

    def route(self, request: Request) -> tuple[Kind, Respond]:
        """Find the purpose of a request, and the function that answers it."""
        if self._streams is not None and _STREAM_PATH.fullmatch(request.path):
            return self._streams.route(request)
        for pattern, kind, endpoint in self._routes:
            if match := pattern.fullmatch(f"{request.method} {request.path}"):
                return kind, partial(self._answer, kind, request, endpoint, *match.groups())
        return "other", partial(self._answer, "other", request, _find_nothing)

    async def _answer(
        self, kind: Kind, request: Request, endpoint: _Endpoint, *names: str
    ) -> Response:
        is_public = request.path == _SEARCH_PATH
        if not is_public and (refusal := self._check_token(request)) is not None:
            return refusal
        try:
            answer = await endpoint(request, *names) or NOT_FOUND
        except RefusalError as error:
            answer = error.response
        reply = answer if isinstance(answer, Response) else Response.from_json(200, answer)
        # The allowances and the header's names are the recorded ones (docs/replicate-api.md 1.5);
        # a reply to a wrong token has none of them.
        creations = self._state.count_creations_left(request.headers.get("authorization", ""))
        left = {"create": creations, "get": 59999}.get(kind, 2999)
        headers = {
            "Server": "cloudflare",
            "CF-Cache-Status": "DYNAMIC",
            "ratelimit-remaining": str(left),
            "ratelimit-reset": "1",
        }
        return replace(reply, headers={**headers, **reply.headers})

    def _check_token(self, request: Request) -> Response | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        # Both schemes are accepted (docs/replicate-api.md 1.1).
        is_valid = scheme.lower() in {"bearer", "token"} and token.strip() == self._state.token
        if is_valid or not self._state.token:
            return None
        lacking = "a valid" if token else "an"
        detail = f"You did not pass {lacking} authentication token"
        return Response.problem(401, detail, "Unauthenticated")

    async def _get_prediction(self, _: Request, prediction_id: str) -> dict[str, Any] | None:
        prediction = self._state.predictions.get(prediction_id)
        if prediction is None:
            return None
        shows = None
        if prediction.is_terminal and prediction.lag > 0:
            prediction.lag -= 1
            shows = "processing"
        return self._state.build_record(prediction, shows=shows)

    async def _cancel(self, _: Request, prediction_id: str) -> dict[str, Any] | None:
        prediction = self._state.predictions.get(prediction_id)
        if prediction is None:
            return None
        self._state.cancel(prediction)
        return self._state.build_record(prediction)

    async def _get_model(self, _: Request, name: str) -> dict[str, Any] | None:
        model = self._state.catalogue.models.get(name)
        shows_is_official = self._state.behaviour.shows_is_official
        return model.build_record(shows_is_official=shows_is_official) if model else None

    async def _list_versions(self, _: Request, name: str) -> Response | dict[str, Any] | None:
        model = self._state.catalogue.models.get(name)
        if model is None:
            return None
        if model.is_official:
            return _NO_LIST
        results = [version.build_record() for version in reversed(model.versions.values())]
        return {"previous": None, "next": None, "results": results}

    async def _get_version(self, _: Request, name: str, version_id: str) -> dict[str, Any] | None:
        version = self._state.catalogue.get_version(name, version_id)
        return version.build_record() if version else None

    async def _get_deployment(self, _: Request, name: str) -> dict[str, Any] | None:
        version = self._state.catalogue.get_deployed(name)
        return build_deployment_record(name, version) if version else None

    async def _get_file(self, _: Request, file_id: str) -> dict[str, Any] | None:
        return self._state.files.get(file_id)


async def _find_nothing(_: Request) -> None:
    return None

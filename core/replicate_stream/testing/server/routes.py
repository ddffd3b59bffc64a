"""The API half: what is asked for at which path, and what is answered.

Bodies, statuses and refusals are those of replicate-api.md 1 to 5.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from replicate_stream.testing.server.catalogue import deployment_record
from replicate_stream.testing.server.creation import NOT_FOUND, Creation
from replicate_stream.testing.server.faults import Kind
from replicate_stream.testing.server.files import store_file
from replicate_stream.testing.server.http import Request, Response, json_response, problem
from replicate_stream.testing.server.state import State
from replicate_stream.testing.server.streams import Answer, Streams

_Handler = Callable[..., Awaitable[Response]]

_NO_LIST = problem(
    404, "This model is an official model and does not expose a list of versions.", "Not found"
)


class Api:
    """Answers requests out of a state."""

    def __init__(self, state: State, *, streams: bool) -> None:
        """Set the routes up.

        Args:
            state: What there is.
            streams: Whether event streams are served here too.
        """
        self._state = state
        self._streams = Streams(state) if streams else None
        creation = Creation(state)
        name, one = r"([^/]+/[^/]+)", r"([^/]+)"
        routes: list[tuple[str, str, Kind, _Handler]] = [
            ("POST", "predictions", "create", creation.by_version),
            ("POST", f"models/{name}/predictions", "create", creation.official),
            ("POST", f"deployments/{name}/predictions", "create", creation.deployed),
            ("GET", f"predictions/{one}", "get", self._get),
            ("POST", f"predictions/{one}/cancel", "cancel", self._cancel),
            ("GET", f"models/{name}", "model", self._model),
            ("GET", f"models/{name}/versions", "version", self._versions),
            ("GET", f"models/{name}/versions/{one}", "version", self._version),
            ("GET", f"deployments/{name}", "deployment", self._deployment),
            ("POST", "files", "file", self._upload),
            ("GET", f"files/{one}", "file", self._file),
        ]
        self._routes = [
            (method, re.compile(f"/v1/{path}"), kind, handler)
            for method, path, kind, handler in routes
        ]

    def route(self, request: Request) -> tuple[Kind, Answer]:
        """What a request is for, and how to answer it."""
        if self._streams is not None and self._streams.knows(request):
            return self._streams.route(request)
        for method, pattern, kind, handler in self._routes:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                return kind, partial(self._answer, kind, request, handler, match.groups())
        return "other", partial(self._answer, "other", request, _not_found, ())

    async def _answer(
        self, kind: Kind, request: Request, handler: _Handler, names: tuple[str, ...]
    ) -> Response:
        if (refused := self._check_token(request)) is not None:
            return refused
        reply = await handler(request, *names)
        return replace(reply, headers={**self._headers(kind), **reply.headers})

    def _check_token(self, request: Request) -> Response | None:
        if not self._state.token:
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            detail = "You did not pass an authentication token"
        elif scheme.lower() not in {"bearer", "token"} or token.strip() != self._state.token:
            detail = "You did not pass a valid authentication token"
        else:
            return None
        return problem(401, detail, "Unauthenticated")

    def _headers(self, kind: Kind) -> dict[str, str]:
        # The allowances that were recorded (replicate-api.md 1.5).
        left = {"create": self._state.creations_left(), "get": 59999}.get(kind, 2999)
        return {
            "Server": "cloudflare",
            "CF-Cache-Status": "DYNAMIC",
            "ratelimit-remaining": str(left),
            "ratelimit-reset": "1",
        }

    async def _get(self, _: Request, prediction_id: str) -> Response:
        prediction = self._state.predictions.get(prediction_id)
        if prediction is None:
            return NOT_FOUND
        shows = None
        if prediction.is_terminal and prediction.lag > 0:
            prediction.lag -= 1
            shows = "processing"
        return json_response(200, self._state.record(prediction, shows=shows))

    async def _cancel(self, _: Request, prediction_id: str) -> Response:
        prediction = self._state.predictions.get(prediction_id)
        if prediction is None:
            return NOT_FOUND
        self._state.cancel(prediction)
        return json_response(200, self._state.record(prediction))

    async def _model(self, _: Request, name: str) -> Response:
        model = self._state.catalogue.models.get(name)
        if model is None:
            return NOT_FOUND
        with_official = self._state.behaviour.shows_is_official
        return json_response(200, model.record(with_official=with_official))

    async def _versions(self, _: Request, name: str) -> Response:
        model = self._state.catalogue.models.get(name)
        if model is None:
            return NOT_FOUND
        if model.is_official:
            return _NO_LIST
        results = [version.record() for version in reversed(model.versions)]
        return json_response(200, {"previous": None, "next": None, "results": results})

    async def _version(self, _: Request, name: str, version_id: str) -> Response:
        version = self._state.catalogue.version(name, version_id)
        return NOT_FOUND if version is None else json_response(200, version.record())

    async def _deployment(self, _: Request, name: str) -> Response:
        version = self._state.catalogue.deployed(name)
        if version is None:
            return NOT_FOUND
        return json_response(200, deployment_record(name, version))

    async def _upload(self, request: Request) -> Response:
        return store_file(self._state, request)

    async def _file(self, _: Request, file_id: str) -> Response:
        record = self._state.files.get(file_id)
        return NOT_FOUND if record is None else json_response(200, record)


async def _not_found(_: Request) -> Response:
    return NOT_FOUND

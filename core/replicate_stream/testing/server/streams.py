"""The stream half: `GET` a stream, and nothing else. It asks for no token.

A stream that nobody knows is no 404: it is silent until the idle timer (replicate-api.md 3.6).
Checked against nginx 1.22.1 with Nchan 1.3.6: an id of another form counts as none, and one
that does not exist goes on after where it would be.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial

from replicate_stream.testing.server.events import EventLog
from replicate_stream.testing.server.faults import Kind
from replicate_stream.testing.server.http import Request, Response
from replicate_stream.testing.server.state import State
from replicate_stream.testing.server.subscription import (
    Subscription,
    last_event_id,
    long_poll,
    wants_event_stream,
)

Answer = Callable[[], "Awaitable[Response | Subscription]"]

_PATH = re.compile(r"/v1/(?:streams|files)/([a-z2-7]{52})")


class Streams:
    """Answers requests for event streams out of a state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def knows(self, request: Request) -> bool:
        """Whether a request is for a stream."""
        return _PATH.fullmatch(request.path) is not None

    def route(self, request: Request) -> tuple[Kind, Answer]:
        """What a request is for, and how to answer it."""
        match = _PATH.fullmatch(request.path)
        if match is None:
            return "other", partial(_refuse, 404)
        if request.method != "GET":
            return "other", partial(_refuse, 403)
        return "stream", partial(self._stream, request, match[1])

    async def _stream(self, request: Request, stream_id: str) -> Response | Subscription:
        behaviour = self._state.behaviour
        prediction = self._state.find_stream(stream_id)
        log = prediction.log if prediction else EventLog()
        if not wants_event_stream(request):
            return await long_poll(log, behaviour.idle_timeout)
        return Subscription(
            log,
            after=last_event_id(request),
            replay=behaviour.replay,
            idle_timeout=behaviour.idle_timeout,
        )


async def _refuse(status: int) -> Response:
    return Response(status, b"", {"Server": "nginx/1.21.3"})

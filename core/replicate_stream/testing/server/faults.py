"""Faults on demand: what goes wrong with the next request of a kind, and exactly where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from replicate_stream.testing.server.http import PROBLEM_HEADERS, Response, json_response

Kind = Literal[
    "create", "get", "cancel", "model", "version", "deployment", "file", "stream", "other"
]
"""What a request is for."""
_KINDS = (*get_args(Kind), "any")
_NO_BODY = {204, 304}

# What the service says with a status (replicate-api.md 1.3 and 1.5); anything else has a detail.
_BODIES: Mapping[int, Mapping[str, Any]] = {
    401: {
        "title": "Unauthenticated",
        "detail": "You did not pass a valid authentication token",
        "status": 401,
    },
    402: {
        "title": "Insufficient credit",
        "detail": "You have insufficient credit to run this model. Go to "
        "https://replicate.com/account/billing#billing to purchase credit. Once you purchase "
        "credit, please wait a few minutes before trying again.",
        "status": 402,
    },
    404: {"detail": "The requested resource could not be found.", "status": 404},
    429: {"detail": "Request was throttled. Your rate limit resets in ~1s."},
    500: {"detail": "Internal server error"},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with one request.

    With `status`, `body` or `garbage` the request does nothing else: no prediction is created and
    none is cancelled. With everything else the request does its work first.

    Attributes:
        on: The kind of request that it happens to; `any` for whichever comes next.
        status: Reply with this HTTP status.
        body: Reply with this body; a dict is sent as JSON.
        headers: Headers to set in the reply.
        content_type: The reply's content type, instead of the right one.
        cut_after: Close the connection after so many bytes of the reply's body.
        reset: Close by a reset (RST) wherever the fault closes, and not cleanly (FIN).
        stall_after: After so many bytes of the body send nothing more, and keep the connection.
        delay: Seconds between doing the work and replying.
        garbage: Send these bytes instead of an HTTP reply, then close.
        drop: Close without having done anything.
        lose_reply: Do the work, then close without a reply.
    """

    on: Kind | Literal["any"]
    status: int | None = None
    body: bytes | str | Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    cut_after: int | None = None
    reset: bool = False
    stall_after: int | None = None
    delay: float = 0.0
    garbage: bytes | None = None
    drop: bool = False
    lose_reply: bool = False

    def __post_init__(self) -> None:
        if self.on not in _KINDS:
            raise ValueError(f"on is {self.on!r}; it must be one of {', '.join(_KINDS)}")
        for name in ("cut_after", "stall_after"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 bytes or more")
        if self.cut_after is not None and self.stall_after is not None:
            raise ValueError("cut_after and stall_after exclude each other")

    def canned_reply(self) -> Response | None:
        """The reply that this fault puts in the place of the right one, None if it does not."""
        if self.status is None and self.body is None:
            return None
        status = self.status or 200
        if status in _NO_BODY:
            return Response(status)
        if self.body is None:
            usual = _BODIES.get(status, {"detail": "Something went wrong.", "status": status})
            return json_response(status, usual, PROBLEM_HEADERS)
        if isinstance(self.body, Mapping):
            return json_response(status, self.body)
        body = self.body.encode() if isinstance(self.body, str) else self.body
        return Response(status, body, {"Content-Type": _sniff(body)})

    def edit_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers of a reply that this fault happens to."""
        edits = {"Content-Type": self.content_type} if self.content_type else {}
        edits.update(self.headers)
        edited = {name.lower() for name in edits}
        return {k: v for k, v in headers.items() if k.lower() not in edited} | edits


NO_FAULT = Fault("any")


class FaultQueue:
    """The faults that are still to come, first in, first out for each kind."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, int | None]] = []

    def add(self, fault: Fault, times: int | None) -> None:
        """Let a fault happen to the next `times` requests of its kind, or to all (None)."""
        if times is not None and times < 1:
            raise ValueError(f"times is {times}; it must be 1 or more, or None for always")
        self._waiting.append((fault, times))

    def clear(self) -> None:
        """Forget what has not happened yet."""
        self._waiting.clear()

    def take(self, kind: Kind) -> Fault:
        """The fault that happens to a request of this kind, `NO_FAULT` if none does."""
        for index, (fault, times) in enumerate(self._waiting):
            if fault.on in {kind, "any"}:
                if times == 1:
                    del self._waiting[index]
                elif times is not None:
                    self._waiting[index] = (fault, times - 1)
                return fault
        return NO_FAULT


def _sniff(body: bytes) -> str:
    try:
        json.loads(body)
    except ValueError:
        return "text/html" if body.lstrip().startswith(b"<") else "text/plain"
    return "application/json"

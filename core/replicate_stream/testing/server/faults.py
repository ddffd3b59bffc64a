"""Faults that a test asks for: what goes wrong with the next request of a kind, and where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from replicate_stream.testing.server.http import NOT_FOUND, PROBLEM_HEADERS, Response

Kind = Literal[
    "create", "get", "cancel", "model", "version", "deployment", "file", "list", "stream", "other"
]
"""The purpose of a request."""
_KINDS = (*get_args(Kind), "any")
_WITHOUT_BODY = {204, 304}

# The service's own bodies (docs/replicate-api.md 1.3 and 1.5), for faults that have only a status.
_RESPONSES: Mapping[int, Response] = {
    401: Response.problem(401, "You did not pass a valid authentication token", "Unauthenticated"),
    402: Response.problem(
        402,
        "You have insufficient credit to run this model. Go to "
        "https://replicate.com/account/billing#billing to purchase credit. Once you purchase "
        "credit, please wait a few minutes before trying again.",
        "Insufficient credit",
    ),
    404: NOT_FOUND,
    429: Response.from_json(
        429,
        {"detail": "Request was throttled. Your rate limit resets in ~1s."},
        PROBLEM_HEADERS,
    ),
    500: Response.from_json(500, {"detail": "Internal server error"}, PROBLEM_HEADERS),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with one request.

    With `status`, `body`, `garbage` or `drop` the request has no effect: no prediction is created,
    and none is canceled. With the other fields the request has its effect first.

    Attributes:
        on: The kind of request that it happens to; `any` for the next one of any kind.
        status: Reply with this HTTP status.
        body: Reply with this body; a dict is sent as JSON.
        headers: Headers to set in the reply.
        content_type: The reply's content type, instead of the right one.
        cut_after: Close the connection after this many bytes of the reply's body.
        reset: Close with a reset (RST) instead of cleanly (FIN), wherever the fault closes.
        stall_after: After this many bytes of the body send nothing more, and keep the connection.
        delay: Seconds between the effect and the reply.
        garbage: Send these bytes instead of an HTTP reply, then close.
        drop: Close without any effect.
        lose_reply: Have the effect, then close without a reply.
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

    def build_response(self) -> Response | None:
        """Build the reply that replaces the right one; None if this fault does not replace it."""
        if self.status is None and self.body is None:
            return None
        status = self.status or 200
        if status in _WITHOUT_BODY:
            return Response(status)
        if self.body is None:
            return _RESPONSES.get(status) or Response.problem(status, "Something went wrong.")
        if isinstance(self.body, Mapping):
            return Response.from_json(status, self.body)
        body = self.body.encode() if isinstance(self.body, str) else self.body
        return Response(status, body, {"Content-Type": _guess_content_type(body)})

    def edit_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Replace those headers of a reply that this fault sets."""
        edits = {"Content-Type": self.content_type} if self.content_type else {}
        edits.update(self.headers)
        edited = {name.lower() for name in edits}
        return {k: v for k, v in headers.items() if k.lower() not in edited} | edits


_NO_FAULT = Fault("any")


def take_fault(pending: list[tuple[Fault, int | None]], kind: Kind) -> Fault:
    """Take the first fault for a request of a kind; one without effect if there is none.

    Args:
        pending: The faults that have not happened yet, each with the number of times that it is
            still to happen; None for always.
        kind: The purpose of the request.
    """
    for index, (fault, times) in enumerate(pending):
        if fault.on in {kind, "any"}:
            if times == 1:
                del pending[index]
            elif times is not None:
                pending[index] = (fault, times - 1)
            return fault
    return _NO_FAULT


def _guess_content_type(body: bytes) -> str:
    try:
        json.loads(body)
    except RecursionError:
        return "application/json"  # nested too deeply, on purpose
    except ValueError:
        return "text/html" if body.lstrip().startswith(b"<") else "text/plain"
    return "application/json"

"""`GET /v1/predictions`: the predictions so far, newest first, in pages.

Parameters, order and page size are those of Replicate's OpenAPI document. Its cursors are opaque;
these hold the id of a prediction at the edge of a page, so that a new one does not shift the pages.
"""

from __future__ import annotations

import base64
import re
from binascii import Error as Base64Error
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlencode

from replicate_stream.testing.server.http import RefusalError, Request, Response
from replicate_stream.testing.server.prediction import EmulatedPrediction
from replicate_stream.testing.server.state import State

PAGE_SIZE = 100
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")


class HistoryEndpoints:
    """The endpoints of past predictions."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def list_predictions(self, request: Request) -> dict[str, Any]:
        """Answer `GET /predictions`."""
        found = self._filter(request)
        ids = [each.id for each in found]
        start, end = _find_page(ids, request.query.get("cursor"))
        page = found[start:end]
        return {
            "previous": self._build_url(request, {"r": 1, "p": ids[start]}) if start else None,
            "next": self._build_url(request, {"p": ids[end - 1]}) if end < len(ids) else None,
            "results": [self._build_record(each) for each in page],
        }

    def _filter(self, request: Request) -> list[EmulatedPrediction]:
        source = request.query.get("source")
        if source not in {None, "web"}:
            raise _refuse('Query parameter "source" must be web')
        if source is not None:
            return []  # all of them were created through the API
        after = _parse_time(request, "created_after")
        before = _parse_time(request, "created_before")
        return [
            each
            for each in reversed(self._state.predictions.values())
            if (after is None or each.created >= after)
            and (before is None or each.created < before)
        ]

    def _build_record(self, prediction: EmulatedPrediction) -> dict[str, Any]:
        record = {**self._state.build_record(prediction), "source": "api"}
        if not self._state.behaviour.lists_inputs:
            del record["input"]
        return record

    def _build_url(self, request: Request, cursor: dict[str, Any]) -> str:
        encoded = base64.b64encode(urlencode(cursor).encode()).decode()
        query = urlencode({**request.query, "cursor": encoded})
        return f"{self._state.api_base}{request.path}?{query}"


def _find_page(ids: list[str], cursor: str | None) -> tuple[int, int]:
    """Find the start and the end of the page that a cursor leads to."""
    if cursor is None:
        return 0, min(PAGE_SIZE, len(ids))
    try:
        fields = parse_qs(base64.b64decode(cursor, validate=True).decode())
        edge = ids.index(fields["p"][0])
    except (Base64Error, ValueError, KeyError):
        raise RefusalError(Response.problem(404, "Invalid cursor")) from None
    if "r" in fields:
        return max(0, edge - PAGE_SIZE), edge
    return edge + 1, min(edge + 1 + PAGE_SIZE, len(ids))


def _parse_time(request: Request, name: str) -> int | None:
    """Parse a parameter in ISO 8601 to nanoseconds of unix time; None without it."""
    value = request.query.get(name)
    if value is None:
        return None
    match = _TIME.fullmatch(value)
    try:
        if match is None:
            raise ValueError
        time = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    except ValueError:
        raise _refuse(f'Query parameter "{name}" must be a date-time in ISO 8601') from None
    return int(time.astimezone(timezone.utc).timestamp()) * 10**9 + int(f"{match[2] or 0:0<9}")


def _refuse(detail: str) -> RefusalError:
    return RefusalError(Response.from_json(400, {"detail": detail}))

"""The list of an account's predictions, searched for one whose creation had no response.

A process can die, or a connection break, between a creation and its response. The list shows what
was created (docs/replicate-api.md 2.8), so that it need not be created and paid again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

from replicate_stream._api.http import Http
from replicate_stream._api.responses import parse_json_object
from replicate_stream._errors import ModelNotFoundError, ResponseError
from replicate_stream._settings import is_readable, origin
from replicate_stream._types.prediction import CANCELED, to_mapping

CLOCK_TOLERANCE = 60.0
"""Seconds by which this machine's clock may be ahead of the service's."""
_ACTION = "GET /predictions"


async def find_predictions(
    http: Http,
    wanted: Counter[str],
    created_after: float,
    *,
    digest_input: Callable[[Mapping[str, Any]], str],
    known_ids: Collection[str] = (),
) -> dict[str, list[str]]:
    """Find predictions by their input.

    Args:
        http: Sends the requests.
        wanted: The digests of the inputs, with the number of predictions to find of each.
        created_after: The earliest creation, in seconds of unix time by this machine's clock.
        digest_input: Digests a record's input.
        known_ids: Predictions that are not searched for. Canceled ones are none, either.

    Returns:
        The ids found by digest, newest first.

    Raises:
        ReplicateError: The list cannot be fetched.
    """
    missing = Counter(wanted)
    found: dict[str, list[str]] = defaultdict(list)
    async with aclosing(_fetch_records(http, created_after - CLOCK_TOLERANCE)) as records:
        async for record in records:
            prediction_id, status = str(record.get("id")), str(record.get("status"))
            if prediction_id in known_ids or status in CANCELED or record.get("data_removed"):
                continue
            digest = digest_input(await _get_input(http, prediction_id, record))
            if missing[digest] > 0:
                missing[digest] -= 1
                found[digest].append(prediction_id)
                if not +missing:
                    break
    return found


async def _fetch_records(
    http: Http, created_after: float
) -> AsyncGenerator[Mapping[str, Any], None]:
    time = datetime.fromtimestamp(created_after, timezone.utc).isoformat(timespec="milliseconds")
    url: Any = f"/predictions?{urlencode({'created_after': time.replace('+00:00', 'Z')})}"
    visited: set[str] = set()
    while isinstance(url, str) and url and url not in visited:
        visited.add(url)
        page = parse_json_object(await http.request("GET", url), _ACTION)
        results = page.get("results")
        for record in results if isinstance(results, list) else ():
            yield to_mapping(record)
        url = page.get("next")
        is_url = isinstance(url, str) and bool(url)
        # The request carries the token.
        if is_url and not (is_readable(url) and origin(url) == origin(http.settings.base_url)):
            raise ResponseError(f"{_ACTION}: the next page is on another host; check base_url")


async def _get_input(http: Http, prediction_id: str, record: Mapping[str, Any]) -> Any:
    if isinstance(record.get("input"), Mapping):
        return record["input"]
    path = f"/predictions/{prediction_id}"
    try:
        single = parse_json_object(await http.request("GET", path), "GET prediction")
    except ModelNotFoundError:  # deleted since
        return {}
    return to_mapping(single.get("input"))

"""The list of an account's predictions, searched for one whose creation had no response.

A process can die, or a connection break, between a creation and its response. The list shows what
was created (docs/replicate-api.md 2.8), so that it need not be created and paid again.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

from replicate_stream._api.http import Http
from replicate_stream._api.pages import fetch_pages
from replicate_stream._api.responses import parse_json_object
from replicate_stream._errors import ModelNotFoundError, ResponseError
from replicate_stream._types.prediction import CANCELED, to_mapping

CLOCK_TOLERANCE = 60.0
"""Seconds by which this machine's clock may be ahead of the service's."""
_ACTION = "GET /predictions"
_ID = re.compile(r"\w+", re.ASCII)
# The fraction has 2 to 9 digits (docs/replicate-api.md 2.4), which Python 3.10 refuses.
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


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
        known_ids: Predictions that are not searched for, as canceled ones are not.

    Returns:
        The ids found by digest, newest first.

    Raises:
        ReplicateError: The list cannot be fetched.
    """
    missing = Counter(wanted)
    found: dict[str, list[str]] = defaultdict(list)
    async with aclosing(_fetch_records(http, created_after - CLOCK_TOLERANCE)) as records:
        async for record in records:
            prediction_id, status = record.get("id"), str(record.get("status"))
            if not isinstance(prediction_id, str) or not _ID.fullmatch(prediction_id):
                continue  # nothing could take it up
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
    """Fetch the records that are not older than a time, by the clock of the service."""
    time = datetime.fromtimestamp(created_after, timezone.utc).isoformat(timespec="milliseconds")
    path = f"/predictions?{urlencode({'created_after': time.replace('+00:00', 'Z')})}"
    async with aclosing(fetch_pages(http, "GET", path)) as pages:
        async for page in pages:
            results = page.get("results")
            if not isinstance(results, list):  # what is not found is created again, and paid
                kind = type(results).__name__
                raise ResponseError(f"{_ACTION}: results is not a list, but of type {kind}")
            records = [to_mapping(each) for each in results]
            recent = [each for each in records if not _is_older(each, created_after)]
            if records and not recent:  # the server passes over `created_after`
                return
            for record in recent:
                yield record


def _is_older(record: Mapping[str, Any], time: float) -> bool:
    """Return True for a record from before a time; False also if it has no time."""
    match = _TIME.fullmatch(str(record.get("created_at")))
    if match is None:
        return False
    try:
        created_at = datetime.fromisoformat(match[1] + match[2].replace("Z", "+00:00"))
        return created_at.timestamp() < int(time)
    except ValueError:  # such as a 13th month
        return False


async def _get_input(http: Http, prediction_id: str, record: Mapping[str, Any]) -> Any:
    if isinstance(record.get("input"), Mapping):
        return record["input"]
    path = f"/predictions/{prediction_id}"
    try:
        single = parse_json_object(await http.request("GET", path), "GET prediction")
    except ModelNotFoundError:  # deleted since
        return {}
    return to_mapping(single.get("input"))

"""Responses of the API, and the errors for those that are not successful.

Every field of an error body is optional, and a proxy in front of the API can answer with HTML
(docs/replicate-api.md 1.1 to 1.5). So each known place is tried and none is relied on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from replicate_stream._errors import (
    InvalidInputError,
    ModelNotFoundError,
    RateLimitError,
    ResponseError,
)
from replicate_stream._frozen import fill_slots
from replicate_stream._secrets import Redactor
from replicate_stream._settings import Dialect
from replicate_stream._types.strict_json import MAX_JSON_DEPTH, is_too_deep

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""Size of the largest response, when decompressed."""
MAX_INPUT_BYTES = MAX_RESPONSE_BYTES // 2
"""Size of the largest request for a prediction, as JSON.

Its response and the record repeat the input, may escape more of it, and add the answer.
"""
MAX_JSON_VALUES = 8_000_000
"""Number of values in the largest JSON that is decoded: each may take 30 times its bytes.

The vectors of 1,000 texts are half as many.
"""
# Fields that must arrive as they are: the answer, and what is compared with a request.
_EXACT_FIELDS = {"output", "input"}
# Fields that are used, and not only quoted.
_DATA_FIELDS = {
    "id", "status", "model", "version", "metrics", "next", "owner", "name", "current_release",
    "latest_version", "openapi_schema", "paths", "components",
}  # fmt: skip
_LISTS_OF_RECORDS = {"results", "models"}
# JSON or an event stream that is damaged. It is not quoted, as a page is: records hold prompts.
_DATA = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:[\[{\"]|(?:event|data|id|retry)?:)")
_EXCERPT_LENGTH = 300  # characters of a body that is not JSON
_RESETS_IN = re.compile(r"(?:resets in ~?|available in )(\d{1,9}(?:\.\d{1,9})?)\s*s", re.IGNORECASE)
# Each alternative ends where the next can begin, so that many `<` take no quadratic time.
_MARKUP = re.compile(r"<(script|style)\b.*?(?:</\1>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_REFUSED_FIELD = re.compile(r"(?:Additional property )?([\w-]+) is (?:required|not allowed)")
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_ON_UNAUTHORIZED = {
    "replicate": "check the API token: REPLICATE_API_TOKEN or api_key=",
    "cog": "dialect='cog' sends no token; is it a container? What it wants goes into headers=",
}
_BILLING = "https://replicate.com/account/billing"


@fill_slots
@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response, read to its end.

    Attributes:
        status: The HTTP status.
        headers: The headers.
        body: The body, or its start if it is larger than `MAX_RESPONSE_BYTES`.
        redactor: Removes the secrets of the request, which a server may send back.
        is_whole: False if it is larger.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    redactor: Redactor = field(default_factory=Redactor, repr=False)
    is_whole: bool = True

    @property
    def is_success(self) -> bool:
        """Whether the request was not refused."""
        return self.status < 400


def parse_json_object(response: Response, action: str) -> dict[str, Any]:
    """Parse the body of a successful response.

    Args:
        response: The response.
        action: The request, for the error's message, e.g. `GET /models/meta/llama`.

    Raises:
        ResponseError: The body is not a JSON object.
    """
    if not response.is_whole:
        raise _build_size_error(response, action)
    body = decode_json(response.body)
    if isinstance(body, dict):
        is_clean = response.redactor.is_clean(response.body)
        return body if is_clean else _redact_record(body, response.redactor)
    body = None  # error trackers record the variables of a frame
    is_data = _DATA.match(response.body) is not None
    excerpt = None if is_data else _get_excerpt(response)
    shown = f" ({len(response.body)} bytes of data, which may hold an answer)" if is_data else ""
    if not response.body:
        shown = f" (it is empty, with status {response.status})"
    action = response.redactor.redact(action)
    expected = f"a JSON object of at most {MAX_JSON_DEPTH} levels and {MAX_JSON_VALUES} values"
    raise ResponseError(
        f"{action}: the response is not {expected}{shown or f': {excerpt}'}",
        status=response.status,
        detail=excerpt,
    )


def _redact_record(record: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Copy a record without the secrets of requests, which a server may send back in any field."""
    return {name: _redact_field(name, value, redactor) for name, value in record.items()}


def _redact_field(name: str, value: Any, redactor: Redactor) -> Any:
    if name in _EXACT_FIELDS:
        return value
    if name in _LISTS_OF_RECORDS and isinstance(value, list):
        return [
            _redact_record(each, redactor) if isinstance(each, dict) else redactor.redact(each)
            for each in value
        ]
    if name == "urls" and isinstance(value, dict):
        # Left out, because a URL that is cut leads elsewhere. The documented path does as well.
        return {k: v for k, v in value.items() if redactor.redact(v, is_data=True) == v}
    return redactor.redact(value, is_data=name in _DATA_FIELDS)


def to_response_error(
    response: Response, action: str, dialect: Dialect = "replicate"
) -> ResponseError:
    """Build the error for a response with a status of 400 or more.

    Args:
        response: The response.
        action: The request, e.g. `POST /models/meta/llama/predictions`.
        dialect: The API that is spoken, for the advice.
    """
    if not response.is_whole:
        return _build_size_error(response, action)
    action = response.redactor.redact(action)  # its path may be one that the service has named
    body = response.redactor.redact(decode_json(response.body))
    if not isinstance(body, dict):
        body = {"detail": body if isinstance(body, str) else _get_excerpt(response)}
    title = _to_text(body.get("title"))
    detail = _to_text(body.get("detail")) or _to_text(body.get("error"))
    status = response.status
    phrase = _PHRASES.get(status, "unknown status")
    texts = [f"{action}: {status} {phrase}", title, (detail or "").strip()]
    message = ": ".join(text for text in texts if text)
    fields: dict[str, Any] = {
        "status": status,
        "title": title,
        "detail": detail,
        "retry_after": _parse_retry_after(response, body, detail),
        "headers": _get_headers(response),
    }
    if status == HTTPStatus.NOT_FOUND:
        return ModelNotFoundError(f"Model not found. {message}", **fields)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimitError(message, **fields)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        # A version that does not exist is 422, not 404 (docs/replicate-api.md 1.3).
        if title == "Invalid version or not permitted":
            return ModelNotFoundError(f"Model version not found. {message}", **fields)
        return InvalidInputError(message, fields=_parse_invalid_fields(body), **fields)
    if status == HTTPStatus.UNAUTHORIZED:
        message += f" ({_ON_UNAUTHORIZED[dialect]})"
    if status == HTTPStatus.PAYMENT_REQUIRED:
        message += f" (see {_BILLING})"
    return ResponseError(message, **fields)


def _build_size_error(response: Response, action: str) -> ResponseError:
    message = f"{action}: the response is larger than {MAX_RESPONSE_BYTES} bytes"
    return ResponseError(response.redactor.redact(message), status=response.status)


def _get_headers(response: Response) -> dict[str, str]:
    """Return the headers without those that may hold a secret of the server's."""
    headers = dict(response.headers)
    headers = {name: v for name, v in headers.items() if name.lower() != "set-cookie"}
    redacted: dict[str, str] = response.redactor.redact(headers)
    return redacted


def decode_json(data: bytes | str) -> Any:
    """Decode data; return None if they are not JSON, nested too deeply, or of too many values."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")  # as `json` decodes bytes
    containers = data.count(b"[") + data.count(b"{")
    if len(data) > MAX_JSON_VALUES and containers + data.count(b",") > MAX_JSON_VALUES:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    # Few values have brackets enough to be too deep; only those are walked through.
    return None if containers > MAX_JSON_DEPTH and is_too_deep(value) else value


def _get_excerpt(response: Response) -> str:
    """Return the start of a body as text, of an HTML page without its markup."""
    # Before it is cut, lest a part of a secret be left.
    body: str = response.redactor.redact(response.body.decode("utf-8", "replace"))
    text = " ".join(_MARKUP.sub(" ", body[:8192]).split())
    return text[:_EXCERPT_LENGTH] + ("…" if len(text) > _EXCERPT_LENGTH else "")


def _parse_invalid_fields(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Parse the names of the refused inputs (docs/replicate-api.md 1.4)."""
    entries = body.get("invalid_fields")
    names: list[str] = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            name = str(entry.get("field") or "").removeprefix("input.")
            if name in {"", "input"}:  # a missing or unknown input is named in the text only
                match = _REFUSED_FIELD.match(str(entry.get("description") or ""))
                name = match[1] if match else name
            names.append(name)
    if not names and isinstance(body.get("detail"), list):  # docs/replicate-api.md 7
        places = [e.get("loc") for e in body["detail"] if isinstance(e, dict)]
        names = [str(place[-1]) for place in places if isinstance(place, list) and place]
    return tuple(name for name in names if name)


def _parse_retry_after(
    response: Response, body: Mapping[str, Any], detail: str | None
) -> float | None:
    """Parse the seconds to wait from header, body or text (docs/replicate-api.md 1.5)."""
    header = next((v for k, v in response.headers.items() if k.lower() == "retry-after"), "")
    match = _RESETS_IN.search(detail or "")
    for value in (header, body.get("retry_after", "")):
        with suppress(TypeError, ValueError, OverflowError):
            if math.isfinite(seconds := float(value)):
                return max(0.0, seconds)
    with suppress(TypeError, ValueError, OverflowError):
        date = parsedate_to_datetime(header)
        date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
        return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())
    return float(match[1]) if match else None


def _to_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)

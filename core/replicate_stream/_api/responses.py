"""A reply of the API, and what it says if it is a refusal.

Every field of an error body is optional, their order varies, and behind Cloudflare a 5xx can come
as HTML (replicate-api.md 1.2-1.5). So everything is tried and nothing is relied on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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

_SHOWN = 300  # characters of a body that is not JSON
_RESETS_IN = re.compile(r"(?:resets in ~?|available in )(\d+(?:\.\d+)?)\s*s", re.IGNORECASE)
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_BILLING = "https://replicate.com/account/billing"


@dataclass(frozen=True, slots=True)
class Response:
    """A whole HTTP reply."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The decoded body.

        Raises:
            ValueError: It is not JSON.
        """
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """A header's value, whatever its case."""
        wanted = name.lower()
        return next((v for k, v in self.headers.items() if k.lower() == wanted), None)


def json_object(reply: Response, doing: str) -> dict[str, Any]:
    """The body of a good reply.

    Raises:
        ResponseError: It is not a JSON object.
    """
    try:
        body = reply.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    raise ResponseError(
        f"{doing}: the reply is not a JSON object: {_plain(reply)}",
        status=reply.status,
        detail=_plain(reply),
    )


def to_response_error(reply: Response, doing: str) -> ResponseError:
    """A refusal as the error of its kind.

    Args:
        reply: A reply of any status that is not a success.
        doing: What was being done, e.g. `POST /models/meta/llama/predictions`.
    """
    body = _problem(reply)
    title, detail = _text(body.get("title")), _text(body.get("detail")) or _text(body.get("error"))
    status = reply.status
    said = ": ".join(part for part in (title, (detail or "").strip()) if part)
    message = f"{doing}: {status} {_phrase(status)}" + (f": {said}" if said else "")
    fields: dict[str, Any] = {
        "status": status,
        "title": title,
        "detail": detail,
        "retry_after": _retry_after(reply, body, detail),
    }
    if status == HTTPStatus.NOT_FOUND:
        return ModelNotFoundError(f"Model not found. {message}", **fields)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimitError(message, **fields)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        if title == "Invalid version or not permitted":
            return ModelNotFoundError(f"Model version not found. {message}", **fields)
        return InvalidInputError(message, fields=_invalid_fields(body), **fields)
    if status == HTTPStatus.UNAUTHORIZED:
        message += " (check the API token: REPLICATE_API_TOKEN or api_key=)"
    if status == HTTPStatus.PAYMENT_REQUIRED:
        message += f" (see {_BILLING})"
    return ResponseError(message, **fields)


def _problem(reply: Response) -> Mapping[str, Any]:
    try:
        body = reply.json()
    except ValueError:
        return {"detail": _plain(reply)}
    if isinstance(body, dict):
        return body
    return {"detail": body if isinstance(body, str) else _plain(reply)}


def _plain(reply: Response) -> str:
    """The start of a body as readable text: what an HTML page says, without its markup."""
    text = " ".join(_MARKUP.sub(" ", reply.body[:8192].decode("utf-8", "replace")).split())
    return text[:_SHOWN] + ("…" if len(text) > _SHOWN else "")


def _invalid_fields(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Names out of `invalid_fields`: `input.top_k` is `top_k`; a missing one is in the words."""
    listed = body.get("invalid_fields")
    names: list[str] = []
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict):
            name = str(entry.get("field") or "").removeprefix("input.")
            if name in {"", "input"}:
                name = _named_in(str(entry.get("description") or "")) or name
            names.append(name)
    if not names and isinstance(body.get("detail"), list):  # as Cog writes it
        names = [str(e["loc"][-1]) for e in body["detail"] if isinstance(e, dict) and e.get("loc")]
    return tuple(name for name in names if name)


def _named_in(description: str) -> str | None:
    found = re.match(r"(?:Additional property )?([\w-]+) is (?:required|not allowed)", description)
    return found[1] if found else None


def _retry_after(reply: Response, body: Mapping[str, Any], detail: str | None) -> float | None:
    """Seconds to wait, from where each kind of reply says it (replicate-api.md 1.5)."""
    header = reply.header("Retry-After")
    for given in (header, body.get("retry_after")):
        if given is not None:
            try:
                return max(0.0, float(given))
            except (TypeError, ValueError):
                pass
    if header:
        try:
            until = parsedate_to_datetime(header)
        except (TypeError, ValueError):
            pass
        else:
            until = until if until.tzinfo else until.replace(tzinfo=timezone.utc)
            return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())
    found = _RESETS_IN.search(detail or "")
    return float(found[1]) if found else None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)

"""Lists that come in pages, each of which names the URL of the next one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from replicate_stream._api.http import Http
from replicate_stream._api.responses import parse_json_object
from replicate_stream._errors import ResponseError
from replicate_stream._settings import is_readable, origin

MAX_PAGES = 1000
"""The most pages that are read of one list, such as 100,000 predictions."""


async def fetch_pages(
    http: Http, method: str, path: str, **content: Any
) -> AsyncGenerator[Mapping[str, Any], None]:
    """Fetch a list page by page, until none follows, or one that was fetched before.

    Args:
        http: Sends the requests.
        method: The method of each request.
        path: The path of the first page.
        **content: `data` and `headers` of each request.

    Raises:
        ReplicateError: A page cannot be fetched.
        ResponseError: The URL of a page cannot be used, or there are more than `MAX_PAGES`.
    """
    action = f"{method} {path.partition('?')[0]}"
    url: str | None = path
    visited: set[str] = set()
    while url is not None and url not in visited:
        if len(visited) == MAX_PAGES:
            raise ResponseError(f"{action}: the list has more than {MAX_PAGES} pages")
        visited.add(url)
        page = parse_json_object(await http.request(method, url, **content), action)
        yield page
        url = _get_next_url(http, page, action)


def _get_next_url(http: Http, page: Mapping[str, Any], action: str) -> str | None:
    url = page.get("next")
    if url is None or url == "":
        return None
    if not isinstance(url, str):
        kind = type(url).__name__
        raise ResponseError(f"{action}: next is neither a URL nor null, but of type {kind}")
    # The request carries the token.
    if not is_readable(url) or origin(url) != origin(http.settings.base_url):
        raise ResponseError(f"{action}: the next page is on another host; check base_url")
    return url

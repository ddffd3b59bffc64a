"""Lists of models: Replicate's collection of language models, and the results of a search.

Search comes in two forms (docs/replicate-api.md 5.5): `GET /search`, a beta that ranks its results,
and the method `QUERY` of `/models`, which has pages and is asked where the first is missing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from replicate_stream._api.http import Http
from replicate_stream._api.pages import fetch_pages
from replicate_stream._api.responses import parse_json_object
from replicate_stream._errors import InvalidInputError, ResponseError, wrong_type
from replicate_stream._lazy import public
from replicate_stream._types.prediction import to_mapping

_COLLECTION = "/collections/language-models"
_MOST_RESULTS = 50  # the most that `GET /search` sends
# How servers answer a path, or a method, that they do not have.
_MISSING = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}


@public
@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A model in a list of models.

    Attributes:
        name: `owner/name`, as `Client.stream` takes it.
        description: One or two sentences; empty if its author wrote none.
        run_count: The number of its predictions so far, by all users.
        is_official: True if Replicate maintains it and keeps it running; None if the API does not
            publish that.
        url: Its page.
    """

    name: str
    description: str = ""
    run_count: int = 0
    is_official: bool | None = None
    url: str = ""


@public
class ModelList:
    """The models that `Client.models` finds.

    `await` returns all of them as a list; `async for` iterates over them, and requests each page
    when it is needed. Each use sends the requests anew.
    """

    def __init__(
        self, http: Http, query: str | None, is_listed: Callable[[Mapping[str, Any]], bool]
    ) -> None:
        if query is not None and not isinstance(query, str):
            raise wrong_type("query", query, "a string or None")
        if query is not None and not query.strip():
            message = "query is empty; it must be words to search for, or None for language models"
            raise InvalidInputError(message, fields=("query",))
        self._http = http
        self._query = query
        self._is_listed = is_listed

    def __aiter__(self) -> AsyncIterator[ModelSummary]:
        return self._generate()

    def __await__(self) -> Generator[Any, None, list[ModelSummary]]:
        return self._collect().__await__()

    async def _collect(self) -> list[ModelSummary]:
        return [summary async for summary in self._generate()]

    async def _generate(self) -> AsyncGenerator[ModelSummary, None]:
        seen: set[str] = set()  # pages shift while a list is read
        async with aclosing(self._fetch_records()) as records:
            async for record in records:
                summary = parse_summary(record)
                is_new = summary is not None and summary.name not in seen
                if summary is not None and is_new and self._is_listed(_get_schema(record)):
                    seen.add(summary.name)
                    yield summary

    async def _fetch_records(self) -> AsyncGenerator[Mapping[str, Any], None]:
        if self._query is None:
            for record in to_list((await self._fetch_collection()).get("models")):
                yield to_mapping(record)
            return
        try:
            found = await self._search(self._query)
        except ResponseError as error:
            if error.status not in _MISSING:
                raise
        else:
            for result in to_list(found.get("models")):
                yield to_mapping(to_mapping(result).get("model"))
            return
        async with aclosing(self._query_pages(self._query)) as records:
            async for record in records:
                yield record

    async def _fetch_collection(self) -> dict[str, Any]:
        try:
            return parse_json_object(
                await self._http.request("GET", _COLLECTION), f"GET {_COLLECTION}"
            )
        except ResponseError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            raise ResponseError(
                f"This API has no list of language models (GET {_COLLECTION}: 404)", status=404
            ) from None

    async def _search(self, query: str) -> dict[str, Any]:
        fields = {"query": query, "limit": _MOST_RESULTS}
        path = f"/search?{urlencode(fields, errors='replace')}"
        return parse_json_object(await self._http.request("GET", path), "GET /search")

    async def _query_pages(self, query: str) -> AsyncGenerator[Mapping[str, Any], None]:
        data, headers = query.encode("utf-8", "replace"), {"Content-Type": "text/plain"}
        pages = fetch_pages(self._http, "QUERY", "/models", data=data, headers=headers)
        async with aclosing(pages):
            async for page in pages:
                for record in to_list(page.get("results")):
                    yield to_mapping(record)


def parse_summary(record: Mapping[str, Any]) -> ModelSummary | None:
    """Parse the record of a model; None for one without owner and name."""
    owner, name = record.get("owner"), record.get("name")
    if not (isinstance(owner, str) and isinstance(name, str) and owner and name):
        return None
    description, url = record.get("description"), record.get("url")
    run_count, is_official = record.get("run_count"), record.get("is_official")
    return ModelSummary(
        f"{owner}/{name}",
        description.strip() if isinstance(description, str) else "",
        run_count if isinstance(run_count, int) and not isinstance(run_count, bool) else 0,
        is_official if isinstance(is_official, bool) else None,
        url if isinstance(url, str) else "",
    )


def to_list(value: Any) -> list[Any]:
    """Return a value if it is a list, or else an empty one."""
    return value if isinstance(value, list) else []


def _get_schema(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return to_mapping(to_mapping(record.get("latest_version")).get("openapi_schema"))

"""The endpoints that find models, and those that describe the account and the hardware.

Bodies and refusals are those of Replicate's OpenAPI document (docs/replicate-api.md 5.5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from replicate_stream.testing.server.catalogue import Model
from replicate_stream.testing.server.http import RefusalError, Request, Response
from replicate_stream.testing.server.state import State

PAGE_SIZE = 25
"""Models on a page; the document names no number."""
_MOST_RESULTS = 50
_COLLECTION = {
    "name": "Language models",
    "slug": "language-models",
    "description": "Models that answer with text.",
}
_ACCOUNT = {
    "type": "organization",
    "username": "acme",
    "name": "Acme Corp, Inc.",
    "github_url": "https://github.com/acme",
}
_HARDWARE = (
    ("CPU", "cpu"),
    ("Nvidia T4 GPU", "gpu-t4"),
    ("Nvidia A40 GPU", "gpu-a40-small"),
    ("Nvidia A40 (Large) GPU", "gpu-a40-large"),
)
_SORTS = ("latest_version_created_at", "model_created_at")
_DIRECTIONS = ("desc", "asc")


class DiscoveryEndpoints:
    """Lists of models and collections, search, account and hardware."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def list_models(self, request: Request) -> dict[str, Any]:
        """Answer `GET /models`: all models, by default the newest version first."""
        sort_by = _get_choice(request, "sort_by", _SORTS)
        is_descending = _get_choice(request, "sort_direction", _DIRECTIONS) == "desc"
        models = list(self._state.catalogue.models.values())  # in the order of their creation
        if sort_by == "latest_version_created_at":
            models.sort(key=lambda each: each.latest.created_at if each.latest else "")
        return self._build_page(request, models[::-1] if is_descending else models)

    async def query_models(self, request: Request) -> dict[str, Any]:
        """Answer `QUERY /models`, whose body is the text to search for."""
        return self._build_page(request, self._find(request.body.decode(errors="replace")))

    async def list_collections(self, _: Request) -> dict[str, Any]:
        """Answer `GET /collections`."""
        return {"previous": None, "next": None, "results": [_COLLECTION]}

    async def get_collection(self, _: Request, slug: str) -> dict[str, Any] | None:
        """Answer `GET /collections/{slug}`: the models whose output is text."""
        if slug != _COLLECTION["slug"]:
            return None
        models = [each for each in self._state.catalogue.models.values() if _makes_text(each)]
        return {**_COLLECTION, "full_description": None, "models": self._build_records(models)}

    async def search(self, request: Request) -> dict[str, Any]:
        """Answer `GET /search`: the models with all words of the query, the best first."""
        query = request.query.get("query", "")
        if not query.strip():
            raise _refuse('Query parameter "query" is required')
        limit = request.query.get("limit", "20")
        if not re.fullmatch(r"\d{1,3}", limit) or not 1 <= int(limit) <= _MOST_RESULTS:
            raise _refuse(f'Query parameter "limit" must be 1 to {_MOST_RESULTS}')
        found = self._find(query)[: int(limit)]
        names = [model.name for model in found if _makes_text(model)]
        return {
            "query": query,
            "models": [
                {"model": record, "metadata": _build_metadata(record, rank)}
                for rank, record in enumerate(self._build_records(found))
            ],
            "collections": [{**_COLLECTION, "models": names}] if names else [],
            "pages": [],
        }

    async def get_account(self, _: Request) -> dict[str, Any]:
        """Answer `GET /account`."""
        return dict(_ACCOUNT)

    async def list_hardware(self, _: Request) -> Response:
        """Answer `GET /hardware`."""
        return Response.from_json(200, [{"name": name, "sku": sku} for name, sku in _HARDWARE])

    def _find(self, query: str) -> list[Model]:
        words = query.lower().split()
        models = self._state.catalogue.models.values()
        found = [
            each for each in models if _has_all(words, f"{each.name} {each.description}".lower())
        ]
        return sorted(found, key=lambda each: not _has_all(words, each.name.lower()))

    def _build_records(self, models: Iterable[Model]) -> list[dict[str, Any]]:
        shows_is_official = self._state.behaviour.shows_is_official
        return [each.build_record(shows_is_official=shows_is_official) for each in models]

    def _build_page(self, request: Request, models: Sequence[Model]) -> dict[str, Any]:
        cursor = request.query.get("cursor", "0")
        start = int(cursor) if re.fullmatch(r"\d{1,9}", cursor) else 0
        return {
            "previous": self._build_url(request, start - PAGE_SIZE) if start else None,
            "next": self._build_url(request, end)
            if (end := start + PAGE_SIZE) < len(models)
            else None,
            "results": self._build_records(models[start:end]),
        }

    def _build_url(self, request: Request, start: int) -> str:
        query = urlencode({**request.query, "cursor": max(0, start)})
        return f"{self._state.api_base}{request.path}?{query}"


def _makes_text(model: Model) -> bool:
    return model.latest is not None and model.latest.makes_text


def _has_all(words: Iterable[str], text: str) -> bool:
    return all(word in text for word in words)


def _build_metadata(record: Mapping[str, Any], rank: int) -> dict[str, Any]:
    description = record["description"]
    return {"generated_description": description, "tags": [], "score": 1 / (1 + rank)}


def _get_choice(request: Request, name: str, choices: Sequence[str]) -> str:
    value = request.query.get(name, choices[0])
    if value not in choices:
        raise _refuse(f'Query parameter "{name}" must be one of {", ".join(choices)}')
    return value


def _refuse(detail: str) -> RefusalError:
    return RefusalError(Response.from_json(400, {"detail": detail}))

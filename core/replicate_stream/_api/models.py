"""References to models, and what the API publishes of a model: its schema and how it is run.

An official model is run at its own path; a community model must be run by version, so a bare name
is looked up once (docs/replicate-api.md 2.1).
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from replicate_stream._api.http import Http
from replicate_stream._api.responses import parse_json_object
from replicate_stream._api.tasks import mute_task
from replicate_stream._errors import InvalidInputError, ModelNotFoundError
from replicate_stream._types.prediction import to_mapping

# No part of a path is `.` or `..`: it would lead to another endpoint.
_PART = r"(?!\.{1,2}(?:/|\Z))[\w.-]+"
_NAME = re.compile(f"{_PART}/{_PART}")
_VERSION_NAME = re.compile(_PART)
_VERSION = re.compile(r"[0-9a-f]{64}")
_FORMS = "owner/name, owner/name:version, a version of 64 hex digits, or deployments/owner/name"


class ModelRef(NamedTuple):
    """A reference to a model: `owner/name`, optionally with a version, or a deployment."""

    name: str = ""
    version: str | None = None
    is_deployment: bool = False


@dataclass(frozen=True)
class Model:
    """A model as the API describes it.

    Attributes:
        ref: The reference by which it was looked up.
        schema: Its `openapi_schema`; None if it publishes none.
        latest_version: For a bare name, the version to run if the model is not official.
        is_official: True if it is run at its own path; None if the API does not publish it.
        is_found: False if the API does not know it.
    """

    ref: ModelRef
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    latest_version: str | None = None
    is_official: bool | None = None
    is_found: bool = True

    @property
    def schema_remedy(self) -> str:
        """The likely remedy if there is no schema."""
        return "a version needs its model's name, owner/name:version"

    @cached_property
    def endpoint(self) -> tuple[str, dict[str, Any]]:
        """The path that creates a prediction, and the fields of its body besides `input`."""
        ref = self.ref
        if ref.is_deployment:
            return f"/deployments/{ref.name}/predictions", {}
        version = ref.version or (self.latest_version if self.is_official is False else None)
        if version is not None:
            return "/predictions", {"version": version}
        return f"/models/{ref.name}/predictions", {}

    def as_community(self) -> Model | None:
        """Return the same as a community model; None if it cannot be one."""
        if self.ref.version or self.ref.is_deployment or not self.latest_version:
            return None
        return replace(self, is_official=False) if self.is_official is None else None


def parse_model(model: str) -> ModelRef:
    """Parse a reference to a model.

    Raises:
        InvalidInputError: It has none of the known forms.
    """
    return _parse_model(str(model))


@lru_cache(maxsize=256)  # a program asks few models, each of them many times
def _parse_model(model: str) -> ModelRef:
    text = model.strip()
    if _VERSION.fullmatch(text):
        return ModelRef(version=text)
    bare, colon, version = text.partition(":")
    is_deployment = bare.startswith("deployments/") and bare.count("/") > 1
    name = bare.removeprefix("deployments/") if is_deployment else bare
    has_version = bool(_VERSION_NAME.fullmatch(version)) and not is_deployment
    if _NAME.fullmatch(name) and (not colon or has_version):
        return ModelRef(name, version or None, is_deployment)
    # A text without a slash may be a token, passed by mistake.
    shown = f"is {model!r}" if "/" in text else "has no owner"
    raise InvalidInputError(f"model {shown}; it must be {_FORMS}", fields=("model",))


# Shared by all clients of the process: the model and the end of its validity, by the API's address
# and the reference.
_cache: dict[tuple[str, ModelRef], tuple[Model, float]] = {}


def forget_models(base_url: str) -> None:
    """Forget all models of an address, at which another service may listen by now."""
    for key in [key for key in list(_cache) if key[0] == base_url]:
        _cache.pop(key, None)


class Models:
    """Looks models up, each once in a process. Concurrent look-ups share their requests.

    Attributes:
        cache_seconds: Time for which the record of a model without a version is cached.
    """

    cache_seconds = 3600.0

    def __init__(self, http: Http) -> None:
        self._http = http
        self._look_ups: dict[tuple[int, ModelRef], asyncio.Task[Model]] = {}

    def parse(self, model: str) -> ModelRef:
        """Parse a reference to a model.

        Raises:
            InvalidInputError: It has none of the known forms.
        """
        return parse_model(model)

    def get_cached(self, model: str) -> Model | None:
        """Return the model if it was looked up already; None if not, or too long ago.

        Raises:
            InvalidInputError: Not a reference to a model.
        """
        ref = self.parse(model)
        cached, expires_at = _cache.get((self._http.settings.base_url, ref), (None, 0.0))
        return cached if cached is not None and expires_at > time.monotonic() else None

    async def look_up(self, model: str) -> Model:
        """Fetch the description of a model.

        A model that the API does not know is returned without a schema: creating the prediction
        then raises the API's own error, and a gateway may have no look-ups.

        Raises:
            InvalidInputError: Not a reference to a model.
            ResponseError: The API refused, and not because the model does not exist.
        """
        cached = self.get_cached(model)
        if cached is not None:
            return cached
        ref = self.parse(model)
        key = (id(asyncio.get_running_loop()), ref)
        task = self._look_ups.get(key)
        if task is None:
            task = self._look_ups[key] = asyncio.ensure_future(self._fetch_and_remember(ref))
            mute_task(task).add_done_callback(lambda done: self._end_look_up(key, done))
        # Shielded: the other callers still wait for it if this one is cancelled.
        return await asyncio.shield(task)

    def _end_look_up(self, key: tuple[int, ModelRef], task: asyncio.Task[Model]) -> None:
        self._look_ups.pop(key, None)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio logs nothing if all callers have gone

    def remember(self, model: Model) -> None:
        """Cache a model."""
        expires_at = math.inf if model.ref.version else time.monotonic() + self.cache_seconds
        _cache[self._http.settings.base_url, model.ref] = (model, expires_at)

    def forget(self, model: Model) -> None:
        """Drop a model from the cache, because its schema proved to be outdated."""
        _cache.pop((self._http.settings.base_url, model.ref), None)

    async def _fetch_and_remember(self, ref: ModelRef) -> Model:
        model = Model(ref)
        # Replicate publishes models only to requests with a token.
        if ref.name and await self._http.settings.fetch_token():
            try:
                model = await self._fetch(ref)
            except ModelNotFoundError:
                return replace(
                    model, is_found=False
                )  # not cached: it may be created, or shared, a minute later
        self.remember(model)
        return model

    async def _fetch(self, ref: ModelRef) -> Model:
        path = f"/models/{ref.name}/versions/{ref.version}"
        if ref.is_deployment:
            deployment = await self._get_json(f"/deployments/{ref.name}")
            release = to_mapping(deployment.get("current_release"))
            if not (release.get("model") and release.get("version")):
                return Model(ref)
            path = f"/models/{release['model']}/versions/{release['version']}"
        if ref.is_deployment or ref.version:
            return Model(ref, _get_schema(await self._get_json(path)))
        record = await self._get_json(f"/models/{ref.name}")
        latest = to_mapping(record.get("latest_version"))  # can be null: docs/replicate-api.md 5.1
        version, is_official = latest.get("id"), record.get("is_official")
        return Model(
            ref,
            _get_schema(latest),
            version if isinstance(version, str) else None,
            is_official if isinstance(is_official, bool) else None,
        )

    async def _get_json(self, path: str) -> dict[str, Any]:
        return parse_json_object(await self._http.request("GET", path), f"GET {path}")


def _get_schema(version: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return to_mapping(version.get("openapi_schema")) or None

"""Which model is meant, where it is run, and what its input looks like.

An official model is run under its own path; a community model must be run by version, so a bare
name is looked up once (replicate-api.md 2.1). A version's schema never changes.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from replicate_stream._api.http import Http
from replicate_stream._api.responses import json_object
from replicate_stream._errors import InvalidInputError, ModelNotFoundError

_NAME = re.compile(r"([\w.-]+)/([\w.-]+)")
_VERSION = re.compile(r"[0-9a-f]{64}")
_FORMS = "owner/name, owner/name:version, a version of 64 hex digits, or deployments/owner/name"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as the caller names it: `owner/name`, perhaps with a version, or a deployment."""

    name: str = ""
    version: str | None = None
    is_deployment: bool = False

    def __str__(self) -> str:
        if not self.name:
            return self.version or ""
        name = f"deployments/{self.name}" if self.is_deployment else self.name
        return f"{name}:{self.version}" if self.version else name


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a model.

    Attributes:
        ref: As the caller named it.
        schema: Its `openapi_schema`; None if there is none to be had.
        latest_version: For a bare name, the version to run where the model is not official.
        is_official: Whether it runs under its own path; None if the API does not say.
    """

    ref: ModelRef
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    latest_version: str | None = None
    is_official: bool | None = None

    def endpoint(self) -> tuple[str, dict[str, Any]]:
        """The path to create a prediction at, and what its body holds beside `input`."""
        ref = self.ref
        if ref.is_deployment:
            return f"/deployments/{ref.name}/predictions", {}
        version = ref.version
        if version is None and self.is_official is False:
            version = self.latest_version
        if version is not None:
            return "/predictions", {"version": version}
        return f"/models/{ref.name}/predictions", {}

    def by_version(self) -> Model | None:
        """The same as a community model, None if it cannot be run by version."""
        if self.ref.version or self.ref.is_deployment or not self.latest_version:
            return None
        return replace(self, is_official=False) if self.is_official is None else None


def parse_model(model: str) -> ModelRef:
    """Read a model reference.

    Raises:
        InvalidInputError: It has none of the known forms.
    """
    text = str(model).strip()
    if _VERSION.fullmatch(text):
        return ModelRef(version=text)
    bare, colon, version = text.partition(":")
    is_deployment = bare.startswith("deployments/") and bare.count("/") > 1
    name = bare.removeprefix("deployments/") if is_deployment else bare
    if _NAME.fullmatch(name) and (not colon or (version and not is_deployment)):
        return ModelRef(name, version or None, is_deployment)
    raise InvalidInputError(f"model is {model!r}; it must be {_FORMS}", fields=("model",))


OFFICIAL_FOR = 3600.0
"""Seconds for which what is known of a model without a version is believed."""

# What was looked up, for all clients of the process: by the API's address and the reference, the
# model and until when it is believed. A version's schema never changes.
_known: dict[tuple[str, ModelRef], tuple[Model, float]] = {}


def forget_models(base_url: str) -> None:
    """Forget what was looked up at an address: another service may have it by now."""
    for key in [key for key in _known if key[0] == base_url]:
        _known.pop(key, None)


class Models:
    """Looks models up, each once a process; concurrent requests for one share the look-up."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._asked: dict[tuple[int, ModelRef], asyncio.Task[Model]] = {}

    def known(self, model: str) -> Model | None:
        """What was looked up already and is still believed.

        Raises:
            InvalidInputError: Not a model reference.
        """
        ref = parse_model(model)
        known, until = _known.get((self._http.settings.base_url, ref), (None, 0.0))
        return known if known is not None and until > time.monotonic() else None

    async def look_up(self, model: str) -> Model:
        """Find out what is to be known of a model before it is run.

        A model that the API does not know is given back without a schema: creating the prediction
        will say what is wrong, and a gateway may know no look-ups.

        Raises:
            InvalidInputError: Not a model reference.
            ResponseError: The API refused for another reason than not knowing the model.
        """
        known = self.known(model)
        if known is not None:
            return known
        ref = parse_model(model)
        key = (id(asyncio.get_running_loop()), ref)
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.ensure_future(self._ask(ref))
            task.add_done_callback(lambda done: self._over(key, done))
        return await asyncio.shield(task)

    def _over(self, key: tuple[int, ModelRef], done: asyncio.Task[Model]) -> None:
        self._asked.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen, also when everybody who waited for it has gone

    def remember(self, model: Model) -> None:
        """Keep what running a model has taught."""
        until = math.inf if model.ref.version else time.monotonic() + OFFICIAL_FOR
        _known[self._http.settings.base_url, model.ref] = (model, until)

    def forget(self, model: Model) -> None:
        """Look a model up again the next time: what is known of it was not right."""
        _known.pop((self._http.settings.base_url, model.ref), None)

    async def _ask(self, ref: ModelRef) -> Model:
        model = Model(ref)
        if ref.name and await self._http.settings.authorization():
            try:
                model = await self._describe(ref)
            except ModelNotFoundError:
                return model  # not remembered: it may be made, or be shared, a minute later
        self.remember(model)
        return model

    async def _describe(self, ref: ModelRef) -> Model:
        if ref.is_deployment:
            release = _mapping(
                (await self._object(f"/deployments/{ref.name}")).get("current_release")
            )
            if not (release.get("model") and release.get("version")):
                return Model(ref)
            version = await self._object(
                f"/models/{release['model']}/versions/{release['version']}"
            )
            return Model(ref, _schema(version))
        if ref.version:
            return Model(
                ref, _schema(await self._object(f"/models/{ref.name}/versions/{ref.version}"))
            )
        record = await self._object(f"/models/{ref.name}")
        latest = _mapping(record.get("latest_version"))
        is_official = record.get("is_official")
        return Model(
            ref,
            _schema(latest),
            latest.get("id") if isinstance(latest.get("id"), str) else None,
            is_official if isinstance(is_official, bool) else None,
        )

    async def _object(self, path: str) -> dict[str, Any]:
        return json_object(await self._http.get(path), f"GET {path}")


def _schema(version: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return _mapping(version.get("openapi_schema")) or None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

"""The models, versions and deployments that an emulator knows, and their records."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from replicate_stream.testing.server.replies import Script

_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_VERSION_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model.

    Attributes:
        id: 64 hex digits.
        model: The model's name, `owner/name`.
        openapi: Its schema, as `schemas.build_openapi_schema` builds it.
        file_stream: Whether an output that is not text has a stream under `/v1/files/`.
        created_at: Time of its creation, as the record shows it.
    """

    id: str
    model: str
    openapi: Mapping[str, Any] = field(repr=False)
    file_stream: bool = False
    created_at: str = field(default_factory=lambda: format_time(time.time_ns(), 6))

    @property
    def streams_text(self) -> bool:
        """Whether its output is a text stream (docs/replicate-api.md 2.7)."""
        return self._has_output("x-cog-array-display", "concatenate")

    @property
    def makes_list(self) -> bool:
        """Whether its output is a list."""
        return self._has_output("type", "array")

    @property
    def is_iterator(self) -> bool:
        """Whether its output is a list that grows while it runs."""
        return self._has_output("x-cog-array-type", "iterator")

    @property
    def makes_text(self) -> bool:
        """Whether it is a language model: its output is text, or one chat completion."""
        is_text = self._has_output("type", "string") and not self._has_output("format", "uri")
        return self.streams_text or is_text or self._has_output("type", "object")

    def _has_output(self, keyword: str, value: str) -> bool:
        return bool(self.openapi["components"]["schemas"]["Output"].get(keyword) == value)

    def build_record(self) -> dict[str, Any]:
        """Build the record that the API shows."""
        return {
            "id": self.id,
            "created_at": self.created_at,
            "cog_version": "0.16.2",
            "openapi_schema": self.openapi,
        }


@dataclass(slots=True)
class Model:
    """A model, its versions by id, oldest first, and the reply of its predictions if it has one."""

    name: str
    is_official: bool = False
    versions: dict[str, Version] = field(default_factory=dict)
    latest: Version | None = None
    default_example: Mapping[str, Any] | None = None
    description: str = "An emulated model"
    reply: Script = None

    def build_record(self, *, shows_is_official: bool) -> dict[str, Any]:
        """Build the record that the API shows; older records have no `is_official`."""
        owner, _, name = self.name.partition("/")
        return {
            "url": f"https://replicate.com/{self.name}",
            "owner": owner,
            "name": name,
            "description": self.description,
            "visibility": "public",
            **({"is_official": self.is_official} if shows_is_official else {}),
            "github_url": None,
            "paper_url": None,
            "license_url": None,
            "run_count": 0,
            "cover_image_url": None,
            "default_example": self.default_example,
            # Null for a model without a version (docs/replicate-api.md 5.1).
            "latest_version": self.latest.build_record() if self.latest else None,
        }


@dataclass(slots=True)
class Catalogue:
    """All models and deployments of an emulator, by name."""

    models: dict[str, Model] = field(default_factory=dict)
    deployments: dict[str, str] = field(default_factory=dict)

    def add_version(self, version: Version, *, is_latest: bool) -> Model:
        """Add a version to its model, which is created if it is new.

        Raises:
            ValueError: The name or the version has a wrong form.
        """
        _check_name(version.model)
        if not _VERSION_ID.fullmatch(version.id):
            raise ValueError(f"version is {version.id!r}; it must be 64 lower-case hex digits")
        model = self.models.setdefault(version.model, Model(version.model))
        model.versions.pop(version.id, None)  # a version added again becomes the newest
        model.versions[version.id] = version
        if is_latest:
            model.latest = version
        return model

    def add_deployment(self, name: str, model: str) -> None:
        """Add a deployment of a model's latest version.

        Raises:
            ValueError: The name has a wrong form, or the model is unknown or has no latest version.
        """
        _check_name(name)
        if model not in self.models or self.models[model].latest is None:
            raise ValueError(f"model is {model!r}; it must have been added, with a latest version")
        self.deployments[name] = model

    def get_deployed(self, name: str) -> Version | None:
        """Return the version that a deployment runs; None for an unknown deployment."""
        model = self.models.get(self.deployments.get(name, ""))
        return model.latest if model else None

    def get_official(self, name: str) -> Version | None:
        """Return the version that runs under an official model's own path; None for other models.

        A community model must be run by version (docs/replicate-api.md 2.1).
        """
        model = self.models.get(name)
        return model.latest if model and model.is_official else None

    def get_version(self, name: str, version_id: str) -> Version | None:
        """Return a version of a model; None if it has no such version."""
        model = self.models.get(name)
        return model.versions.get(version_id) if model else None

    def find_version(self, reference: str) -> Version | None:
        """Resolve the field `version` of a create request; None if it is not permitted.

        The form `owner/name` is for official models only (docs/replicate-api.md 2.1).
        """
        if _VERSION_ID.fullmatch(reference):
            versions = (self.get_version(name, reference) for name in self.models)
            return next((v for v in versions if v), None)
        name, colon, version_id = reference.partition(":")
        return self.get_version(name, version_id) if colon else self.get_official(name)


def build_deployment_record(name: str, version: Version) -> dict[str, Any]:
    """Build the record of a deployment that the API shows."""
    owner, _, own_name = name.partition("/")
    return {
        "owner": owner,
        "name": own_name,
        "current_release": {
            "number": 1,
            "model": version.model,
            "version": version.id,
            "created_at": version.created_at,
            "created_by": {"type": "organization", "username": owner, "name": owner},
            "configuration": {"hardware": "cpu", "min_instances": 0, "max_instances": 1},
        },
    }


def format_time(nanoseconds: int, digits: int) -> str:
    """Format a unix time as ISO 8601 with `Z` and 2 to 9 fraction digits.

    The service's number of digits varies (docs/replicate-api.md 2.4).
    """
    seconds, rest = divmod(nanoseconds, 10**9)
    date = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{date}.{f'{rest:09d}'[:digits]}Z"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name; it must have the form owner/name")

"""The models, versions and deployments that the emulator knows, and their records."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model."""

    id: str
    model: str
    openapi: Mapping[str, Any] = field(repr=False)
    file_stream: bool = False
    created_at: str = field(
        default_factory=lambda: datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    )

    @property
    def output_schema(self) -> Mapping[str, Any]:
        """The schema of its output."""
        schema: Mapping[str, Any] = self.openapi["components"]["schemas"]["Output"]
        return schema

    @property
    def streams_text(self) -> bool:
        """Whether its output is a text stream (replicate-api.md 2.7)."""
        return self.output_schema.get("x-cog-array-display") == "concatenate"

    @property
    def makes_list(self) -> bool:
        """Whether its output is a list."""
        return self.output_schema.get("type") == "array"

    @property
    def is_iterator(self) -> bool:
        """Whether its output is a list that can be seen growing."""
        return self.output_schema.get("x-cog-array-type") == "iterator"

    def record(self) -> dict[str, Any]:
        """The version as the API describes it."""
        return {
            "id": self.id,
            "created_at": self.created_at,
            "cog_version": "0.16.2",
            "openapi_schema": self.openapi,
        }


@dataclass(slots=True)
class Model:
    """A model and its versions, oldest first."""

    name: str
    is_official: bool = False
    versions: list[Version] = field(default_factory=list)
    latest: Version | None = None
    default_example: Mapping[str, Any] | None = None

    def record(self, *, with_official: bool) -> dict[str, Any]:
        """The model as the API describes it; older replies do not say whether it is official."""
        owner, _, name = self.name.partition("/")
        official = {"is_official": self.is_official} if with_official else {}
        return {
            "url": f"https://replicate.com/{self.name}",
            "owner": owner,
            "name": name,
            "description": "An emulated language model",
            "visibility": "public",
            **official,
            "github_url": None,
            "paper_url": None,
            "license_url": None,
            "run_count": 0,
            "cover_image_url": None,
            "default_example": self.default_example,
            "latest_version": self.latest.record() if self.latest else None,
        }


class Catalogue:
    """Everything that can be run."""

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}
        self.deployments: dict[str, str] = {}

    def add(
        self,
        name: str,
        openapi: Mapping[str, Any],
        *,
        official: bool,
        version: str | None,
        latest: bool,
        default_example: Mapping[str, Any] | None,
        file_stream: bool,
    ) -> Version:
        """Add a version to a model, which is made if it is new.

        Raises:
            ValueError: A name or a version of another form.
        """
        _check_name(name)
        version = version or secrets.token_hex(32)
        if not _HEX.fullmatch(version):
            raise ValueError(f"version is {version!r}; it must be 64 lower-case hex digits")
        model = self.models.setdefault(name, Model(name))
        model.is_official = official
        model.default_example = default_example or model.default_example
        added = Version(version, name, openapi, file_stream)
        model.versions = [v for v in model.versions if v.id != version] + [added]
        if latest:
            model.latest = added
        return added

    def add_deployment(self, name: str, model: str) -> None:
        """Add a deployment of a model's latest version.

        Raises:
            ValueError: There is no such model, or it has no latest version.
        """
        _check_name(name)
        if model not in self.models or self.models[model].latest is None:
            raise ValueError(f"model is {model!r}; it must have been added, with a latest version")
        self.deployments[name] = model

    def deployed(self, name: str) -> Version | None:
        """The version that a deployment runs, None if there is no such deployment."""
        model = self.models.get(self.deployments.get(name, ""))
        return model.latest if model else None

    def official(self, name: str) -> Version | None:
        """The version that an official model's own endpoint runs, None for every other model."""
        model = self.models.get(name)
        return model.latest if model and model.is_official else None

    def version(self, name: str, version_id: str) -> Version | None:
        """A version of a model, None if it has no such version."""
        model = self.models.get(name)
        return next((v for v in model.versions if v.id == version_id), None) if model else None

    def find(self, reference: str) -> Version | None:
        """What the `version` field of a create request means, None if it is not permitted.

        `owner/name` is for official models only (replicate-api.md 2.1).
        """
        if _HEX.fullmatch(reference):
            found = (self.version(name, reference) for name in self.models)
            return next((v for v in found if v), None)
        name, colon, version_id = reference.partition(":")
        return self.version(name, version_id) if colon else self.official(name)

    def is_official(self, name: str) -> bool:
        """Whether there is such a model and it is official."""
        return name in self.models and self.models[name].is_official


def deployment_record(name: str, version: Version) -> dict[str, Any]:
    """A deployment as the API describes it."""
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


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name; it must have the form owner/name")

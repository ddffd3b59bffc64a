"""A short way to prepare an input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from replicate_stream import PreparedInput, prepare_input


@pytest.fixture
def prepare() -> Callable[..., PreparedInput]:
    """A function that prepares messages for a model with these inputs, in this order."""

    def prepare(
        messages: Any = "hi", *, model: str = "acme/oracle", properties: Any = None, **given: Any
    ) -> PreparedInput:
        ordered = {
            name: {**spec, "x-order": i}
            for i, (name, spec) in enumerate((properties or {"prompt": {"type": "string"}}).items())
        }
        schema = {"type": "object", "properties": ordered}
        return prepare_input(messages, model=model, schema=schema, **given)

    return prepare

"""How a model writes JSON when it does not write it well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from replicate_stream.testing._tool_user._json import dump


@dataclass(frozen=True, slots=True)
class Style:
    """A model's bad habits.

    Attributes:
        is_fenced: Puts a code fence around JSON.
        is_python: Writes dicts as Python does: single quotes, `True`, `None`.
    """

    is_fenced: bool = False
    is_python: bool = False

    def value(self, value: Any) -> str:
        """A value, as JSON or as what the model takes for it."""
        return repr(value) if self.is_python else dump(value)

    def call(self, name: str, arguments: Mapping[str, Any] | str, key: str, **more: str) -> str:
        """A call as an object, with the arguments under `key`."""
        return self.value({"name": name, key: arguments, **more})

    def block(self, text: str) -> str:
        """JSON as it stands in the answer."""
        return f"```json\n{text}\n```" if self.is_fenced else text


PLAIN = Style()

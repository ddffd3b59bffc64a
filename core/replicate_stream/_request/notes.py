"""What was adapted, in words, and what to do about a parameter that a model does not have.

Notes name fields and numbers. They never carry the text of a prompt, because they are logged.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from replicate_stream._errors import (
    InvalidInputError,
    ParameterWarning,
    UnsupportedParameterError,
)
from replicate_stream._model.field_names import closest

OnUnsupported: TypeAlias = Literal["raise", "warn", "ignore"]


class Notes:
    """Collects the notes of one preparation.

    Args:
        on_unsupported: `raise`, `warn` or `ignore`.
        available: The model's inputs, for the error; empty where they are not known.

    Attributes:
        notes: One sentence each, in the order of the adaptations.

    Raises:
        InvalidInputError: `on_unsupported` is none of the three.
    """

    __slots__ = ("_available", "_on_unsupported", "notes")

    def __init__(self, on_unsupported: str, available: Sequence[str]) -> None:
        if on_unsupported not in get_args(OnUnsupported):
            raise refuse("on_unsupported", on_unsupported, "'raise', 'warn' or 'ignore'")
        self._on_unsupported = on_unsupported
        self._available = tuple(available)
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        """Record an adaptation that loses nothing."""
        self.notes.append(sentence)

    def warn(self, sentence: str) -> None:
        """Record an adaptation that changes what was asked for, and warn of it."""
        self.notes.append(sentence)
        warnings.warn(sentence, ParameterWarning, stacklevel=2)

    def unsupported(self, parameter: str, *, because: str | None = None) -> None:
        """Deal with a parameter that the model has no input for.

        Args:
            parameter: Its name.
            because: What to say instead of "the model has no input for it".

        Raises:
            UnsupportedParameterError: `on_unsupported` is `raise`.
        """
        fact = because or f"The model has no input for {parameter!r}"
        if self._on_unsupported == "raise":
            near = closest(parameter, self._available)
            hint = f"; did you mean {near}?" if near else "."
            has = f" It has: {', '.join(self._available)}." if self._available else ""
            raise UnsupportedParameterError(
                f"{fact}{hint}{has}", parameter=parameter, available=self._available
            )
        sentence = f"{fact}; it was left out."
        (self.warn if self._on_unsupported == "warn" else self.note)(sentence)


def refuse(parameter: str, value: object, allowed: str) -> InvalidInputError:
    """The error for a parameter whose value cannot be meant, and has no nearest meaning."""
    return InvalidInputError(f"{parameter} is {value!r}; {allowed} is needed", fields=(parameter,))

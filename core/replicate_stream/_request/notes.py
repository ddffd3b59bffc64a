"""Notes on how a request was adapted to the model, and the policy for unsupported parameters.

Notes hold the names of inputs and numbers, never the text of a prompt, because they are logged.
"""

from __future__ import annotations

from collections.abc import Sequence

from replicate_stream._errors import ParameterWarning, UnsupportedParameterError
from replicate_stream._model.field_names import find_closest_name
from replicate_stream._types.parameters import OnUnsupported
from replicate_stream._warnings import warn_caller


class Notes:
    """Collects the notes of one request.

    Args:
        on_unsupported: The policy for a parameter that the model has no input for: `raise`,
            `warn` or `ignore`.
        available: The model's inputs, for the error message; empty if they are not known.

    Attributes:
        sentences: One sentence for each adaptation, in order.
    """

    __slots__ = ("_available", "_on_unsupported", "sentences")

    def __init__(self, on_unsupported: OnUnsupported, available: Sequence[str]) -> None:
        self._on_unsupported = on_unsupported
        self._available = tuple(available)
        self.sentences: list[str] = []

    def add(self, sentence: str) -> None:
        """Add a note on an adaptation that loses nothing."""
        self.sentences.append(sentence)

    def add_once(self, sentence: str) -> None:
        """Add a note unless it is there already."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)

    def warn(self, sentence: str) -> None:
        """Add a note on an adaptation that changes a parameter, and warn the caller."""
        self.sentences.append(sentence)
        warn_caller(sentence, ParameterWarning)

    def handle_unsupported(self, parameter: str, *, reason: str | None = None) -> None:
        """Raise, warn or add a note, by `on_unsupported`.

        Args:
            parameter: The parameter's name.
            reason: A clause in place of "The model has no input for …".

        Raises:
            UnsupportedParameterError: `on_unsupported` is `raise`.
        """
        fact = reason or f"The model has no input for {parameter!r}"
        if self._on_unsupported == "raise":
            near = find_closest_name(parameter, self._available)
            hint = f"; did you mean {near}?" if near else "."
            inputs = f" Its inputs: {', '.join(self._available)}." if self._available else ""
            raise UnsupportedParameterError(
                f"{fact}{hint}{inputs}", parameter=parameter, available=self._available
            )
        sentence = f"{fact}; it was left out."
        if self._on_unsupported == "warn":
            self.warn(sentence)
        else:
            self.add(sentence)

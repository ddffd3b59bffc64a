"""The input of a prediction while it is built, with notes on how the request was adapted.

Notes hold the names of inputs and numbers, never the text of a prompt, because they are logged.
"""

from __future__ import annotations

from typing import Any

from replicate_stream._errors import ParameterWarning, UnsupportedParameterError
from replicate_stream._model.field_names import find_closest_name
from replicate_stream._model.profile import ModelProfile
from replicate_stream._types.media import Upload
from replicate_stream._types.parameters import OnUnsupported
from replicate_stream._warnings import warn_caller


class InputBuilder:
    """The input of one prediction, the model that it is for, and the notes of the request.

    Args:
        profile: The attribute.
        on_unsupported: The policy for a parameter that the model has no input for: `raise`,
            `warn` or `ignore`.

    Attributes:
        profile: The model's profile.
        input: The `input` object, to which every step adds its part.
        uploads: Files that still have to be read or uploaded; placeholders stand in their place.
        notes: One sentence for each adaptation, in order.
    """

    def __init__(self, profile: ModelProfile, on_unsupported: OnUnsupported) -> None:
        self.profile = profile
        self.input: dict[str, Any] = {}
        self.uploads: list[Upload] = []
        self.notes: list[str] = []
        self._on_unsupported = on_unsupported

    def note(self, sentence: str) -> None:
        """Add a note on an adaptation that loses nothing."""
        self.notes.append(sentence)

    def note_once(self, sentence: str) -> None:
        """Add a note unless it is there already."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def warn(self, sentence: str) -> None:
        """Add a note on an adaptation that changes a parameter, and warn the caller."""
        self.notes.append(sentence)
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
            profile = self.profile
            available = tuple(profile.schema.fields) if profile.has_schema else ()
            near = find_closest_name(parameter, available)
            hint = f"; did you mean {near}?" if near else "."
            inputs = f" Its inputs: {', '.join(available)}." if available else ""
            raise UnsupportedParameterError(
                f"{fact}{hint}{inputs}", parameter=parameter, available=available
            )
        sentence = f"{fact}; it was left out."
        if self._on_unsupported == "warn":
            self.warn(sentence)
        else:
            self.note(sentence)

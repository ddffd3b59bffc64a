"""Put stop sequences into the model's input for them. The client enforces all of them anyway.

Models take them as a list, as one string, or as strings joined by commas, where a sequence with a
comma would be split.
"""

from __future__ import annotations

from typing import Any

from replicate_stream._model.input_schema import InputField
from replicate_stream._model.profile import ModelProfile
from replicate_stream._request.notes import Notes


def put_stop(
    sequences: tuple[str, ...],
    profile: ModelProfile,
    model_input: dict[str, Any],
    notes: Notes,
) -> None:
    """Put as many stop sequences into the input as the model can take."""
    field = profile.parameters.get("stop")
    sent = () if field is None else _select_encodable(sequences, field)
    if field is not None and sent:
        model_input[field.name] = list(sent) if field.kind == "array" else ",".join(sent)
    unsent = len(sequences) - len(sent)
    if unsent:
        reason = "no input takes them" if field is None else f"{field.name} cannot hold them"
        count = f"{unsent} of {len(sequences)} stop sequences"
        notes.add(f"The client alone enforces {count}: {reason}.")


def _select_encodable(sequences: tuple[str, ...], field: InputField) -> tuple[str, ...]:
    if field.kind == "array":
        limit = field.spec.get("maxItems")
        return sequences[:limit] if isinstance(limit, int) else sequences
    # Without a description, a plural such as `stop_sequences` is taken for a list.
    if "comma" in field.description or (not field.description and field.name.endswith("s")):
        return tuple(each for each in sequences if "," not in each)
    return sequences[:1]

"""Stop sequences in the field's own encoding; the client enforces all of them in any case.

The encodings: an array, one text, or texts joined by commas, which can carry no comma.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replicate_stream._errors import InvalidInputError, wrong_type
from replicate_stream._model import field_names
from replicate_stream._model.input_schema import InputField, InputSchema
from replicate_stream._request.notes import Notes


def put_stops(
    stop: str | Sequence[str] | None, schema: InputSchema, target: dict[str, Any], report: Notes
) -> tuple[str, ...]:
    """Put into `target` what the model's encoding can carry.

    Returns:
        All stop sequences, in the given order, each once.

    Raises:
        InvalidInputError: One of them is empty or no text.
    """
    if stop is not None and not isinstance(stop, Sequence):
        raise wrong_type("stop", stop, "a text or a list of texts")
    given: tuple[Any, ...] = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if not all(isinstance(each, str) and each for each in given):
        raise InvalidInputError(
            "stop holds an empty sequence or what is no text; texts are needed", fields=("stop",)
        )
    stops = tuple(dict.fromkeys(given))
    if not stops:
        return ()
    field = field_names.find_parameter(schema, "stop")
    carried = () if field is None else _carried(stops, field)
    if field is not None and carried:
        target[field.name] = list(carried) if field.kind == "array" else ",".join(carried)
    left = len(stops) - len(carried)
    if left:
        why = "there is no input for them" if field is None else f"{field.name} cannot carry them"
        report.note(f"The client alone enforces {left} of {len(stops)} stop sequences: {why}.")
    return stops


def _carried(stops: tuple[str, ...], field: InputField) -> tuple[str, ...]:
    if field.kind == "array":
        most = field.spec.get("maxItems")
        return stops[:most] if isinstance(most, int) else stops
    if "comma" in field.about or (not field.about and field.name.endswith("s")):
        return tuple(each for each in stops if "," not in each)
    return stops[:1]

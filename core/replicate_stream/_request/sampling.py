"""Put sampling parameters into a model's inputs: under its names, in its types and ranges.

The service refuses a value out of range, and ignores an unknown name (docs/replicate-api.md 5.3).
So the nearest allowed value is sent, with a warning, unless it would mean something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replicate_stream._errors import invalid_value
from replicate_stream._model.input_schema import InputField
from replicate_stream._model.profile import ModelProfile
from replicate_stream._request.notes import Notes


def put_sampling(
    sampling: Mapping[str, float],
    profile: ModelProfile,
    model_input: dict[str, Any],
    notes: Notes,
) -> None:
    """Put the numeric parameters into the input, with the switches that they depend on.

    Args:
        sampling: The parameters that are set, by name.
        profile: The model's inputs.
        model_input: The input being built.
        notes: Collects the adaptations.

    Raises:
        InvalidInputError: A value is out of the model's range, and the nearest allowed value would
            mean something else.
        UnsupportedParameterError: The model has no such input, and `on_unsupported` is `raise`.
    """
    for parameter, value in sampling.items():
        field = profile.parameters.get(parameter)
        if field is None:
            notes.handle_unsupported(parameter)
            continue
        if parameter == "max_tokens" and profile.max_tokens_counts_prompt:
            notes.add(f"{field.name} bounds the prompt and the answer together.")
        model_input[field.name] = _fit(parameter, value, field, notes)
    chosen = [name for name in ("temperature", "top_p", "top_k") if name in sampling]
    if chosen:
        is_greedy = sampling.get("temperature") == 0
        _put_switches(chosen, is_greedy, profile.schema.fields, model_input, notes)


def _fit(parameter: str, value: float, field: InputField, notes: Notes) -> float | str:
    """Move a value into the input's range, and convert it to the input's type."""
    allowed = value
    if field.minimum is not None:
        allowed = max(allowed, field.minimum)
    if field.maximum is not None:
        allowed = min(allowed, field.maximum)
    if allowed != value:
        if _changes_meaning(parameter, value, allowed):
            raise invalid_value(
                parameter, value, f"{_format_range(field)} for the model's {field.name}"
            )
        notes.warn(
            f"{field.name} is {allowed:g} instead of {value:g}: it must be {_format_range(field)}."
        )
    if field.kind == "integer":
        return round(allowed)
    return f"{allowed:g}" if field.kind == "string" else allowed


def _changes_meaning(parameter: str, value: float, allowed: float) -> bool:
    """True if the nearest allowed value is not an approximation."""
    # top_k 0 or -1 turns the limit off, while 1 is the strictest one.
    if parameter == "top_k":
        return value <= 0
    return value < 0 < allowed or allowed < 0 < value


def _format_range(field: InputField) -> str:
    if field.minimum is None:
        return f"{field.maximum:g} or less"
    if field.maximum is None:
        return f"{field.minimum:g} or more"
    return f"{field.minimum:g} to {field.maximum:g}"


def _put_switches(
    chosen: list[str],
    is_greedy: bool,
    fields: Mapping[str, InputField],
    model_input: dict[str, Any],
    notes: Notes,
) -> None:
    """Set the inputs without which a sampling parameter is sent and has no effect.

    `do_sample` switches between sampling and greedy decoding, `decoding` selects the one sampling
    parameter that counts, and `use_nucleus_sampling` switches `top_p` on.
    """
    sample = fields.get("do_sample")
    # Set only against its default: a value that changes nothing needs no note.
    if sample is not None and sample.kind == "boolean" and bool(sample.default) == is_greedy:
        model_input[sample.name] = not is_greedy
        notes.add(f"{sample.name} was set to {not is_greedy}, as {chosen[0]} asks for.")
    nucleus = fields.get("use_nucleus_sampling")
    if nucleus is not None and nucleus.kind == "boolean" and "top_p" in chosen:
        model_input[nucleus.name] = True
        notes.add(f"{nucleus.name} was set, without which top_p has no effect.")
    decoding = fields.get("decoding")
    selected = next((name for name in ("top_p", "top_k") if name in chosen), None)
    if decoding is None or selected is None or selected not in decoding.choices:
        return
    if decoding.default != selected:
        model_input[decoding.name] = selected
        notes.add(f"{decoding.name} was set to {selected}, without which it has no effect.")
    if selected == "top_p" and "top_k" in chosen:
        notes.add(f"top_k has no effect with {decoding.name} {selected}.")

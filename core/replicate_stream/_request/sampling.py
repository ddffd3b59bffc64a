"""Put sampling parameters and stop sequences into a model's inputs, as it names and types them.

The service refuses a value out of range, and ignores an unknown name (docs/replicate-api.md 5.3).
So the nearest allowed value is sent, with a warning, unless it would mean something else.
"""

from __future__ import annotations

from collections.abc import Mapping

from replicate_stream._errors import invalid_value
from replicate_stream._model.input_schema import InputField
from replicate_stream._request.input_builder import InputBuilder


def put_sampling(sampling: Mapping[str, float], builder: InputBuilder) -> None:
    """Put the numeric parameters into the input, with the switches that they depend on.

    Args:
        sampling: The parameters that are set, by name.
        builder: The input being built.

    Raises:
        InvalidInputError: A value is out of the model's range, and the nearest allowed value would
            mean something else.
        UnsupportedParameterError: The model has no such input, and `on_unsupported` is `raise`.
    """
    profile = builder.profile
    for parameter, value in sampling.items():
        field = profile.parameters.get(parameter)
        if field is None:
            builder.handle_unsupported(parameter)
            continue
        if parameter == "max_tokens" and profile.max_tokens_counts_prompt:
            builder.note(f"{field.name} bounds the prompt and the answer together.")
        builder.input[field.name] = _fit(parameter, value, field, builder)
    chosen = [name for name in ("temperature", "top_p", "top_k") if name in sampling]
    if chosen:
        _put_switches(chosen, sampling.get("temperature") == 0, builder)


def _fit(parameter: str, value: float, field: InputField, builder: InputBuilder) -> float | str:
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
        builder.warn(
            f"{field.name} is {_format(allowed)} instead of {parameter}={_format(value)}: "
            f"it must be {_format_range(field)}."
        )
    if field.kind == "integer":
        return round(allowed)
    return _format(allowed) if field.kind == "string" else allowed


def _changes_meaning(parameter: str, value: float, allowed: float) -> bool:
    """True if the nearest allowed value is not an approximation."""
    # top_k 0 or -1 turns the limit off, while 1 is the strictest one.
    if parameter == "top_k":
        return value <= 0
    return value < 0 < allowed or allowed < 0 < value


def _format_range(field: InputField) -> str:
    if field.maximum is None:
        return f"{_format(field.minimum or 0)} or more"
    if field.minimum is None:
        return f"{_format(field.maximum)} or less"
    return f"{_format(field.minimum)} to {_format(field.maximum)}"


def _format(number: float) -> str:
    return f"{number:.15g}"  # the default precision turns 1048577 into 1.04858e+06


def _put_switches(chosen: list[str], is_greedy: bool, builder: InputBuilder) -> None:
    """Set the inputs without which a sampling parameter is sent and has no effect.

    `do_sample` switches between sampling and greedy decoding, `decoding` selects the one sampling
    parameter that counts, and `use_nucleus_sampling` switches `top_p` on.
    """
    fields, model_input = builder.profile.schema.fields, builder.input
    sample = fields.get("do_sample")
    # Set only against its default: a value that changes nothing needs no note.
    if sample is not None and sample.kind == "boolean" and bool(sample.default) == is_greedy:
        model_input[sample.name] = not is_greedy
        builder.note(f"{sample.name} was set to {not is_greedy}, as {chosen[0]} asks for.")
    nucleus = fields.get("use_nucleus_sampling")
    if nucleus is not None and nucleus.kind == "boolean" and "top_p" in chosen:
        model_input[nucleus.name] = True
        builder.note(f"{nucleus.name} was set, without which top_p has no effect.")
    decoding = fields.get("decoding")
    selected = next((name for name in ("top_p", "top_k") if name in chosen), None)
    if decoding is None or selected is None or selected not in decoding.choices:
        return
    if decoding.default != selected:
        model_input[decoding.name] = selected
        builder.note(f"{decoding.name} was set to {selected}, without which it has no effect.")
    if selected == "top_p" and "top_k" in chosen:
        builder.note(f"top_k has no effect with {decoding.name} {selected}.")


def put_stop(sequences: tuple[str, ...], builder: InputBuilder) -> None:
    """Put as many stop sequences into the input as the model can take.

    The client enforces all of them anyway. Models take them as a list, as one string, or as strings
    joined by commas, where a sequence with a comma would be split.
    """
    field = builder.profile.parameters.get("stop")
    sent = () if field is None else _select_encodable(sequences, field)
    if field is not None and sent:
        builder.input[field.name] = list(sent) if field.can_be_list else ",".join(sent)
    unsent = len(sequences) - len(sent)
    if unsent:
        reason = "no input takes them" if field is None else f"{field.name} cannot hold them"
        count = f"{unsent} of {len(sequences)} stop sequences"
        builder.note(f"The client alone enforces {count}: {reason}.")


def _select_encodable(sequences: tuple[str, ...], field: InputField) -> tuple[str, ...]:
    if field.can_be_list:
        limit = field.spec.get("maxItems")
        return sequences[:limit] if isinstance(limit, int) else sequences
    # Without a description, a plural such as `stop_sequences` is taken for a list.
    if "comma" in field.description or (not field.description and field.name.endswith("s")):
        return tuple(each for each in sequences if "," not in each)
    return sequences[:1]

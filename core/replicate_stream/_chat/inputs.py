"""Messages and parameters into the `input` object that a model really takes.

Pure: what is sent depends on the arguments alone. Replicate ignores an unknown input without a
word, so everything is checked against the model's schema before anything is paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._chat import fields
from replicate_stream._chat.conversation import put_conversation
from replicate_stream._chat.messages import Message, Messages, ToolSpec, to_messages
from replicate_stream._chat.output import OutputKind, output_kind
from replicate_stream._chat.parameters import put_numbers
from replicate_stream._chat.report import Report
from replicate_stream._chat.schema import InputField, InputSchema, read_schema
from replicate_stream._errors import InvalidInputError

# What most of Replicate's own language models take (replicate-api.md 5.2), for want of a schema.
_USUAL: Mapping[str, Any] = {
    "properties": {
        "prompt": {"type": "string", "x-order": 0},
        "system_prompt": {"type": "string", "x-order": 1},
        "max_tokens": {"type": "integer", "x-order": 2},
        "temperature": {"type": "number", "x-order": 3},
        "top_p": {"type": "number", "x-order": 4},
        "top_k": {"type": "integer", "x-order": 5},
        "presence_penalty": {"type": "number", "x-order": 6},
        "frequency_penalty": {"type": "number", "x-order": 7},
        "seed": {"type": "integer", "x-order": 8},
        "stop_sequences": {
            "type": "string",
            "description": "A comma-separated list of sequences.",
            "x-order": 9,
        },
    }
}


@dataclass(frozen=True, slots=True)
class PreparedInput:
    """What will be sent, and what the client has to know about it.

    Attributes:
        input: The `input` object under the model's own names.
        notes: Each adaptation in one sentence, without the text of a prompt.
        stop: The stop sequences that the client enforces: all of them, on every model.
        max_tokens: The bound of the answer as sent, in tokens; None if there is none.
        output: What the model's output schema announces; None if it is not known.
    """

    input: dict[str, Any] = field(repr=False)
    notes: list[str] = field(default_factory=list)
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    output: OutputKind | None = None


def prepare_input(
    messages: Messages,
    *,
    model: str,
    schema: Mapping[str, Any] | InputSchema | None,
    system_prompt: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    stop: str | Sequence[str] | None = None,
    seed: int | None = None,
    presence_penalty: float | None = None,
    frequency_penalty: float | None = None,
    tools: Sequence[ToolSpec | Mapping[str, Any]] | None = None,
    tool_choice: Any = None,
    response_format: Any = None,
    extra_input: Mapping[str, Any] | None = None,
    on_unsupported: str = "raise",
    prompt_format: str | None = None,
) -> PreparedInput:
    """Turn messages and parameters into a model's own input. No I/O, nothing is paid.

    Args:
        messages: A text, a `Message`, or several of them, also as dicts.
        model: The model's name, for want of better hints on its chat format.
        schema: The model's input schema: the `Input` object, a whole `openapi_schema`, or what
            `read_schema` made of one; None if it is not known.
        system_prompt: A system text before those among the messages.
        max_tokens: The longest answer, in tokens.
        temperature: Randomness, 0 or more.
        top_p: Nucleus sampling, 0 to 1.
        top_k: How many of the likeliest tokens to choose from; 0 or -1 for all.
        stop: One stop sequence or several.
        seed: For repeatable answers.
        presence_penalty: Against tokens that occurred at all.
        frequency_penalty: Against tokens by how often they occurred.
        tools: Tools that the model may call.
        tool_choice: Whether it must call one.
        response_format: The form of the answer.
        extra_input: Further fields of the input under the model's names; they win.
        on_unsupported: What to do about a parameter without a field: `raise`, `warn`, `ignore`.
        prompt_format: The chat format, where the choice by schema and name is not right.

    Raises:
        InvalidInputError: A value that cannot be sent, or an input that is still missing.
        UnsupportedParameterError: No field for a parameter, and `on_unsupported` is `raise`.
    """
    known = _known(schema)
    report = Report(on_unsupported, known.names if schema is not None else None)
    if schema is None:
        report.note(f"The input schema of {model} is not known; the usual names were used.")
    if prompt_format is not None:
        report.unsupported("prompt_format")
    said = to_messages(messages)
    if system_prompt:
        said.insert(0, Message("system", system_prompt))
    target: dict[str, Any] = {}
    put_conversation(said, known, target, report)
    numbers = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "seed": seed,
        "presence_penalty": presence_penalty,
        "frequency_penalty": frequency_penalty,
    }
    put_numbers(numbers, known, target, report)
    stops = _put_stops(stop, known, target, report)
    natives = {"tools": tools, "tool_choice": tool_choice, "response_format": response_format}
    _put_natives(natives, known, target, report)
    _put_extra(extra_input or {}, known if schema is not None else None, target, report)
    _require(known, target)
    bound = fields.find_max_tokens(known)
    sent = target.get(bound.name) if bound else None
    return PreparedInput(
        input=target,
        notes=report.notes,
        stop=stops,
        max_tokens=sent if isinstance(sent, int) else None,
        output=output_kind(known.output),
    )


def _known(schema: Mapping[str, Any] | InputSchema | None) -> InputSchema:
    if isinstance(schema, InputSchema):
        return schema
    return read_schema(_USUAL if schema is None else schema)


def _put_stops(
    stop: str | Sequence[str] | None, schema: InputSchema, target: dict[str, Any], report: Report
) -> tuple[str, ...]:
    """Send what the model's own encoding can carry; the client enforces all of them anyway."""
    stops: tuple[Any, ...] = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if not all(isinstance(each, str) and each for each in stops):
        raise InvalidInputError("stop holds what is not a non-empty text", fields=("stop",))
    own = fields.find_parameter(schema, "stop")
    if not stops:
        return stops
    carried = _encode_stops(stops, own) if own is not None else ()
    if own is not None and carried:
        target[own.name] = list(carried) if own.kind == "array" else ",".join(carried)
    if len(carried) < len(stops):
        report.note(f"{len(stops) - len(carried)} stop sequences are enforced by the client alone.")
    return stops


def _encode_stops(stops: tuple[str, ...], own: InputField) -> tuple[str, ...]:
    if own.kind == "array":
        return stops
    if "comma" in own.about or (not own.about and own.name == "stop_sequences"):
        return tuple(each for each in stops if "," not in each)
    return stops[:1]


def _put_natives(
    given: Mapping[str, Any], schema: InputSchema, target: dict[str, Any], report: Report
) -> None:
    for parameter, value in given.items():
        if value is None:
            continue
        own = fields.find_parameter(schema, parameter)
        if own is None:
            report.unsupported(parameter)
        else:
            target[own.name] = value


def _put_extra(
    extra: Mapping[str, Any], schema: InputSchema | None, target: dict[str, Any], report: Report
) -> None:
    for name, value in extra.items():
        if schema is not None and name not in schema.fields:
            report.unsupported(name)
        else:
            target[name] = value


def _require(schema: InputSchema, target: Mapping[str, Any]) -> None:
    missing = [f.name for f in schema.fields.values() if f.required and f.name not in target]
    if missing:
        raise InvalidInputError(
            f"The model needs {', '.join(missing)}, which a chat does not fill; "
            "give it in extra_input",
            fields=tuple(missing),
        )

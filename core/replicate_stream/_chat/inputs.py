"""Messages and parameters into the `input` object that a model really takes.

Pure: what is sent depends on the arguments alone. Replicate ignores an unknown input without a
word, so everything is checked against the model's schema before anything is paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._chat import fields, said
from replicate_stream._chat.attachments import Upload, put_media, takes_media
from replicate_stream._chat.conversation import put_conversation
from replicate_stream._chat.extras import check, put_extra, put_natives
from replicate_stream._chat.messages import Message, Messages, ToolSpec, to_messages
from replicate_stream._chat.output import OutputKind, output_kind
from replicate_stream._chat.parameters import put_numbers
from replicate_stream._chat.profiles import profile
from replicate_stream._chat.report import Report
from replicate_stream._chat.schema import InputSchema, read_schema
from replicate_stream._chat.stopping import put_stops
from replicate_stream._chat.switches import put_switches
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
        uploads: What the client has to read or upload before `input` is complete.
    """

    input: dict[str, Any] = field(repr=False)
    notes: list[str] = field(default_factory=list)
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    output: OutputKind | None = None
    uploads: list[Upload] = field(default_factory=list)


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
        prompt_format: A chat format's name (`llama3`, `chatml`, …), `transcript`, or `plain` for
            the bare texts, where the choice by schema and name is not right.

    Raises:
        InvalidInputError: A value that cannot be sent, an input that is still missing, or a model
            that makes files.
        UnsupportedParameterError: No field for a parameter, and `on_unsupported` is `raise`.
    """
    known = _known(schema)
    report = Report(on_unsupported, known.names if schema is not None else ())
    if schema is None:
        report.note(f"The input schema of {model} is not known; the usual names were used.")
    if output_kind(known.output) == "file":
        raise InvalidInputError(f"{model} makes files, not text", fields=("model",))
    listed = to_messages(messages)
    if system_prompt:
        listed.insert(0, Message("system", system_prompt))
    parts = said.read(listed)
    target: dict[str, Any] = {}
    put_conversation(parts, known, profile(known, model), target, report, prompt_format)
    uploads = put_media([m for part in parts for m in part.media], known, target, report)
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
    put_switches(numbers, known, target, report)
    stops = put_stops(stop, known, target, report)
    put_natives(tools, tool_choice, response_format, known, target, report)
    if schema is None:
        target.update(extra_input or {})
    else:
        put_extra(extra_input or {}, known, target, report)
        check(known, target)
        _require(known, target)
    bound = fields.find_max_tokens(known)
    sent = target.get(bound.name) if bound is not None else None
    return PreparedInput(
        input=target,
        notes=report.notes,
        stop=stops,
        max_tokens=sent if isinstance(sent, int) else None,
        output=output_kind(known.output),
        uploads=[u for u in uploads if u.input_name not in (extra_input or {})],
    )


def _known(schema: Mapping[str, Any] | InputSchema | None) -> InputSchema:
    if isinstance(schema, InputSchema):
        return schema
    return read_schema(_USUAL if schema is None else schema)


def _require(schema: InputSchema, target: Mapping[str, Any]) -> None:
    missing = [f for f in schema.fields.values() if f.required and f.name not in target]
    if not missing:
        return
    names = tuple(f.name for f in missing)
    how = "give it in extra_input"
    if any(takes_media(f) for f in missing):
        how = "attach it to a message, or give it in extra_input"
    raise InvalidInputError(
        f"The model needs {', '.join(names)}, which is not filled by what was said; {how}",
        fields=names,
    )

"""The steps of a preparation, in their order.

Replicate ignores an unknown input without a word, so everything is checked against the model's
schema before anything is paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._errors import InvalidInputError, wrong_type
from replicate_stream._model import field_names
from replicate_stream._model.input_schema import (
    USUAL_SCHEMA,
    InputSchema,
    parse_input_schema,
)
from replicate_stream._model.media_kinds import takes_media
from replicate_stream._model.output_kind import output_kind
from replicate_stream._model.profile import build_profile
from replicate_stream._request import message_parts
from replicate_stream._request.conversation import Conversation
from replicate_stream._request.extra_input import check, put_extra, put_natives
from replicate_stream._request.media_inputs import mentioned, put_media
from replicate_stream._request.notes import Notes
from replicate_stream._request.prompt import put_conversation
from replicate_stream._request.sampling import put_numbers
from replicate_stream._request.stop import put_stops
from replicate_stream._request.switches import put_switches
from replicate_stream._types.messages import Message, Messages, to_messages
from replicate_stream._types.prepared import ExpectedAnswer, PreparedInput
from replicate_stream._types.response_format import ResponseFormat
from replicate_stream._types.tool_choice import ToolChoice


@dataclass(frozen=True, slots=True)
class Parameters:
    """What `prepare_input` takes beside the messages, under its names."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: str | Sequence[str] | None = field(default=None, repr=False)
    tools: ToolChoice | None = None
    form: ResponseFormat | None = None
    extra_input: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def numbers(self) -> dict[str, Any]:
        """Those that are numbers, by name; None where one was not given."""
        return {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "seed": self.seed,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
        }


def prepare(
    messages: Messages,
    model: str,
    schema: Mapping[str, Any] | InputSchema | None,
    system_prompt: str | None,
    parameters: Parameters,
    on_unsupported: str,
    prompt_format: str | None,
) -> PreparedInput:
    """Do what `prepare_input` promises."""
    extra: Any = parameters.extra_input
    if not isinstance(extra, Mapping) or not all(isinstance(name, str) for name in extra):
        raise wrong_type("extra_input", extra, "a dict of inputs by name")
    known = _known(schema)
    report = Notes(on_unsupported, known.names if schema is not None else ())
    if schema is None:
        report.note(f"The input schema of {model} is not known; the usual names were used.")
    if output_kind(known.output) == "file":
        raise InvalidInputError(f"{model} makes files, not text", fields=("model",))
    listed = to_messages(messages)
    if system_prompt:
        listed.insert(0, Message("system", system_prompt))
    parts = message_parts.read(listed)
    target: dict[str, Any] = {}
    uploads = put_media([m for part in parts for m in part.media], known, target, report)
    parts = mentioned(parts, known, target)
    wanted = put_natives(parameters.tools, parameters.form, known, target, report)
    talk = Conversation(
        name=model,
        system="\n\n".join(s.text for s in parts if s.message.role == "system" and s.text),
        said=[s for s in parts if s.message.role != "system"],
        model=build_profile(known, model),
        wanted=wanted,
        target=target,
        report=report,
    )
    begun = put_conversation(talk, known, prompt_format)
    stops = _put_parameters(parameters, known, target, report)
    if schema is None:
        target.update(parameters.extra_input)
    else:
        put_extra(parameters.extra_input, known, target, report)
        check(known, target)
        _require(known, target)
    return PreparedInput(
        input=target,
        notes=report.notes,
        stop=stops,
        max_tokens=_bound(known, target),
        output=output_kind(known.output),
        uploads=[u for u in uploads if u.input_name not in parameters.extra_input],
        reading=ExpectedAnswer(wanted.tools, begun.is_bare, begun.prefix, parameters.form),
    )


def _put_parameters(
    given: Parameters, schema: InputSchema, target: dict[str, Any], report: Notes
) -> tuple[str, ...]:
    put_numbers(given.numbers, schema, target, report)
    put_switches(given.numbers, schema, target, report)
    return put_stops(given.stop, schema, target, report)


def _known(schema: Mapping[str, Any] | InputSchema | None) -> InputSchema:
    if isinstance(schema, InputSchema):
        return schema
    return parse_input_schema(USUAL_SCHEMA if schema is None else schema)


def _bound(schema: InputSchema, target: Mapping[str, Any]) -> int | None:
    """The answer's own bound; one that counts the prompt too does not tell when it was reached."""
    field = field_names.find_max_tokens(schema)
    if field is None or field_names.bounds_prompt_too(field):
        return None
    sent = target.get(field.name)
    return sent if isinstance(sent, int) else None


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

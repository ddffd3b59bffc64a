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
from replicate_stream._model.profile import ModelProfile, build_profile
from replicate_stream._request.conversation import Conversation, parse_messages
from replicate_stream._request.extra_input import put_extra_input, put_tools_and_format
from replicate_stream._request.media_inputs import put_media, tag_media
from replicate_stream._request.notes import Notes
from replicate_stream._request.prompt import render_conversation
from replicate_stream._request.sampling import put_numbers
from replicate_stream._request.stop import put_stop
from replicate_stream._request.switches import put_switches
from replicate_stream._request.validation import check_input
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
    profile = build_profile(known, model)
    notes = Notes(on_unsupported, known.names if schema is not None else ())
    if schema is None:
        notes.add(f"The input schema of {model} is not known; the usual names were used.")
    if profile.output_kind == "file":
        raise InvalidInputError(f"{model} makes files, not text", fields=("model",))
    listed = to_messages(messages)
    if system_prompt:
        listed.insert(0, Message("system", system_prompt))
    parsed = parse_messages(listed)
    model_input: dict[str, Any] = {}
    media = [each for message in parsed for each in message.media]
    uploads = put_media(media, profile, model_input, notes)
    parsed = tag_media(parsed, profile, model_input)
    instructions = put_tools_and_format(
        parameters.tools, parameters.form, profile, model_input, notes
    )
    conversation = Conversation(
        model=model,
        system="\n\n".join(p.text for p in parsed if p.message.role == "system" and p.text),
        messages=[p for p in parsed if p.message.role != "system"],
        profile=profile,
        instructions=instructions,
        model_input=model_input,
        notes=notes,
    )
    rendered = render_conversation(conversation, prompt_format)
    stops = _put_parameters(parameters, profile, model_input, notes)
    if schema is None:
        model_input.update(parameters.extra_input)
    else:
        put_extra_input(parameters.extra_input, profile, model_input, notes)
        check_input(known, model_input)
        _require(known, model_input)
    return PreparedInput(
        input=model_input,
        notes=notes.sentences,
        stop=stops,
        max_tokens=_bound(known, model_input),
        output=profile.output_kind,
        uploads=[u for u in uploads if u.input_name not in parameters.extra_input],
        reading=ExpectedAnswer(
            instructions.tools, rendered.is_bare, rendered.prefix, parameters.form
        ),
    )


def _put_parameters(
    given: Parameters, profile: ModelProfile, model_input: dict[str, Any], notes: Notes
) -> tuple[str, ...]:
    put_numbers(given.numbers, profile.schema, model_input, notes)
    put_switches(given.numbers, profile.schema, model_input, notes)
    return put_stop(given.stop, profile, model_input, notes)


def _known(schema: Mapping[str, Any] | InputSchema | None) -> InputSchema:
    if isinstance(schema, InputSchema):
        return schema
    return parse_input_schema(USUAL_SCHEMA if schema is None else schema)


def _bound(schema: InputSchema, target: Mapping[str, Any]) -> int | None:
    """The answer's own bound; one that counts the prompt too does not tell when it was reached."""
    field = field_names.find_max_tokens(schema)
    if field is None or field_names.counts_prompt(field):
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
        f"The model needs {', '.join(names)}, which no message fills; {how}",
        fields=names,
    )

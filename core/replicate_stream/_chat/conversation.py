"""What was said, onto the model's text fields: as messages, as history, or as one prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replicate_stream._chat.natively import put_history, put_messages
from replicate_stream._chat.profiles import Profile
from replicate_stream._chat.prompts import FAMILIES, TRANSCRIPT, Family, Turn, by_name
from replicate_stream._chat.report import Report
from replicate_stream._chat.said import Said
from replicate_stream._chat.schema import InputSchema
from replicate_stream._chat.talk import Talk
from replicate_stream._errors import InvalidInputError

_PLAIN = "plain"


def put_conversation(
    said: Sequence[Said],
    schema: InputSchema,
    model: Profile,
    target: dict[str, Any],
    report: Report,
    prompt_format: str | None = None,
) -> None:
    """Put all messages into `target`, the system text into the model's own field if it has one.

    Args:
        said: The messages.
        schema: The model's inputs.
        model: How the model takes a conversation.
        target: The input that is being made.
        report: Takes the notes.
        prompt_format: A family's name, or `plain` for the texts alone, instead of the choice by
            schema and name.

    Raises:
        InvalidInputError: The model takes no text, or there is no such prompt format.
    """
    talk = Talk(
        system="\n\n".join(s.text for s in said if s.message.role == "system" and s.text),
        said=[s for s in said if s.message.role != "system"],
        model=model,
        target=target,
        report=report,
    )
    if model.native is not None and prompt_format is None and not _is_for_prompt(talk):
        put_messages(talk, model.native)
        return
    text = model.text
    if text is None or text is model.native:
        raise InvalidInputError(
            f"The model takes no prompt; its inputs are {', '.join(schema.names)}",
            fields=("messages",),
        )
    prompt = _prompt(talk) if prompt_format is None else _as_told(talk, prompt_format)
    target[text.name] = [prompt] if text.kind == "array" else prompt


def _is_for_prompt(talk: Talk) -> bool:
    """Whether a model that takes messages is better given a prompt.

    Where `prompt` is ignored beside messages, the image beside it may be too; one question with an
    image therefore goes the way that the model documents for both.
    """
    model = talk.model
    has_field = model.text is not None and model.text is not model.native
    is_placed = not talk.system or model.system is not None
    return has_field and is_placed and talk.is_single and bool(talk.said[0].media)


def _as_told(talk: Talk, prompt_format: str) -> str:
    if prompt_format == _PLAIN:
        texts = [talk.system, *(turn.text for turn in talk.turns)]
        return "\n\n".join(text for text in texts if text)
    family = by_name(prompt_format)
    if family is None:
        known = ", ".join(each.name for each in FAMILIES)
        raise InvalidInputError(
            f"prompt_format is {prompt_format!r}; one of {known}, {_PLAIN} is needed",
            fields=("prompt_format",),
        )
    return _rendered(talk, family)


def _prompt(talk: Talk) -> str:
    """The prompt: with the family's marks if they are up to us, else without any."""
    model = talk.model
    if model.history is not None:
        question = put_history(talk, model.history)
        if question is not None:
            return question
    is_placed = talk.is_single and (not talk.system or model.system is not None)
    is_ours = model.is_raw or (model.template is not None and not is_placed)
    if is_ours and model.family is not None and not model.is_base:
        return _rendered(talk, model.family)
    return _held(talk)


def _held(talk: Talk) -> str:
    """A prompt without a chat's marks, for a model that adds its own, or for a base model."""
    if not talk.said:
        talk.report.note("The system text was sent as the prompt: there is no other message.")
        return talk.safe(talk.system)
    system = talk.put_system()
    if not talk.is_single:
        talk.report.note("The conversation was written into the prompt as a transcript.")
        turns = [Turn(turn.speaker, talk.safe(turn.text)) for turn in talk.turns]
        return talk.render(TRANSCRIPT, system, turns)
    question = talk.safe(talk.turns[0].text)
    if not system:
        return question
    talk.report.note("The system text was put before the prompt: the model has no field for it.")
    return f"{system}\n\n{question}"


def _rendered(talk: Talk, family: Family) -> str:
    """The prompt in a family's own format, past the model's template if it has one."""
    template = talk.model.template
    if template is not None and template.default != "{prompt}":
        talk.target[template.name] = "{prompt}"
        talk.report.note(f"{template.name} was set to {{prompt}}: the prompt holds all the marks.")
    talk.report.note(f"The conversation was written in the {family.name} format.")
    return talk.render(family, talk.system, talk.turns)

"""What was said, onto the model's text fields: as messages, as history, or as one prompt."""

from __future__ import annotations

from dataclasses import dataclass, field

from replicate_stream._errors import InvalidInputError
from replicate_stream._model.families import FAMILIES, TRANSCRIPT, Family, Turn, by_name
from replicate_stream._model.input_schema import InputSchema
from replicate_stream._request.conversation import Conversation
from replicate_stream._request.messages_input import put_history, put_messages

_PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt, and what the answer to it will look like.

    Attributes:
        prompt: The prompt; empty where the messages went elsewhere.
        prefix: The beginning of the answer, which the prompt ends with.
        is_bare: Whether the model writes calls as JSON without marks.
    """

    prompt: str = field(default="", repr=False)
    prefix: str = field(default="", repr=False)
    is_bare: bool = False


def put_conversation(
    talk: Conversation, schema: InputSchema, prompt_format: str | None = None
) -> RenderedPrompt:
    """Put all messages into `talk.target`, the system text into the model's own field if any.

    Args:
        talk: What was said, and how the model takes it.
        schema: The model's inputs.
        prompt_format: A family's name, or `plain` for the texts alone, instead of the choice by
            schema and name.

    Raises:
        InvalidInputError: The model takes no text, or there is no such prompt format.
    """
    model = talk.model
    text = model.prompt if model.prompt is not model.messages else None
    if model.messages is not None and _is_for_messages(talk, prompt_format):
        if prompt_format == _PLAIN:
            talk.report.note("The model takes messages alone, so that no bare prompt can be sent.")
        put_messages(talk, model.messages)
        return RenderedPrompt(is_bare=talk.dialect(talk.safe).is_bare)
    if text is None:
        raise InvalidInputError(
            f"The model takes no prompt; its inputs are {', '.join(schema.names)}",
            fields=("messages",),
        )
    begun = _prompt(talk) if prompt_format is None else _as_told(talk, prompt_format)
    talk.target[text.name] = [begun.prompt] if text.kind == "array" else begun.prompt
    return begun


def _is_for_messages(talk: Conversation, prompt_format: str | None) -> bool:
    """Whether a model that takes messages is given those, and no prompt.

    Where `prompt` is ignored beside messages, the image beside it may be too; one question with an
    image therefore goes the way that the model documents for both.
    """
    model = talk.model
    has_field = model.prompt is not None and model.prompt is not model.messages
    if prompt_format is not None:
        return prompt_format == _PLAIN and not has_field
    is_placed = not talk.has_system or model.system_prompt is not None
    return not (has_field and is_placed and talk.is_single and bool(talk.said[0].media))


def _plain(talk: Conversation) -> RenderedPrompt:
    """The texts as they are; the system text in its own field, if the model has one."""
    dialect = talk.dialect(str)
    prompt = "\n\n".join(turn.text for turn in talk.turns(dialect) if turn.text)
    system, template = talk.whole_system(talk.system, dialect), talk.model.prompt_template
    if template is not None and template.default != "{prompt}" and talk.model.is_rendered(prompt):
        talk.target[template.name] = "{prompt}"
        talk.report.note(f"{template.name} was set to {{prompt}}: the prompt holds its own marks.")
    elif system and talk.model.system_prompt is not None:
        talk.target[talk.model.system_prompt.name] = system
        system = ""
    whole = "\n\n".join(text for text in (system, prompt) if text)
    return RenderedPrompt(whole, is_bare=dialect.is_bare)


def _as_told(talk: Conversation, prompt_format: str) -> RenderedPrompt:
    if prompt_format == _PLAIN:
        return _plain(talk)
    family = by_name(prompt_format)
    if family is None:
        known = ", ".join(each.name for each in FAMILIES)
        raise InvalidInputError(
            f"prompt_format is {prompt_format!r}; one of {known}, {_PLAIN} is needed",
            fields=("prompt_format",),
        )
    return _rendered(talk, family)


def _prompt(talk: Conversation) -> RenderedPrompt:
    """The prompt: with the family's marks if they are up to us, else without any."""
    model = talk.model
    dialect = talk.dialect(talk.safe)
    if model.history is not None and not talk.is_about_tools:
        question = put_history(talk, model.history)
        if question is not None:
            return RenderedPrompt(question, is_bare=dialect.is_bare)
    is_placed = talk.is_single and (not talk.has_system or model.system_prompt is not None)
    is_ours = model.is_raw or (model.prompt_template is not None and not is_placed)
    if is_ours and model.chat_template is not None and not model.is_base:
        return _rendered(talk, model.chat_template)
    return RenderedPrompt(_held(talk), is_bare=dialect.is_bare)


def _held(talk: Conversation) -> str:
    """A prompt without a chat's marks, for a model that adds its own, or for a base model."""
    if not talk.said:
        talk.report.note("The system text was sent as the prompt: there is no other message.")
        return talk.whole_system(talk.safe(talk.system), talk.dialect(talk.safe))
    system = talk.put_system()
    if not talk.is_single:
        talk.report.note("The conversation was written into the prompt as a transcript.")
        dialect = talk.dialect(lambda text: TRANSCRIPT.clean(talk.safe(text)))
        turns = [
            turn if turn.is_ready else Turn(turn.speaker, talk.safe(turn.text))
            for turn in talk.turns(dialect)
        ]
        talk.note_marks(TRANSCRIPT)
        return TRANSCRIPT.render(system, turns)
    turn = talk.turns(talk.dialect(talk.safe))[0]
    question = turn.text if turn.is_ready else talk.safe(turn.text)
    if not system:
        return question
    talk.report.note("The system text was put before the prompt: the model has no field for it.")
    return f"{system}\n\n{question}"


def _rendered(talk: Conversation, family: Family) -> RenderedPrompt:
    """The prompt in a family's own format, past the model's template if it has one."""
    template = talk.model.prompt_template
    if template is not None and template.default != "{prompt}":
        talk.target[template.name] = "{prompt}"
        talk.report.note(f"{template.name} was set to {{prompt}}: the prompt holds all the marks.")
    talk.report.note(f"The conversation was written in the {family.name} format.")
    talk.note_marks(family)
    dialect = talk.dialect(family.clean, family)
    turns, offered = talk.turns(dialect), talk.wanted.offered
    invites = not (dialect.continues and bool(turns) and turns[-1].speaker == "none")
    if offered is not None:
        turns = dialect.place(offered.tools, turns)
    system = talk.whole_system(family.clean_system(talk.system), dialect)
    prompt = family.render(system, turns, is_system_ready=True, invites=invites)
    prefix = ""
    if offered is not None and offered.is_forced:
        prefix = dialect.opening(offered.name)
        talk.report.note("The prompt ends with the beginning of a call, which the model goes on.")
    return RenderedPrompt(prompt + prefix, prefix=prefix, is_bare=dialect.is_bare)

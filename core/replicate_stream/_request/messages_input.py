"""A conversation for models that take more than a prompt: messages, or a history of texts."""

from __future__ import annotations

import json
from typing import Any

from replicate_stream._model.input_schema import InputField
from replicate_stream._request.conversation import Conversation
from replicate_stream._request.message_parts import MessageParts, as_native

_IMAGE_MARK = "<image>"


def put_messages(talk: Conversation, field: InputField) -> None:
    """Put all messages into the model's field for messages, in that field's own type."""
    if talk.wanted.has_native_tools or not talk.is_about_tools:
        listed = [as_native(each, talk.safe(each.text)) for each in talk.said]
    else:
        listed = _with_written_tools(talk)
    if talk.model.messages_hold_system:
        dialect = talk.dialect(talk.safe)
        system = talk.whole_system(talk.safe(talk.system), dialect)
    else:
        system = talk.put_system()
    if system:
        listed.insert(0, {"role": "system", "content": system})
    value: Any = listed
    if field.kind == "string":
        value = json.dumps(listed, ensure_ascii=False)
    elif field.items == "string":
        value = [json.dumps(each, ensure_ascii=False) for each in listed]
    talk.target[field.name] = value


def _with_written_tools(talk: Conversation) -> list[dict[str, Any]]:
    """Messages of a model that has no input for tools, which may not know a tool's message."""
    turns = talk.turns(talk.dialect(talk.safe))
    return [
        {"role": "assistant" if turn.speaker == "assistant" else "user", "content": turn.text}
        for turn in turns
    ]


def put_history(talk: Conversation, field: InputField) -> str | None:
    """Put all but the last question into the model's field for earlier messages.

    Returns:
        The last question; None if the messages do not begin and end with the user's, or there is
        nothing before it, and nothing was put anywhere.
    """
    texts = _alternating(talk, field)
    if texts is None or len(texts) < 2:
        return None
    system = talk.put_system()
    if system:
        talk.report.note("The system text was put before the first message: it has no field.")
        texts[0] = f"{system}\n\n{texts[0]}"
    talk.target[field.name] = texts[:-1]
    return texts[-1]


def _alternating(talk: Conversation, field: InputField) -> list[str] | None:
    """The texts, those of one speaker in a row joined, if the user's are the first and the last."""
    is_marked = _IMAGE_MARK in field.about
    texts: list[str] = []
    last = ""
    for each in talk.said:
        speaker = "assistant" if each.message.role == "assistant" else "user"
        if not texts and speaker == "assistant":
            return None
        marks = _marks(each) if is_marked and each is not talk.said[-1] else ""
        text = marks + talk.safe(each.turn().text)
        if speaker == last:
            texts[-1] += f"\n\n{text}"
        else:
            texts.append(text)
        last = speaker
    return texts if last == "user" else None


def _marks(said: MessageParts) -> str:
    """Where an earlier message's images belong, in a history that marks it."""
    return f"{_IMAGE_MARK}\n" * sum(each.kind == "image" for each in said.media)

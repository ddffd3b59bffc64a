"""Write a conversation into an input for messages, or into one for earlier messages."""

from __future__ import annotations

import json
from typing import Any

from replicate_stream._model.input_schema import InputField
from replicate_stream._request.conversation import Conversation

_IMAGE_MARK = "<image>"


def put_messages(conversation: Conversation, field: InputField) -> None:
    """Put all messages into the model's input for messages, in OpenAI's format."""
    neutralize = conversation.neutralize
    profile = conversation.builder.profile
    if conversation.has_tools and not conversation.has_tools_input:
        messages = _write_tools_as_text(conversation)
    else:
        messages = [each.to_openai(neutralize) for each in conversation.messages]
    if profile.messages_hold_system:
        tool_format = conversation.tool_format(neutralize)
        system = conversation.render_system(neutralize, tool_format)
    else:
        system = conversation.put_system()
    if system and profile.takes_system_role:
        messages.insert(0, {"role": "system", "content": system})
    elif system:
        conversation.builder.note("The system text was put before the first message of the user.")
        _insert_system(system, messages)
    value: Any = _to_items(messages) if profile.takes_items else messages
    # A string input holds the whole list as JSON; a list of strings holds one message in each.
    if field.kind == "string":
        value = json.dumps(value, ensure_ascii=False)
    elif field.items == "string":
        value = [json.dumps(each, ensure_ascii=False) for each in value]
    conversation.builder.input[field.name] = value


def _insert_system(system: str, messages: list[dict[str, Any]]) -> None:
    first = messages[0] if messages else None
    if first is None or first["role"] != "user":
        messages.insert(0, {"role": "user", "content": system})
    else:
        first["content"] = f"{system}\n\n{first['content']}"


def _to_items(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert messages to items of the Responses API.

    Source: https://developers.openai.com/api/reference/resources/responses/methods/create.
    """
    items: list[dict[str, Any]] = []
    for message in messages:
        calls, call_id = message.get("tool_calls", ()), message.get("tool_call_id")
        if message["role"] == "tool":
            result = {"call_id": call_id, "output": message["content"]}
            items.append({"type": "function_call_output", **result})
        elif message["content"] or not calls:
            # An item has no place for the name of one of several users.
            name = f"{message['name']}: " if message.get("name") else ""
            items.append({"role": message["role"], "content": name + message["content"]})
        items += [
            {"type": "function_call", "call_id": call["id"], **call["function"]} for call in calls
        ]
    return items


def _write_tools_as_text(conversation: Conversation) -> list[dict[str, Any]]:
    """Messages for a model without an input for tools, which may reject the role `tool`."""
    turns = conversation.render_turns(conversation.tool_format(conversation.neutralize))
    return [
        {"role": "assistant" if turn.role == "assistant" else "user", "content": turn.text}
        for turn in turns
    ]


def put_history(conversation: Conversation, field: InputField) -> str | None:
    """Put all messages but the last into the model's input for earlier messages.

    Returns:
        The last message, for the prompt. None, and nothing is put anywhere, for a single message
        or if the first or the last one is not the user's.
    """
    texts = _alternate_texts(conversation, field)
    if texts is None or len(texts) < 2:
        return None
    builder, system = conversation.builder, conversation.put_system()
    if system:
        builder.note("The system text was put before the first message: it has no input.")
        texts[0] = f"{system}\n\n{texts[0]}"
    builder.input[field.name] = texts[:-1]
    return texts[-1]


def _alternate_texts(conversation: Conversation, field: InputField) -> list[str] | None:
    """Texts of user and assistant in turn, joined where one has several; None as in `put_history`.

    The models that have this input read it by position, so two texts of one speaker must be one.
    """
    has_image_marks = _IMAGE_MARK in field.description
    texts: list[str] = []
    previous = ""
    for message in conversation.messages:
        speaker = "assistant" if message.message.role == "assistant" else "user"
        if not texts and speaker == "assistant":
            return None
        text = conversation.neutralize(message.to_turn().text)
        if has_image_marks and message is not conversation.messages[-1]:
            count = sum(each.kind == "image" for each in message.media)
            text = f"{_IMAGE_MARK}\n" * count + text
        if speaker == previous:
            texts[-1] += f"\n\n{text}"
        else:
            texts.append(text)
        previous = speaker
    return texts if previous == "user" else None

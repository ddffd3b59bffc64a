"""Write a conversation into an input for messages, or into one for earlier messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from replicate_stream._model.input_schema import InputField
from replicate_stream._request.conversation import Conversation, ParsedMessage
from replicate_stream._types.media import Media

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
    value: Any = _put_images(messages, conversation, field) if profile.takes_items else messages
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


def can_hold_images(conversation: Conversation) -> bool:
    """Whether the model takes items, and each image of the conversation has one to stand in."""
    builder = conversation.builder
    profile, field = builder.profile, builder.profile.messages
    if not profile.takes_items or field is None or field.kind != "array":
        return False
    if conversation.has_tools and not conversation.has_tools_input:
        return False
    name = _find_image_input(conversation)
    images = [each for message in conversation.messages for each in _get_images(message)]
    return len(images) == (0 if name is None else len(builder.input[name]))


def _find_image_input(conversation: Conversation) -> str | None:
    """Name of the list that holds the images so far; None without images."""
    builder = conversation.builder
    names = (name for name, kinds in builder.profile.media_inputs.items() if "image" in kinds)
    return next((name for name in names if isinstance(builder.input.get(name), list)), None)


def _get_images(message: ParsedMessage) -> list[Media]:
    return [each for each in message.media if each.kind == "image"]


def _put_images(
    messages: list[dict[str, Any]], conversation: Conversation, field: InputField
) -> list[dict[str, Any]]:
    """Convert messages to items, and move each image from its input into its item."""
    builder, name = conversation.builder, _find_image_input(conversation)
    if name is None or not can_hold_images(conversation):
        return _to_items(messages, [[] for _ in messages])
    urls = iter(builder.input.pop(name))
    images = [[next(urls) for _ in _get_images(each)] for each in conversation.messages]
    # The system text may be a message more.
    items = _to_items(messages, [[]] * (len(messages) - len(images)) + images)
    places = [
        (field.name, index, key, number, "image_url")
        for index, item in enumerate(items)
        for key in ("content", "output")
        if isinstance(item.get(key), list)
        for number, part in enumerate(item[key])
        if part["type"] == "input_image"
    ]
    # OpenAI cannot read the files of this service, which are behind its token.
    builder.uploads = [
        replace(each, keys=places[each.keys[1]], is_inline=True) for each in builder.uploads
    ]
    return items


def _to_items(
    messages: list[dict[str, Any]], images: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """Convert messages to items of the Responses API.

    Source: https://developers.openai.com/api/reference/resources/responses/methods/create.

    Args:
        messages: The messages.
        images: The URLs of each message's images.
    """
    items: list[dict[str, Any]] = []
    for message, urls in zip(messages, images, strict=True):
        calls, call_id = message.get("tool_calls", ()), message.get("tool_call_id")
        role, text = message["role"], message["content"]
        if message.get("name") and role != "tool":
            # An item has no place for the name of one of several users.
            text = f"{message['name']}: {text}"
        parts = [{"type": "input_image", "image_url": url} for url in urls]
        is_answer = role == "assistant"
        content: Any = text
        if parts and not is_answer:
            content = [{"type": "input_text", "text": text}, *parts]
        if role == "tool":
            result = {"call_id": call_id, "output": content}
            items.append({"type": "function_call_output", **result})
        elif message["content"] or not calls:
            items.append({"role": role, "content": content})
        if parts and is_answer:  # an item of an answer has no place for images
            items.append({"role": "user", "content": parts})
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

"""Messages or a prompt into the arguments of `Client.stream`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import ChatMessage, MessageRole

import replicate_stream as core
from llama_index_replicate_stream._to_core import to_core

_AS_IT_IS = "plain"


def chat_request(
    request: Mapping[str, Any],
    messages: Sequence[ChatMessage],
    render: Callable[[Sequence[ChatMessage]], str] | None,
    image: str | None,
) -> dict[str, Any]:
    """The arguments for a chat.

    Args:
        request: Those that are known already.
        messages: What was said.
        render: The user's own way to make a prompt of it, if any; its prompt goes out as it is.
        image: A path or an address of an image for the last question, if any.
    """
    whole = dict(request)
    system = whole["system_prompt"]
    if system in [m.content for m in messages[:1] if m.role == MessageRole.SYSTEM]:
        system = None  # `predict` has put it among the messages already
    if render is None or render is messages_to_prompt:
        told = to_core(messages)
        return {**whole, "system_prompt": system, "messages": _with_image(told, image)}
    if system:
        messages = [ChatMessage(role=MessageRole.SYSTEM, content=system), *messages]
    media = [part for message in to_core(messages) for part in _media(message)]
    prompt = _user(render(messages), media)
    whole["prompt_format"] = whole["prompt_format"] or _AS_IT_IS
    return {**whole, "system_prompt": None, "messages": _with_image([prompt], image)}


def completion_request(
    request: Mapping[str, Any],
    prompt: str,
    render: Callable[[str], str] | None,
    image: str | None,
) -> dict[str, Any]:
    """The arguments for a completion.

    Args:
        request: Those that are known already.
        prompt: The prompt.
        render: The user's own way to format it; None for one that is formatted.
        image: As for `chat_request`.
    """
    whole = dict(request)
    system = whole["system_prompt"]
    if render is not None:
        prompt = render(prompt)
    elif system and system in prompt:
        whole["system_prompt"] = None  # `predict` has put it into the prompt already
    whole["prompt_format"] = whole["prompt_format"] or _AS_IT_IS
    return {**whole, "messages": _with_image([_user(prompt, [])], image)}


def _user(text: str, media: list[Any]) -> core.Message:
    return core.Message("user", [{"type": "text", "text": text}, *media] if media else text)


def _media(message: core.Message) -> list[Any]:
    parts: Sequence[Any] = [] if isinstance(message.content, str) else message.content
    return [part for part in parts if part["type"] != "text"]


def _with_image(messages: list[core.Message], image: str | None) -> list[core.Message]:
    at = max((n for n, each in enumerate(messages) if each.role == "user"), default=None)
    if not image or at is None:
        return messages
    where = "url" if image.startswith(("http://", "https://", "data:")) else "path"
    content = messages[at].content
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    seen = replace(messages[at], content=[*parts, {"type": "image", where: image}])
    return [*messages[:at], seen, *messages[at + 1 :]]

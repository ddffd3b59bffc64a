"""LlamaIndex's messages, or a prompt, to the arguments of `Client.stream`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

import replicate_stream as core

_ROLES: Mapping[MessageRole, str] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}
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
    media = [part for message in to_core(messages) for part in _media_parts(message)]
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


def _media_parts(message: core.Message) -> list[Any]:
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


def to_core(messages: Sequence[ChatMessage]) -> list[core.Message]:
    """LlamaIndex's messages as the core's; theirs are not changed.

    Raises:
        InvalidInputError: A block of a kind that no model can be told.
    """
    return [_to_message(index, message) for index, message in enumerate(messages)]


def _to_message(index: int, message: ChatMessage) -> core.Message:
    parts: list[Mapping[str, Any]] = []
    calls: list[core.ToolCall] = []
    for block in message.blocks:
        if isinstance(block, ToolCallBlock):
            calls.append(
                core.ToolCall(block.tool_call_id or "", block.tool_name, block.tool_kwargs)
            )
        else:
            parts += _to_parts(block, f"messages[{index}]")
    texts = [part["text"] for part in parts if part["type"] == "text"]
    about = message.additional_kwargs
    role: Any = _ROLES[message.role]
    return core.Message(
        role,
        # Several blocks of text stand on lines of their own, as in the framework's own `content`.
        "\n".join(texts) if len(texts) == len(parts) else parts,
        name=about.get("name"),
        tool_calls=tuple(calls or calls_beside(message)),
        tool_call_id=about.get("tool_call_id"),
    )


def calls_beside(message: ChatMessage) -> list[core.ToolCall]:
    """The calls in a message's `additional_kwargs`, by an LLM that has no blocks for them."""
    calls = message.additional_kwargs.get("tool_calls")
    return [_call(each) for each in calls] if isinstance(calls, list | tuple) else []


def _call(given: Any) -> core.ToolCall:
    """A call as OpenAI writes it, in a dict or in objects of its package, or as Anthropic does."""
    called = _of(given, "function") or given
    written = _of(called, "arguments")
    if written is None:
        written = _of(called, "input")
    return core.ToolCall(str(_of(given, "id") or ""), str(_of(called, "name") or ""), written or {})


def _of(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)


def _to_parts(block: Any, where: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(block, TextBlock):
        yield {"type": "text", "text": block.text}
    elif isinstance(block, ThinkingBlock | CachePoint):
        return  # what the model only thought is not said again; a place to cache at is no content
    elif isinstance(block, CitableBlock):
        for inner in block.content:
            yield from _to_parts(inner, where)
    elif isinstance(block, CitationBlock):
        yield from _to_parts(block.cited_content, where)
    elif isinstance(block, ImageBlock):
        yield _media("image", block, block.image, mime_type=block.image_mimetype)
    elif isinstance(block, AudioBlock):
        yield _media("audio", block, block.audio, format=block.format)
    elif isinstance(block, VideoBlock):
        yield _media("video", block, block.video, mime_type=block.video_mimetype)
    elif isinstance(block, DocumentBlock):
        yield _media("file", block, block.data, mime_type=block.document_mimetype)
    else:
        raise core.InvalidInputError(
            f"{where} has a {type(block).__name__}, which no model can be told", fields=(where,)
        )


def _media(kind: str, block: Any, data: Any, **about: str | None) -> Mapping[str, Any]:
    part: dict[str, Any] = {"type": kind, **{name: value for name, value in about.items() if value}}
    if isinstance(data, bytes):
        part["base64"] = data.decode("ascii")  # the framework has encoded it
    elif data is not None:
        part["data"] = _contents(data)
    elif block.path is not None:
        part["path"] = str(block.path)
    elif block.url is not None:
        part["url"] = str(block.url)
    return part


def _contents(file: Any) -> bytes:
    """All of an open file, whose place is kept: the same message may be sent again."""
    place = file.tell()
    file.seek(0)
    try:
        contents: bytes = file.read()
    finally:
        file.seek(place)
    return contents

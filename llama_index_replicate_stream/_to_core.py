"""LlamaIndex's messages to the core's. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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

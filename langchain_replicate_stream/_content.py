"""Content blocks of every origin as the core's parts. Pure.

A conversation may have been begun with another provider, whose blocks are still in it. What was
said to a model stays or is an error; what a model only thought, or called, is no part of its text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeGuard

import replicate_stream as core

Content: TypeAlias = "str | Sequence[Any]"

_TEXT = frozenset({"text", "input_text", "extract_text"})
_MEDIA = frozenset(
    {"image", "image_url", "input_image", "audio", "input_audio", "audio_url", "video"}
    | {"video_url", "input_video", "file", "input_file", "document"}
)


def told(content: Content) -> str | list[Any]:
    """What the system or the user says, without the results of tools (see `results`)."""
    if isinstance(content, str):
        return content
    return [_part(block) for block in content if not (_is_result(block) or _is_mark(block))]


def answered(content: Content) -> str | list[Any]:
    """What an assistant said: its text and media alone."""
    if isinstance(content, str):
        return content
    kept = _TEXT | _MEDIA | {"text-plain", "refusal"}
    return [_part(block) for block in content if isinstance(block, str) or _kind(block) in kept]


def returned(content: Content, *, is_error: bool) -> str | list[Any]:
    """What a tool gave back. What is neither text nor a file is told as JSON."""
    parts: str | list[Any]
    if isinstance(content, str):
        parts = content
    elif isinstance(content, Sequence):
        known = _TEXT | _MEDIA | {"text-plain"}
        parts = [
            _part(block) if isinstance(block, str) or _kind(block) in known else _as_json(block)
            for block in content
        ]
    else:
        parts = [_as_json(content)]
    return _as_error(parts) if is_error else parts


def _as_json(value: Any) -> dict[str, str]:
    return {"type": "text", "text": json.dumps(value, ensure_ascii=False, default=str)}


def results(content: Content) -> list[Mapping[str, Any]]:
    """The results of tools within a user's message, where Anthropic has them."""
    return [] if isinstance(content, str) else [block for block in content if _is_result(block)]


def calls_in(content: Content) -> list[core.ToolCall]:
    """The calls that another provider's blocks hold."""
    if isinstance(content, str):
        return []
    return [_call(block) for block in content if _kind(block) in _CALLS]


_CALLS: Mapping[str, str] = {"tool_use": "input", "tool_call": "args", "function_call": "arguments"}
"""The kinds of blocks that are calls, and where each has its arguments."""


def _call(block: Any) -> core.ToolCall:
    arguments = block.get(_CALLS[block["type"]])
    if arguments is None or arguments == "":
        arguments = block.get("partial_json") or {}
    called = str(block.get("call_id") or block.get("id") or "")
    return core.ToolCall(called, str(block.get("name") or ""), arguments)


def located(message: core.Message, files: str) -> core.Message:
    """A message whose files have addresses where they had ids.

    Args:
        message: The message.
        files: The address of the API's files, where what was uploaded is found by its id.
    """
    content = message.content
    if isinstance(content, str) or not any(_file_id(part) for part in content):
        return message
    parts = [
        {"type": part.get("type"), "url": f"{files}/{found}"}
        if (found := _file_id(part)) and isinstance(part, Mapping)
        else part
        for part in content
    ]
    return replace(message, content=parts)


def _file_id(part: Any) -> str | None:
    if not isinstance(part, Mapping):
        return None
    for holder in (part, part.get("file"), part.get("source")):
        found = holder.get("file_id") if isinstance(holder, Mapping) else None
        if isinstance(found, str):
            return found
    return part.get("id") if part.get("source_type") == "id" else None


def _is_result(block: Any) -> TypeGuard[Mapping[str, Any]]:
    return _kind(block) == "tool_result"


def _kind(block: Any) -> str:
    kind = block.get("type") if isinstance(block, Mapping) else None
    return kind if isinstance(kind, str) else ""


def _is_mark(block: Any) -> bool:
    """Whether a block only says where to cache: `{"cachePoint": {…}}`."""
    return isinstance(block, Mapping) and "type" not in block and "cachePoint" in block


def _part(block: Any) -> Any:
    if not isinstance(block, Mapping):
        return block
    kind, source = block.get("type"), block.get("source")
    if kind == "refusal":
        return {"type": "text", "text": block.get("refusal") or ""}
    if kind == "document" and isinstance(source, Mapping) and source.get("type") == "text":
        return {"type": "text", "text": source.get("data") or ""}
    if kind == "text-plain":
        text = block.get("text")
        return {**block, "type": "file"} if text is None else {"type": "text", "text": text}
    return block


def _as_error(content: str | list[Any]) -> str | list[Any]:
    """Say that it failed, unless it says so itself: a prompt has no other place for it."""
    texts = [content] if isinstance(content, str) else [_text(part) for part in content]
    if "".join(texts).lstrip().lower().startswith("error"):
        return content
    if isinstance(content, str):
        return f"Error: {content}"
    return [{"type": "text", "text": "Error: "}, *content]


def _text(part: Any) -> str:
    return part if isinstance(part, str) else str(part.get("text") or "")

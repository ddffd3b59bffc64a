"""LangChain's messages to the core's. Pure.

A conversation may have been started with another provider, whose content blocks are still in it.
What the system, the user or a tool contributed is kept, or is an error; an assistant's reasoning is
left out, and its calls are read from wherever that provider puts them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias, TypeGuard

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

import replicate_stream as core

Content: TypeAlias = "str | Sequence[Any]"

MALFORMED_MARK = " /* malformed */"
"""Ends the arguments of a malformed call in the sum of a stream's chunks; see `_from_core`."""
_MALFORMED_SUFFIX = re.compile(r' "?[\]}]' + re.escape(MALFORMED_MARK) + r"\Z")
_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}
_TEXT = frozenset({"text", "input_text", "extract_text"})
_MEDIA = frozenset(
    {"image", "image_url", "input_image", "audio", "input_audio", "audio_url", "video"}
    | {"video_url", "input_video", "file", "input_file", "document"}
)
_ASSISTANT_BLOCKS = _TEXT | _MEDIA | {"text-plain", "refusal"}
_TOOL_BLOCKS = _TEXT | _MEDIA | {"text-plain"}
_CALL_ARGUMENTS = {"tool_use": "input", "tool_call": "args", "function_call": "arguments"}
"""The key of the arguments in each type of block that is a call."""


def to_core(messages: Sequence[BaseMessage], *, files_url: str = "") -> list[core.Message]:
    """Convert LangChain's messages to the core's.

    Content, names and calls are converted; of `additional_kwargs`, where the framework keeps notes
    too, only calls in OpenAI's format.

    Args:
        messages: The conversation.
        files_url: Base address of the API's files, for blocks that refer to a file by its id.

    Raises:
        InvalidInputError: A message is of a type that has no role for a model.
    """
    converted: list[core.Message] = []
    tool_names: dict[str, str] = {}  # by the ids of their calls
    for index, message in enumerate(messages):
        for each in _convert_message(index, message):
            tool_names.update((call.id, call.name) for call in each.tool_calls)
            name, content = each.name, each.content
            if each.role == "tool":  # most providers name the tool in the call only
                name = name or tool_names.get(each.tool_call_id or "")
            if not isinstance(content, str):
                content = [_resolve_file_id(part, files_url) for part in content]
            converted.append(replace(each, name=name, content=content))
    return converted


def _convert_message(index: int, message: BaseMessage) -> list[core.Message]:
    content, name = message.content, message.name
    if isinstance(message, SystemMessage):
        return [core.Message("system", _convert_content(content), name=name)]
    if isinstance(message, HumanMessage):
        return _convert_human(content, name)
    if isinstance(message, AIMessage):
        calls = tuple(_collect_calls(message))
        parts = _convert_assistant_content(content)
        return [core.Message("assistant", parts, name=name, tool_calls=calls)]
    if isinstance(message, ToolMessage):
        parts = _convert_tool_content(content, is_error=message.status == "error")
        return [core.Message("tool", parts, name=name, tool_call_id=message.tool_call_id)]
    if isinstance(message, FunctionMessage):
        return [core.Message("tool", _convert_tool_content(content, is_error=False), name=name)]
    if isinstance(message, ChatMessage) and (role := _ROLES.get(message.role)):
        convert = _convert_assistant_content if role == "assistant" else _convert_content
        return [core.Message(role, convert(content), name=name)]
    raise core.InvalidInputError(
        f"messages[{index}] is a {type(message).__name__} of type {message.type!r}, "
        "which cannot be sent to a model",
        fields=(f"messages[{index}]",),
    )


def _convert_human(content: Content, name: str | None) -> list[core.Message]:
    # Anthropic puts the results of tools into the user's next message.
    results = [
        core.Message(
            "tool",
            _convert_tool_content(block.get("content") or "", is_error=bool(block.get("is_error"))),
            tool_call_id=str(block.get("tool_use_id") or ""),
        )
        for block in ([] if isinstance(content, str) else content)
        if _is_tool_result(block)
    ]
    rest = _convert_content(content)
    return results if results and not rest else [*results, core.Message("user", rest, name=name)]


def _convert_content(content: Content) -> str | list[Any]:
    """Convert the content of a system's or user's message, except for results of tools."""
    if isinstance(content, str):
        return content
    return [
        _convert_block(block)
        for block in content
        if not (_is_tool_result(block) or _is_cache_point(block))
    ]


def _convert_assistant_content(content: Content) -> str | list[Any]:
    """Convert an assistant's text and media; reasoning, calls and unknown blocks are left out."""
    if isinstance(content, str):
        return content
    return [
        _convert_block(block)
        for block in content
        if isinstance(block, str) or _get_type(block) in _ASSISTANT_BLOCKS
    ]


def _convert_tool_content(content: Any, *, is_error: bool) -> str | list[Any]:
    """Convert a tool's result; a block that is neither text nor a file becomes JSON text."""
    blocks = content if isinstance(content, Sequence) else [_make_json(content)]
    if not isinstance(blocks, str):
        blocks = [
            _convert_block(block)
            if isinstance(block, str) or _get_type(block) in _TOOL_BLOCKS
            else _make_json(block)
            for block in blocks
        ]
    return _prefix_error(blocks) if is_error else blocks


def _convert_block(block: Any) -> Any:
    if not isinstance(block, Mapping):
        return block
    kind, source = block.get("type"), block.get("source")
    if kind == "refusal":
        return _make_text(block.get("refusal"))
    if kind == "document" and isinstance(source, Mapping) and source.get("type") == "text":
        return _make_text(source.get("data"))
    if kind == "text-plain":
        text = block.get("text")
        return {**block, "type": "file"} if text is None else _make_text(text)
    return block


def _make_text(text: Any) -> dict[str, Any]:
    return {"type": "text", "text": text or ""}


def _make_json(value: Any) -> dict[str, Any]:
    return _make_text(json.dumps(value, ensure_ascii=False, default=str))


def _prefix_error(content: str | list[Any]) -> str | list[Any]:
    """Prefix `Error: ` where it is missing: a prompt has no other place for a tool's status."""
    parts = [content] if isinstance(content, str) else content
    texts = (part if isinstance(part, str) else str(part.get("text") or "") for part in parts)
    if "".join(texts).lstrip().lower().startswith("error"):
        return content
    return f"Error: {content}" if isinstance(content, str) else [_make_text("Error: "), *content]


def _get_type(block: Any) -> str:
    kind = block.get("type") if isinstance(block, Mapping) else None
    return kind if isinstance(kind, str) else ""


def _is_tool_result(block: Any) -> TypeGuard[Mapping[str, Any]]:
    return _get_type(block) == "tool_result"


def _is_cache_point(block: Any) -> bool:
    """Whether a block only marks a place for Amazon's prompt cache: `{"cachePoint": {…}}`."""
    return isinstance(block, Mapping) and "type" not in block and "cachePoint" in block


# Calls


def _collect_calls(message: AIMessage) -> list[core.ToolCall]:
    """Collect a message's calls; the malformed ones with the text that the model wrote."""
    calls = [core.ToolCall(c["id"] or "", c["name"], c["args"]) for c in message.tool_calls]
    for bad in message.invalid_tool_calls:
        arguments = _MALFORMED_SUFFIX.sub("", bad["args"] or "")
        calls.append(core.ToolCall(bad["id"] or "", bad["name"] or "", arguments))
    if calls:
        return calls
    blocks = () if isinstance(message.content, str) else message.content
    calls = [_parse_call_block(b) for b in blocks if _get_type(b) in _CALL_ARGUMENTS]
    return calls or _parse_openai_calls(message.additional_kwargs)


def _parse_call_block(block: Any) -> core.ToolCall:
    arguments = block.get(_CALL_ARGUMENTS[block["type"]])
    if arguments is None or arguments == "":
        arguments = block.get("partial_json") or {}
    call_id = str(block.get("call_id") or block.get("id") or "")
    return core.ToolCall(call_id, str(block.get("name") or ""), arguments)


def _parse_openai_calls(kwargs: Mapping[str, Any]) -> list[core.ToolCall]:
    """Parse calls in OpenAI's format, whose arguments are JSON texts."""
    function = kwargs.get("function_call")
    entries = kwargs.get("tool_calls") or ([{"function": function}] if function else [])
    try:
        return [
            core.ToolCall(
                str(entry.get("id") or ""),
                entry["function"]["name"],
                entry["function"]["arguments"],
            )
            for entry in entries
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise core.InvalidInputError(
            "a message's additional_kwargs hold tool calls that are not in OpenAI's format",
            fields=("additional_kwargs",),
        ) from error


# Files


def _resolve_file_id(part: Any, files_url: str) -> Any:
    """Replace a block that has an uploaded file's id by one with its address."""
    if not isinstance(part, Mapping) or not (file_id := _find_file_id(part)):
        return part
    return {"type": part.get("type"), "url": f"{files_url}/{file_id}"}


def _find_file_id(part: Mapping[str, Any]) -> str | None:
    for holder in (part, part.get("file"), part.get("source")):
        file_id = holder.get("file_id") if isinstance(holder, Mapping) else None
        if isinstance(file_id, str):
            return file_id
    return part.get("id") if part.get("source_type") == "id" else None

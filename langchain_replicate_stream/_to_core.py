"""LangChain's messages to the core's. Pure.

A conversation may have been started with another provider, whose content blocks are still in it.
The core reads those; here are only what LangChain keeps beside the content, and ids of files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

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
from replicate_stream.adapters import is_too_deep

MALFORMED_MARK = " /* malformed */"
"""Ends the arguments of a malformed call in the sum of a stream's chunks; see `_from_core`."""
_MALFORMED_SUFFIX = re.compile(r' "?[\]}]' + re.escape(MALFORMED_MARK) + r"\Z")
_HOLDERS = frozenset({"content", "output", "value", "source"})
"""Keys of blocks that hold other blocks."""
_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}


def to_core(messages: Sequence[BaseMessage], *, files_url: str | None = None) -> list[core.Message]:
    """Convert LangChain's messages to the core's.

    Content, names and calls are converted; of `additional_kwargs`, where the framework keeps notes
    too, only calls in OpenAI's format.

    Args:
        messages: The conversation.
        files_url: Base address of the API's files, for blocks that refer to a file by its id, which
            are passed on without an address if it is None.

    Raises:
        InvalidInputError: A message is of a type that has no role for a model.
    """
    return [_convert_message(index, each, files_url) for index, each in enumerate(messages)]


def _convert_message(index: int, message: BaseMessage, files_url: str | None) -> core.Message:
    content: Any = message.content
    # What is too deep, and an id without an address, the core rejects.
    if files_url and not isinstance(content, str) and not is_too_deep(content):
        content = _resolve_file_ids(content, files_url)
    if isinstance(message, AIMessage):
        calls = tuple(_collect_calls(message))
        return core.Message("assistant", content, name=message.name, tool_calls=calls)
    if isinstance(message, ToolMessage):
        call_id = message.tool_call_id
        if message.status == "error":
            content = [{"type": "tool_result", "content": content, "is_error": True}]
        return core.Message("tool", content, name=message.name, tool_call_id=call_id)
    if isinstance(message, FunctionMessage):
        return core.Message("tool", content, name=message.name)
    if isinstance(message, SystemMessage):
        return core.Message("system", content, name=message.name)
    if isinstance(message, HumanMessage):
        return core.Message("user", content, name=message.name)
    if isinstance(message, ChatMessage) and message.role in _ROLES:
        return core.Message(_ROLES[message.role], content, name=message.name)
    raise core.InvalidInputError(
        f"messages[{index}] is a {type(message).__name__} of type {message.type!r}, "
        "which cannot be sent to a model",
        fields=(f"messages[{index}]",),
    )


# Calls


def _collect_calls(message: AIMessage) -> list[core.ToolCall]:
    """Collect a message's calls; the malformed ones with the text that the model wrote."""
    calls = [core.ToolCall(c["id"] or "", c["name"], c["args"]) for c in message.tool_calls]
    for bad in message.invalid_tool_calls:
        arguments = strip_malformed_mark(bad["args"] or "")
        calls.append(core.ToolCall(bad["id"] or "", bad["name"] or "", arguments))
    return calls or _parse_openai_calls(message.additional_kwargs)


def strip_malformed_mark(arguments: str) -> str:
    """Return the arguments of a malformed call without `MALFORMED_MARK` and its bracket."""
    return _MALFORMED_SUFFIX.sub("", arguments)


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


def _resolve_file_ids(blocks: Any, files_url: str) -> Any:
    """Add the address to the blocks that have an uploaded file's id."""
    if isinstance(blocks, list):
        return [_resolve_file_ids(block, files_url) for block in blocks]
    # A dict without a type is data of a tool, which may have such an id too.
    if not isinstance(blocks, Mapping) or not isinstance(blocks.get("type"), str):
        return blocks
    if file_id := _find_file_id(blocks):
        return {**blocks, "url": f"{files_url}/{quote(file_id, safe='')}"}
    inner = {key: _resolve_file_ids(blocks[key], files_url) for key in _HOLDERS & blocks.keys()}
    return {**blocks, **inner}


def _find_file_id(part: Mapping[str, Any]) -> str | None:
    for holder in (part, part.get("file"), part.get("source")):
        file_id = holder.get("file_id") if isinstance(holder, Mapping) else None
        if isinstance(file_id, str):
            return file_id
    return part.get("id") if part.get("source_type") == "id" else None

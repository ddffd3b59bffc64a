"""LangChain's messages to the core's. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

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
from langchain_replicate_stream._content import answered, calls_in, located, results, returned, told

MALFORMED = " /* malformed */"
"""Ends the arguments of a malformed call in the sum of a stream; see `_chunks`."""
_ENDING = re.compile(r' "?[\]}]' + re.escape(MALFORMED) + r"\Z")
_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}


def to_core(messages: Sequence[BaseMessage], *, files: str = "") -> list[core.Message]:
    """LangChain's messages as the core's.

    Only what was said is told: never `additional_kwargs`, which hold notes of the framework too.

    Args:
        messages: The messages.
        files: The address of the API's files, for blocks that have a file's id.

    Raises:
        InvalidInputError: A message of a kind that no model can be told.
    """
    said: list[core.Message] = []
    tools: dict[str, str] = {}
    for index, message in enumerate(messages):
        for each in _to_messages(index, message, tools):
            said.append(located(each, files))
            tools.update((call.id, call.name) for call in each.tool_calls)
    return said


def _to_messages(index: int, message: BaseMessage, tools: Mapping[str, str]) -> list[core.Message]:
    """One message as the core's; `tools` has the names of those that were called, by call."""
    content, name = message.content, message.name
    if isinstance(message, SystemMessage):
        return [core.Message("system", told(content), name=name)]
    if isinstance(message, HumanMessage):
        return _of_user(content, name, tools)
    if isinstance(message, AIMessage):
        calls = tuple(_calls(message))
        return [core.Message("assistant", answered(content), name=name, tool_calls=calls)]
    if isinstance(message, ToolMessage):
        failed = message.status == "error"
        return [_result(message.tool_call_id, name, returned(content, is_error=failed), tools)]
    if isinstance(message, FunctionMessage):
        return [core.Message("tool", returned(content, is_error=False), name=name)]
    if isinstance(message, ChatMessage) and (role := _ROLES.get(message.role)):
        text = answered(content) if role == "assistant" else told(content)
        return [core.Message(role, text, name=name)]
    kind = f"{type(message).__name__} of type {message.type!r}"
    raise core.InvalidInputError(
        f"messages[{index}] is a {kind}, which no model can be told",
        fields=(f"messages[{index}]",),
    )


def _of_user(
    content: str | list[Any], name: str | None, tools: Mapping[str, str]
) -> list[core.Message]:
    given = [
        _result(
            str(block.get("tool_use_id") or ""),
            None,
            returned(block.get("content") or "", is_error=bool(block.get("is_error"))),
            tools,
        )
        for block in results(content)
    ]
    own = told(content)
    return given if given and not own else [*given, core.Message("user", own, name=name)]


def _result(
    call: str, name: str | None, content: str | list[Any], tools: Mapping[str, str]
) -> core.Message:
    return core.Message("tool", content, name=name or tools.get(call), tool_call_id=call)


def _calls(message: AIMessage) -> list[core.ToolCall]:
    """The calls of a message, the malformed ones as the model wrote them."""
    calls = [core.ToolCall(c["id"] or "", c["name"], c["args"]) for c in message.tool_calls]
    for bad in message.invalid_tool_calls:
        written = _ENDING.sub("", bad["args"] or "")
        calls.append(core.ToolCall(bad["id"] or "", bad["name"] or "", written))
    return calls or calls_in(message.content) or _openais(message.additional_kwargs)


def _openais(kwargs: Mapping[str, Any]) -> list[core.ToolCall]:
    """The calls as OpenAI's messages have them, their arguments as JSON texts."""
    old = kwargs.get("function_call")
    listed = kwargs.get("tool_calls") or ([{"function": old}] if old else [])
    try:
        return [_openai(each["function"], str(each.get("id") or "")) for each in listed]
    except (AttributeError, KeyError, TypeError) as error:
        raise core.InvalidInputError(
            "a message's additional_kwargs hold calls in a form that OpenAI does not have",
            fields=("additional_kwargs",),
        ) from error


def _openai(called: Mapping[str, Any], call: str) -> core.ToolCall:
    return core.ToolCall(call, called["name"], called["arguments"])

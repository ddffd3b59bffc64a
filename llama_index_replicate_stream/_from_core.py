"""The core's events to LlamaIndex's responses, and a whole answer to one. Pure.

The last response is the answer: agents look at no other. Calls are in a message's blocks, and in
its `additional_kwargs["tool_calls"]`, which is where the framework's structured streaming looks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

import replicate_stream as core

MALFORMED = "invalid_tool_calls"
"""The key in a last message's `additional_kwargs` of the calls that cannot be made."""
_THOUGHT = "thinking_delta"  # where agents look for it
_TIMES = ("created_at", "started_at", "completed_at")


class ChatReader:
    """Events to chat responses: each with the message so far and what is new in it."""

    def __init__(self) -> None:
        self._text = ""
        self._thoughts = ""
        self._calls: list[core.ToolCall] = []

    def read(self, event: core.StreamEvent) -> ChatResponse | None:
        """The response for an event, None for one that is no part of the answer."""
        if isinstance(event, core.TextDelta):
            self._text += event.text
            return ChatResponse(message=self._message(), delta=event.text)
        if isinstance(event, core.ReasoningDelta):
            self._thoughts += event.text
            new = {_THOUGHT: event.text}
            return ChatResponse(message=self._message(), delta="", additional_kwargs=new)
        if isinstance(event, core.ToolCallDelta):
            self._add(event)
            return ChatResponse(message=self._message(), delta="")
        if isinstance(event, core.Finished):
            self._calls = [_read(call) for call in self._calls]
            last = _last(event.reason, event.usage, event.prediction)
            return ChatResponse(message=self._message(is_last=True), delta="", **last)
        return None

    def _add(self, piece: core.ToolCallDelta) -> None:
        if piece.index == len(self._calls):
            self._calls.append(core.ToolCall(piece.id or "", piece.name or "", ""))
        call = self._calls[piece.index]
        self._calls[piece.index] = replace(call, arguments=f"{call.arguments}{piece.arguments}")

    def _message(self, *, is_last: bool = False) -> ChatMessage:
        return _assistant(self._text, self._thoughts, self._calls, is_last=is_last)


class CompletionReader:
    """Events to completion responses: each with the text so far and what is new in it."""

    def __init__(self) -> None:
        self._text = ""
        self._thoughts = ""

    def read(self, event: core.StreamEvent) -> CompletionResponse | None:
        """The response for an event, None for one that is no part of the answer."""
        if isinstance(event, core.TextDelta):
            self._text += event.text
            return CompletionResponse(text=self._text, delta=event.text)
        if isinstance(event, core.ReasoningDelta):
            self._thoughts += event.text
            new = {_THOUGHT: event.text}
            return CompletionResponse(text=self._text, delta="", additional_kwargs=new)
        if isinstance(event, core.Finished):
            last = _last(event.reason, event.usage, event.prediction)
            return _completion(self._text, self._thoughts, last, delta="")
        return None


def to_chat_response(whole: core.Completion) -> ChatResponse:
    """A whole answer as a chat response."""
    last = _last(whole.finish_reason, whole.usage, whole.prediction)
    message = _assistant(whole.text, whole.reasoning, whole.tool_calls, is_last=True)
    return ChatResponse(message=message, **last)


def to_completion_response(whole: core.Completion) -> CompletionResponse:
    """A whole answer as a completion response."""
    last = _last(whole.finish_reason, whole.usage, whole.prediction)
    return _completion(whole.text, whole.reasoning, last)


def _completion(
    text: str, thoughts: str, last: dict[str, Any], delta: str | None = None
) -> CompletionResponse:
    if thoughts:  # which have no block here, as they have in a chat
        last["additional_kwargs"]["thinking"] = thoughts
    return CompletionResponse(text=text, delta=delta, **last)


def _assistant(
    text: str, thoughts: str, calls: Sequence[core.ToolCall], *, is_last: bool
) -> ChatMessage:
    # One block of text: the framework joins several with newlines, which nobody said.
    blocks: list[ContentBlock] = [ThinkingBlock(content=thoughts)] if thoughts else []
    if text or not calls:
        blocks.append(TextBlock(text=text))
    if not calls:
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)
    blocks += [_block(call) for call in calls]
    about: dict[str, list[dict[str, Any]]] = {}
    for call in calls:
        is_bad = is_last and isinstance(call.arguments, str)
        about.setdefault(MALFORMED if is_bad else "tool_calls", []).append(_openais(call))
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=about)


def _block(call: core.ToolCall) -> ToolCallBlock:
    written = call.arguments
    given = written if isinstance(written, str) else dict(written)
    return ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=given)


def _openais(call: core.ToolCall) -> dict[str, Any]:
    """A call as OpenAI's messages have it: its arguments are a text."""
    written = call.arguments
    text = written if isinstance(written, str) else json.dumps(written, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def _read(call: core.ToolCall) -> core.ToolCall:
    """A call that has come to its end: its arguments as a dict, or as the text they are."""
    try:
        given = json.loads(str(call.arguments))
    except ValueError:
        return call
    return replace(call, arguments=given) if call.name and isinstance(given, dict) else call


def _last(reason: str, usage: core.Usage | None, prediction: core.Prediction) -> dict[str, Any]:
    """What only the last response has. `raw` is a dict: token counters read its `usage`."""
    counts = _counts(usage)
    told = {name: getattr(prediction, name) for name in ("model", "version", *_TIMES)}
    raw = {
        "id": prediction.id,
        "status": prediction.status,
        "finish_reason": reason,
        **{name: value for name, value in told.items() if value is not None},
        "metrics": dict(prediction.metrics),
        "usage": counts,
    }
    return {"raw": raw, "additional_kwargs": dict(counts)}


def _counts(usage: core.Usage | None) -> Mapping[str, int]:
    if usage is None:
        return {}
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }

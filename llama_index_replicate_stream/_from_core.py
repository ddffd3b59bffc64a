"""The core's events, and a `Completion`, to LlamaIndex's responses. Pure.

A stream's last response has to hold the whole answer: agents look at no other. Calls are in a
message's blocks, and in `additional_kwargs["tool_calls"]` for the framework's structured streaming.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
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
from replicate_stream.adapters import parse_arguments

MALFORMED_CALLS = "invalid_tool_calls"
"""Key of the malformed calls in the `additional_kwargs` of an answer's message."""
_THINKING_DELTA = "thinking_delta"  # where agents look for it


class ChatConverter:
    """Converts the events of one stream to chat responses, each with the message so far."""

    def __init__(self) -> None:
        self._text = ""
        self._reasoning = ""
        self._calls: list[core.ToolCall] = []

    def convert(self, event: core.StreamEvent) -> ChatResponse | None:
        """Convert an event; None for a change of the status."""
        if isinstance(event, core.TextDelta):
            self._text += event.text
            return ChatResponse(message=self._make_message(), delta=event.text)
        if isinstance(event, core.ReasoningDelta):
            self._reasoning += event.text
            delta = {_THINKING_DELTA: event.text}
            return ChatResponse(message=self._make_message(), delta="", additional_kwargs=delta)
        if isinstance(event, core.ToolCallDelta):
            self._add_call_delta(event)
            return ChatResponse(message=self._make_message(), delta="")
        if isinstance(event, core.Finished):
            calls = tuple(map(_parse_arguments, self._calls))
            return to_chat_response(_finish(event, self._text, self._reasoning, calls), delta="")
        return None

    def _add_call_delta(self, delta: core.ToolCallDelta) -> None:
        if delta.index == len(self._calls):
            self._calls.append(core.ToolCall(delta.id or "", delta.name or "", ""))
        call = self._calls[delta.index]
        self._calls[delta.index] = replace(call, arguments=f"{call.arguments}{delta.arguments}")

    def _make_message(self) -> ChatMessage:
        return _make_message(self._text, self._reasoning, self._calls, is_last=False)


class CompletionConverter:
    """Converts the events of one stream to completion responses, each with the text so far."""

    def __init__(self) -> None:
        self._text = ""
        self._reasoning = ""

    def convert(self, event: core.StreamEvent) -> CompletionResponse | None:
        """Convert an event; None for a change of the status."""
        if isinstance(event, core.TextDelta):
            self._text += event.text
            return CompletionResponse(text=self._text, delta=event.text)
        if isinstance(event, core.ReasoningDelta):
            self._reasoning += event.text
            delta = {_THINKING_DELTA: event.text}
            return CompletionResponse(text=self._text, delta="", additional_kwargs=delta)
        if isinstance(event, core.Finished):
            return to_completion_response(_finish(event, self._text, self._reasoning), delta="")
        return None


def to_chat_response(completion: core.Completion, delta: str | None = None) -> ChatResponse:
    """Convert a whole answer to a chat response; `delta` is that of a stream's last response."""
    text, reasoning, calls = completion.text, completion.reasoning, completion.tool_calls
    return ChatResponse(
        message=_make_message(text, reasoning, calls, is_last=True),
        delta=delta,
        raw=_make_raw(completion),
        additional_kwargs=_count_tokens(completion.usage),
    )


def to_completion_response(
    completion: core.Completion, delta: str | None = None
) -> CompletionResponse:
    """Convert a whole answer to a completion response; `delta` as for `to_chat_response`."""
    # A completion response has no blocks, as a message has, to hold the reasoning.
    thinking = {"thinking": completion.reasoning} if completion.reasoning else {}
    return CompletionResponse(
        text=completion.text,
        delta=delta,
        raw=_make_raw(completion),
        additional_kwargs={**_count_tokens(completion.usage), **thinking},
    )


def is_canceled(response: ChatResponse | CompletionResponse) -> bool:
    """Return True for the last response of a stream that was left or cancelled."""
    return response.raw is not None and response.raw["finish_reason"] == "canceled"


def _finish(
    event: core.Finished, text: str, reasoning: str, calls: tuple[core.ToolCall, ...] = ()
) -> core.Completion:
    return core.Completion(text, reasoning, calls, event.reason, event.usage, event.prediction)


def _make_message(
    text: str, reasoning: str, calls: Sequence[core.ToolCall], *, is_last: bool
) -> ChatMessage:
    # One block for all text, because the framework joins several with newlines.
    blocks: list[ContentBlock] = [ThinkingBlock(content=reasoning)] if reasoning else []
    if text or not calls:
        blocks.append(TextBlock(text=text))
    if not calls:
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)
    openai_calls: dict[str, list[dict[str, Any]]] = {}
    for call in calls:
        blocks.append(_make_call_block(call))
        is_malformed = is_last and isinstance(call.arguments, str)
        key = MALFORMED_CALLS if is_malformed else "tool_calls"
        openai_calls.setdefault(key, []).append(_to_openai_call(call))
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=openai_calls)


def _make_call_block(call: core.ToolCall) -> ToolCallBlock:
    arguments = call.arguments if isinstance(call.arguments, str) else dict(call.arguments)
    return ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=arguments)


def _to_openai_call(call: core.ToolCall) -> dict[str, Any]:
    arguments = call.arguments
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _parse_arguments(call: core.ToolCall) -> core.ToolCall:
    """Parse the arguments of a finished call; a malformed one keeps their text."""
    arguments = parse_arguments(call.name, str(call.arguments))
    return call if arguments is None else replace(call, arguments=arguments)


def _make_raw(completion: core.Completion) -> dict[str, Any]:
    prediction, usage = completion.prediction, completion.usage
    # A dict, not an object: the framework's token counter converts `raw` to one for its `usage`.
    known = {
        name: value
        for name in ("model", "version", "created_at", "started_at", "completed_at")
        if (value := getattr(prediction, name)) is not None
    }
    return {
        "id": prediction.id,
        "status": prediction.status,
        "finish_reason": completion.finish_reason,
        **known,
        "metrics": dict(prediction.metrics),
        "usage": _count_tokens(usage),
        **({} if usage is None or usage.cost is None else {"cost": usage.cost}),
    }


def _count_tokens(usage: core.Usage | None) -> dict[str, int]:
    """Make OpenAI's token counts, under the names that the framework's token counter reads."""
    if usage is None or not usage.total_tokens:  # a model that counts no tokens
        return {}
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }

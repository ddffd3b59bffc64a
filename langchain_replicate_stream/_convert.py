"""LangChain's messages to the core's, and the core's events to LangChain's chunks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from replicate_stream import (
    Completion,
    Finished,
    InvalidInputError,
    Message,
    Prediction,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    Usage,
)

PROVIDER = "replicate"
_REASONING = "reasoning_content"  # the key that the framework reads reasoning blocks from
# Blocks of an assistant's message that say again what `tool_calls` says, or what it only thought.
_NOT_SAID = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "function_call", "reasoning", "thinking"}
    | {"redacted_thinking", "invalid_tool_call"}
)
_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}


def to_core(messages: Sequence[BaseMessage]) -> list[Message]:
    """LangChain's messages as the core's.

    Raises:
        InvalidInputError: A message of a kind that no model can be told.
    """
    return [_to_message(index, message) for index, message in enumerate(messages)]


def _to_message(index: int, message: BaseMessage) -> Message:
    content = _content(message.content)
    if isinstance(message, SystemMessage):
        return Message("system", content, name=message.name)
    if isinstance(message, HumanMessage):
        return Message("user", content, name=message.name)
    if isinstance(message, AIMessage):
        calls = tuple(
            ToolCall(call["id"] or "", call["name"], call["args"]) for call in message.tool_calls
        )
        return Message("assistant", content, name=message.name, tool_calls=calls)
    if isinstance(message, ToolMessage):
        return Message("tool", content, name=message.name, tool_call_id=message.tool_call_id)
    if isinstance(message, FunctionMessage):
        return Message("tool", content, name=message.name)
    if isinstance(message, ChatMessage) and (role := _ROLES.get(message.role)):
        return Message(role, content, name=message.name)
    kind = f"{type(message).__name__} of type {message.type!r}"
    raise InvalidInputError(
        f"messages[{index}] is a {kind}, which no model can be told",
        fields=(f"messages[{index}]",),
    )


def _content(content: str | Sequence[Any]) -> str | list[Any]:
    if isinstance(content, str):
        return content
    return [
        block
        for block in content
        if not (isinstance(block, Mapping) and block.get("type") in _NOT_SAID)
    ]


# Every token is a copy of these: the constructors validate what is right anyway, and cost twice as
# much. `model_copy` is slower too, and would mark fields as set that were not.
_MESSAGE = AIMessageChunk(content="")
_CHUNK = ChatGenerationChunk(message=_MESSAGE)


def text_chunk(event: TextDelta) -> ChatGenerationChunk:
    """A piece of text as a chunk. It has no id: the framework gives all of a run's one."""
    message = _MESSAGE.__copy__()
    fields = message.__dict__
    fields["content"] = event.text
    fields["additional_kwargs"] = {}  # a copy shares these, and the framework writes into them
    fields["response_metadata"] = {}
    fields["tool_calls"] = []
    fields["invalid_tool_calls"] = []
    fields["tool_call_chunks"] = []
    chunk = _CHUNK.__copy__()
    chunk.__dict__.update(message=message, text=event.text)
    return chunk


def last_chunk(event: Finished, model: str) -> ChatGenerationChunk:
    """The closing chunk, the only one with metadata: those of several would be concatenated."""
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            usage_metadata=_usage(event.usage),
            response_metadata=_metadata(event.prediction, event.reason, model),
            chunk_position="last",
        )
    )


def from_core(event: StreamEvent, model: str) -> ChatGenerationChunk | None:
    """An event as a chunk, None for one that is no part of the answer."""
    if isinstance(event, TextDelta):
        return text_chunk(event)
    if isinstance(event, ReasoningDelta):
        thought = AIMessageChunk(content="", additional_kwargs={_REASONING: event.text})
        return ChatGenerationChunk(message=thought)
    if isinstance(event, Finished):
        return last_chunk(event, model)
    return None


def to_result(completion: Completion, model: str) -> ChatResult:
    """A whole answer."""
    message = AIMessage(
        content=completion.text,
        additional_kwargs={_REASONING: completion.reasoning} if completion.reasoning else {},
        usage_metadata=_usage(completion.usage),
        response_metadata=_metadata(completion.prediction, completion.finish_reason, model),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _usage(usage: Usage | None) -> UsageMetadata | None:
    if usage is None:
        return None
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
    )


def _metadata(prediction: Prediction, reason: str, model: str) -> dict[str, Any]:
    times = {
        name: value
        for name in ("created_at", "started_at", "completed_at")
        if (value := getattr(prediction, name)) is not None
    }
    return {
        "model_name": model,
        "model_provider": PROVIDER,
        "prediction_id": prediction.id,
        "finish_reason": reason,
        "status": prediction.status,
        "metrics": dict(prediction.metrics),
        **times,
    }

"""LlamaIndex's messages to the core's, and the core's events to LlamaIndex's responses. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    CitationBlock,
    CompletionResponse,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

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

_THOUGHT = "thinking_delta"  # where agents look for it
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

_TIMES = ("created_at", "started_at", "completed_at")


def to_core(messages: Sequence[ChatMessage]) -> list[Message]:
    """LlamaIndex's messages as the core's; theirs are not changed.

    Raises:
        InvalidInputError: A block of a kind that no model can be told.
    """
    return [_to_message(index, message) for index, message in enumerate(messages)]


def _to_message(index: int, message: ChatMessage) -> Message:
    parts: list[Mapping[str, Any]] = []
    calls: list[ToolCall] = []
    for block in message.blocks:
        if isinstance(block, ToolCallBlock):
            calls.append(ToolCall(block.tool_call_id or "", block.tool_name, block.tool_kwargs))
        else:
            parts += _to_parts(block, f"messages[{index}]")
    texts = [part["text"] for part in parts if part["type"] == "text"]
    role: Any = _ROLES[message.role]
    return Message(
        role,
        # Several blocks of text stand on lines of their own, as in the framework's own `content`.
        "\n".join(texts) if len(texts) == len(parts) else parts,
        tool_calls=tuple(calls),
        tool_call_id=message.additional_kwargs.get("tool_call_id"),
    )


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
        raise InvalidInputError(
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


class ChatReader:
    """Events to chat responses: each with the message so far and what is new in it."""

    def __init__(self) -> None:
        self._text = ""
        self._thoughts = ""

    def read(self, event: StreamEvent) -> ChatResponse | None:
        """The response for an event, None for one that is no part of the answer."""
        if isinstance(event, TextDelta):
            self._text += event.text
            return ChatResponse(message=self._message(), delta=event.text)
        if isinstance(event, ReasoningDelta):
            self._thoughts += event.text
            new = {_THOUGHT: event.text}
            return ChatResponse(message=self._message(), delta="", additional_kwargs=new)
        if isinstance(event, Finished):
            last = _last(event.reason, event.usage, event.prediction)
            return ChatResponse(message=self._message(), delta="", **last)
        return None

    def _message(self) -> ChatMessage:
        return _assistant(self._text, self._thoughts)


class CompletionReader:
    """Events to completion responses: each with the text so far and what is new in it."""

    def __init__(self) -> None:
        self._text = ""

    def read(self, event: StreamEvent) -> CompletionResponse | None:
        """The response for an event, None for one that is no part of the answer."""
        if isinstance(event, TextDelta):
            self._text += event.text
            return CompletionResponse(text=self._text, delta=event.text)
        if isinstance(event, ReasoningDelta):
            new = {_THOUGHT: event.text}
            return CompletionResponse(text=self._text, delta="", additional_kwargs=new)
        if isinstance(event, Finished):
            last = _last(event.reason, event.usage, event.prediction)
            return CompletionResponse(text=self._text, delta="", **last)
        return None


def to_chat_response(whole: Completion) -> ChatResponse:
    """A whole answer as a chat response."""
    last = _last(whole.finish_reason, whole.usage, whole.prediction)
    return ChatResponse(message=_assistant(whole.text, whole.reasoning), **last)


def to_completion_response(whole: Completion) -> CompletionResponse:
    """A whole answer as a completion response."""
    last = _last(whole.finish_reason, whole.usage, whole.prediction)
    return CompletionResponse(text=whole.text, **last)


def _assistant(text: str, thoughts: str) -> ChatMessage:
    # One block of text: the framework joins several with newlines, which nobody said.
    said = TextBlock(text=text)
    blocks = [ThinkingBlock(content=thoughts), said] if thoughts else [said]
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)


def _last(reason: str, usage: Usage | None, prediction: Prediction) -> dict[str, Any]:
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


def _counts(usage: Usage | None) -> dict[str, int]:
    if usage is None:
        return {}
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }

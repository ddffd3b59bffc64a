"""LlamaIndex's messages to the core's, and the core's events to LlamaIndex's responses. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
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
    StreamEvent,
    TextDelta,
    ToolCall,
    Usage,
)

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
    elif isinstance(block, ThinkingBlock):
        return  # what the model only thought is not said again
    elif isinstance(block, CitableBlock):
        for inner in block.content:
            yield from _to_parts(inner, where)
    elif isinstance(block, CitationBlock):
        yield from _to_parts(block.cited_content, where)
    elif isinstance(block, ImageBlock):
        yield _media("image", block.image, block.image_mimetype, block)
    elif isinstance(block, AudioBlock):
        yield _media("audio", block.audio, _audio_type(block.format), block)
    elif isinstance(block, VideoBlock):
        yield _media("video", block.video, block.video_mimetype, block)
    elif isinstance(block, DocumentBlock):
        yield _media("file", block.data, block.document_mimetype, block)
    else:
        raise InvalidInputError(
            f"{where} has a {type(block).__name__}, which no model can be told", fields=(where,)
        )


def _media(kind: str, data: Any, mime_type: str | None, block: Any) -> Mapping[str, Any]:
    part: dict[str, Any] = {"type": kind}
    if mime_type:
        part["mime_type"] = mime_type
    if data is not None:
        content = data if isinstance(data, bytes) else data.read()
        part["base64"] = content.decode("ascii") if isinstance(content, bytes) else content
    elif block.path is not None:
        part["path"] = str(block.path)
    elif block.url is not None:
        part["url"] = str(block.url)
    return part


def _audio_type(name: str | None) -> str | None:
    return f"audio/{name}" if name and "/" not in name else name


class ChatReader:
    """Events to chat responses: each with the message so far and what is new in it."""

    def __init__(self) -> None:
        self._text = ""

    def read(self, event: StreamEvent) -> ChatResponse | None:
        """The response for an event, None for one that is no part of the answer."""
        if isinstance(event, TextDelta):
            self._text += event.text
            return ChatResponse(message=_assistant(self._text), delta=event.text)
        if isinstance(event, Finished):
            return ChatResponse(
                message=_assistant(self._text), delta="", **_closing(event.prediction, event)
            )
        return None


class CompletionReader:
    """Events to completion responses: each with the text so far and what is new in it."""

    def __init__(self) -> None:
        self._text = ""

    def read(self, event: StreamEvent) -> CompletionResponse | None:
        """The response for an event, None for one that is no part of the answer."""
        if isinstance(event, TextDelta):
            self._text += event.text
            return CompletionResponse(text=self._text, delta=event.text)
        if isinstance(event, Finished):
            return CompletionResponse(
                text=self._text, delta="", **_closing(event.prediction, event)
            )
        return None


def to_chat_response(completion: Completion) -> ChatResponse:
    """A whole answer as a chat response."""
    return ChatResponse(
        message=_assistant(completion.text), **_closing(completion.prediction, completion)
    )


def to_completion_response(completion: Completion) -> CompletionResponse:
    """A whole answer as a completion response."""
    return CompletionResponse(text=completion.text, **_closing(completion.prediction, completion))


def _assistant(text: str) -> ChatMessage:
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=text)])


def _closing(prediction: Prediction, ended: Finished | Completion) -> dict[str, Any]:
    """What only the last response has. `raw` is a dict: token counters read its `usage`."""
    counts = _counts(ended.usage)
    reason = ended.reason if isinstance(ended, Finished) else ended.finish_reason
    raw = {
        "id": prediction.id,
        "model": prediction.model,
        "status": prediction.status,
        "finish_reason": reason,
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

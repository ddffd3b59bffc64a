"""LlamaIndex's messages, or a prompt, to the prompt arguments of `Client.stream`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from mimetypes import guess_type
from pathlib import Path
from typing import Any, Literal, NamedTuple

from llama_index.core.base.llms.generic_utils import messages_to_prompt
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

_PLAIN = "plain"
_ROLES: Mapping[MessageRole, Literal["system", "user", "assistant", "tool"]] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


class PromptArguments(NamedTuple):
    """The arguments of `Client.stream` that make up the prompt.

    Attributes:
        messages: The conversation.
        system_prompt: A system text before it; None if `messages` contain it.
        prompt_format: The chat format; None for the model's own.
    """

    messages: list[core.Message]
    system_prompt: str | None
    prompt_format: str | None


class PromptConverter(NamedTuple):
    """Converts the messages or the prompt of a call.

    Attributes:
        system_prompt: A system text before the messages.
        prompt_format: The chat format; None for the model's own.
        image: Path or address of an image for the last question.
    """

    system_prompt: str | None
    prompt_format: str | None
    image: str | None

    def convert_chat(
        self,
        messages: Sequence[ChatMessage],
        render: Callable[[Sequence[ChatMessage]], str] | None,
    ) -> PromptArguments:
        """Convert messages.

        Args:
            messages: The conversation.
            render: The user's function that makes a prompt of it, which is sent unchanged.

        Raises:
            InvalidInputError: A block is of a kind that cannot be sent to a model.
        """
        system_prompt = self.system_prompt
        if system_prompt in [m.content for m in messages[:1] if m.role == MessageRole.SYSTEM]:
            system_prompt = None  # `predict` puts it among the messages itself
        # The framework sets its own function where the user has set none.
        if render is None or render is messages_to_prompt:
            converted = self._add_image(to_core(messages))
            return PromptArguments(converted, system_prompt, self.prompt_format)
        # The function renders texts; everything else comes behind them.
        others = [
            part
            for index, message in enumerate(messages)
            for block in message.blocks
            if not isinstance(block, TextBlock | ToolCallBlock)
            for part in _convert_block(block, f"messages[{index}]")
        ]
        if system_prompt:
            messages = [ChatMessage(role=MessageRole.SYSTEM, content=system_prompt), *messages]
        text = render(messages)
        question = [{"type": "text", "text": text}, *others] if others else text
        converted = self._add_image([core.Message("user", question)])
        return PromptArguments(converted, None, self.prompt_format or _PLAIN)

    def convert_prompt(self, prompt: str, render: Callable[[str], str] | None) -> PromptArguments:
        """Convert the prompt of a completion, which is sent unchanged without a `prompt_format`.

        Args:
            prompt: The prompt.
            render: The user's function that formats it; None if it is formatted.
        """
        system_prompt = self.system_prompt
        if render is not None:
            prompt = render(prompt)
        elif system_prompt and system_prompt in prompt:
            system_prompt = None  # `predict` puts it into the prompt itself
        converted = self._add_image([core.Message("user", prompt)])
        return PromptArguments(converted, system_prompt, self.prompt_format or _PLAIN)

    def _add_image(self, messages: list[core.Message]) -> list[core.Message]:
        """Add the image to the last question."""
        last = max((at for at, each in enumerate(messages) if each.role == "user"), default=None)
        if not self.image or last is None:
            return messages
        is_url = self.image.startswith(("http://", "https://", "data:"))
        # The core takes text for the name of a file only from its owner, who has set this field.
        image = {"url": self.image} if is_url else {"path": Path(self.image)}
        content = messages[last].content
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else [*content]
        question = replace(messages[last], content=[*parts, {"type": "image", **image}])
        return [*messages[:last], question, *messages[last + 1 :]]


def to_core(messages: Sequence[ChatMessage]) -> list[core.Message]:
    """Convert messages, which are left unchanged.

    Raises:
        InvalidInputError: A block is of a kind that cannot be sent to a model.
    """
    return [_convert_message(index, message) for index, message in enumerate(messages)]


def _convert_message(index: int, message: ChatMessage) -> core.Message:
    parts: list[Mapping[str, Any]] = []
    calls: list[core.ToolCall] = []
    for block in message.blocks:
        if isinstance(block, ToolCallBlock):
            calls.append(convert_call_block(block))
            continue
        # Blocks of text are joined by newlines, as in the framework's own `content`.
        if isinstance(block, TextBlock) and any(part.get("type") == "text" for part in parts):
            parts.append({"type": "text", "text": "\n"})
        parts += _convert_block(block, f"messages[{index}]")
    texts = [part["text"] for part in parts if _is_text(part)]
    return core.Message(
        _ROLES[message.role],
        "".join(texts) if len(texts) == len(parts) else parts,
        name=message.additional_kwargs.get("name"),
        tool_calls=tuple(calls or parse_additional_calls(message)),
        tool_call_id=message.additional_kwargs.get("tool_call_id"),
    )


def _is_text(part: Mapping[str, Any]) -> bool:
    return set(part) == {"type", "text"} and isinstance(part["text"], str)


def convert_call_block(block: ToolCallBlock) -> core.ToolCall:
    """Convert a call."""
    return core.ToolCall(block.tool_call_id or "", block.tool_name, block.tool_kwargs)


def parse_additional_calls(message: ChatMessage) -> list[core.ToolCall]:
    """Parse the calls in a message's `additional_kwargs`, from integrations without call blocks."""
    calls = message.additional_kwargs.get("tool_calls")
    return [_parse_call(call) for call in calls] if isinstance(calls, list | tuple) else []


def _parse_call(call: Any) -> core.ToolCall:
    """Parse a call in OpenAI's or Anthropic's format, as a dict or an object of their packages."""
    function = _get(call, "function") or call
    arguments = _get(function, "arguments") or _get(function, "input") or {}
    call_id, name = str(_get(call, "id") or ""), str(_get(function, "name") or "")
    return core.ToolCall(call_id, name, arguments)


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _convert_block(block: Any, owner: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(block, TextBlock):
        yield {"type": "text", "text": block.text}
    elif isinstance(block, ThinkingBlock | CachePoint):
        yield {"type": "thinking" if isinstance(block, ThinkingBlock) else "cache_point"}
    elif isinstance(block, CitableBlock | CitationBlock):
        inner = block.content if isinstance(block, CitableBlock) else [block.cited_content]
        content = [part for each in inner for part in _convert_block(each, owner)]
        yield {
            "type": "search_result",
            "title": block.title,
            "source": block.source,
            "content": content,
        }
    elif isinstance(block, ImageBlock):
        yield _make_media_part("image", block, block.image, mime_type=block.image_mimetype)
    elif isinstance(block, AudioBlock):
        yield _make_media_part("audio", block, block.audio, format=block.format)
    elif isinstance(block, VideoBlock):
        yield _make_media_part("video", block, block.video, mime_type=block.video_mimetype)
    elif isinstance(block, DocumentBlock):
        # The framework gives a document without a title this one.
        title = None if block.title == "input_document" else block.title
        mime_type = block.document_mimetype or guess_type(str(block.path or ""))[0]
        yield _make_media_part("file", block, block.data, mime_type=mime_type, title=title)
    elif isinstance(block, Mapping):
        yield block  # another provider's, which the core reads
    else:
        raise core.InvalidInputError(
            f"{owner} has a {type(block).__name__}, which cannot be sent to a model",
            fields=(owner,),
        )


def _make_media_part(kind: str, block: Any, data: Any, **details: str | None) -> Mapping[str, Any]:
    part: dict[str, Any] = {"type": kind, **{n: value for n, value in details.items() if value}}
    if isinstance(data, bytes):
        part["base64"] = data.decode("ascii")  # the framework has encoded it
    elif data is not None:
        part["data"] = _read_file(data)
    elif block.path is not None:
        part["path"] = block.path  # a `Path`; see docs/content-blocks.md
    elif block.url is not None:
        part["url"] = str(block.url)
    return part


def _read_file(file: Any) -> bytes:
    """Read an open file whole and restore its position: the message may be sent again."""
    position = file.tell()
    file.seek(0)
    try:
        return bytes(file.read())
    finally:
        file.seek(position)

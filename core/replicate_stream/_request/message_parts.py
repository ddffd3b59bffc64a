"""Messages taken apart: the text of each, and the media beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._errors import wrong_type
from replicate_stream._model.families import Speaker, Turn
from replicate_stream._types.media import Media, read_media
from replicate_stream._types.messages import Message, ToolCall

_TEXT_TYPES = frozenset({"text", "input_text", "extract_text"})


@dataclass(frozen=True, slots=True)
class MessageParts:
    """One message: its text, its media, and the message itself for models that take it natively."""

    message: Message
    text: str = field(repr=False)
    media: tuple[Media, ...] = ()

    def turn(self) -> Turn:
        """What was said as a turn of a prompt, without what was called."""
        if self.message.role == "tool":
            return Turn("tool", self.text)
        name = self.message.name
        speaker: Speaker = "assistant" if self.message.role == "assistant" else "user"
        return Turn(speaker, f"{name}: {self.text}" if name and speaker == "user" else self.text)


def read(messages: Sequence[Message]) -> list[MessageParts]:
    """Take messages apart.

    Raises:
        InvalidInputError: A content is neither text nor parts, or a part is of an unknown kind.
    """
    said = []
    for at, message in enumerate(messages):
        content: Any = message.content
        if isinstance(content, str):
            said.append(MessageParts(message, content))
            continue
        if not isinstance(content, Sequence) or isinstance(content, bytes):
            raise wrong_type(f"messages[{at}].content", content, "a text or a list of parts")
        texts, media = _parts(content, at)
        said.append(MessageParts(message, "".join(texts), tuple(media)))
    return said


def _parts(content: Sequence[Any], at: int) -> tuple[list[str], list[Media]]:
    texts: list[str] = []
    media: list[Media] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and str(part.get("type", "text")) in _TEXT_TYPES:
            texts.append(str(part.get("text") or ""))
        else:
            media.append(read_media(part, f"messages[{at}]"))
    return texts, media


def as_native(said: MessageParts, text: str) -> dict[str, Any]:
    """A message as OpenAI writes it, for models that take messages."""
    message = said.message
    entry: dict[str, Any] = {"role": message.role, "content": text}
    if message.name:
        entry["name"] = message.name
    if message.tool_call_id:
        entry["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        entry["tool_calls"] = [_native_call(call) for call in message.tool_calls]
    return entry


def _native_call(call: ToolCall) -> dict[str, Any]:
    arguments = call.arguments
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}

"""The core's events to LangChain's protocol events (version 3), without chunks in between. Pure.

The framework calls `_stream_chat_model_events` for them, and otherwise makes them from chunks,
which costs more and takes a malformed call for one whose text is no JSON. Their shapes are those of
`langchain_protocol`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import replicate_stream as core
from langchain_replicate_stream._from_core import (
    PROVIDER,
    convert_call,
    convert_usage,
    make_metadata,
)
from replicate_stream.adapters import parse_arguments

if TYPE_CHECKING:
    from langchain_protocol.protocol import MessagesData


class EventConverter:
    """Converts the events of one stream.

    Each text, reasoning and call is a block with an index of its own, and ends where the next one
    begins.

    Args:
        model: The model's name, for the metadata.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._block: dict[str, Any] | None = None  # the open block, less its text
        self._key = ""  # the member of the block and of its deltas that holds the text
        self._pieces: list[str] = []
        self._index = -1
        self._call_index: int | None = None

    def start(self) -> MessagesData:
        """Return the event before all others. The framework sets the id of the message."""
        metadata = {"provider": PROVIDER, "model": self._model}
        return _to_event("message-start", role="ai", id="", metadata=metadata)

    def convert(self, event: core.StreamEvent) -> Iterator[MessagesData]:
        """Convert an event; a change of the status has none."""
        if isinstance(event, core.TextDelta):
            yield from self._add({"type": "text"}, "text", event.text)
        elif isinstance(event, core.ReasoningDelta):
            yield from self._add({"type": "reasoning"}, "reasoning", event.text)
        elif isinstance(event, core.ToolCallDelta):
            yield from self._add_to_call(event)
        elif isinstance(event, core.Finished):
            yield from self._end_block()
            metadata = make_metadata(event, self._model)
            usage = convert_usage(event.usage)
            counts = {} if usage is None else {"usage": usage}
            yield _to_event("message-finish", metadata=metadata, **counts)

    def _add(self, block: dict[str, Any], key: str, text: str) -> Iterator[MessagesData]:
        if self._block is None or self._key != key:
            yield from self._start_block(block, key)
        self._pieces.append(text)
        delta = {"type": _DELTAS[key], key: text}
        yield _to_event("content-block-delta", index=self._index, delta=delta)

    def _add_to_call(self, event: core.ToolCallDelta) -> Iterator[MessagesData]:
        if self._block is None or self._call_index != event.index:
            block = {"type": "tool_call_chunk", "id": event.id, "name": event.name}
            yield from self._start_block({**block, "index": event.index}, "args")
            self._call_index = event.index
        if event.arguments:
            self._pieces.append(event.arguments)
            delta = {"type": "tool-call-delta", "args": event.arguments}
            yield _to_event("content-block-delta", index=self._index, delta=delta)

    def _start_block(self, block: dict[str, Any], key: str) -> Iterator[MessagesData]:
        yield from self._end_block()
        self._block, self._key, self._index = block, key, self._index + 1
        content = {**block, key: ""}
        yield _to_event("content-block-start", index=self._index, content=content)

    def _end_block(self) -> Iterator[MessagesData]:
        if self._block is None:
            return
        block, text = self._block, "".join(self._pieces)
        content = {**block, self._key: text}
        if block["type"] == "tool_call_chunk":
            arguments = parse_arguments(block["name"], text)
            call = core.ToolCall(
                block["id"] or "", block["name"] or "", text if arguments is None else arguments
            )
            content = dict(convert_call(call))
        self._block, self._call_index = None, None
        self._pieces.clear()
        yield _to_event("content-block-finish", index=self._index, content=content)


_DELTAS = {"text": "text-delta", "reasoning": "reasoning-delta"}


def _to_event(name: str, **fields: Any) -> MessagesData:
    return cast("MessagesData", {"event": name, **fields})

"""The core's events to LangChain's chunks. Pure.

The trap: the framework reads the sum of a call's pieces with a parser that completes what was cut
off, so `{"city": "Par` would become a valid call of Paris. See `_ending`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json

import replicate_stream as core
from langchain_replicate_stream._from_core_message import PROVIDER, REASONING, metadata_of, usage_of
from langchain_replicate_stream._to_core import MALFORMED

if TYPE_CHECKING:
    from langchain_core.messages import content as blocks

# Every token is a copy of these: the constructors validate what is right anyway, and cost twice as
# much. `model_copy` is slower too, and would mark fields as set that were not.
_MESSAGE = AIMessageChunk(content="")
_CHUNK = ChatGenerationChunk(message=_MESSAGE)


def text_chunk(event: core.TextDelta) -> ChatGenerationChunk:
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


class Chunks:
    """Makes the chunks of one stream.

    Args:
        model: The model's name, for the metadata.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._calls: dict[int, list[core.ToolCallDelta]] = {}

    def of(self, event: core.StreamEvent) -> Sequence[ChatGenerationChunk]:
        """The chunks of an event; none for one that is no part of the answer."""
        if isinstance(event, core.TextDelta):
            return (text_chunk(event),)
        if isinstance(event, core.ToolCallDelta):
            self._calls.setdefault(event.index, []).append(event)
            piece = tool_call_chunk(
                name=event.name, args=event.arguments, id=event.id, index=event.index
            )
            return (_calling([piece]),)
        if isinstance(event, core.ReasoningDelta):
            return (_chunk(AIMessageChunk(content="", additional_kwargs={REASONING: event.text})),)
        if isinstance(event, core.Finished):
            return (*self._endings(), _last(event, self._model))
        return ()

    def _endings(self) -> list[ChatGenerationChunk]:
        """The chunk that keeps malformed calls from being taken for valid ones, if there are any.

        It is one of its own, because the last one's pieces are not looked at everywhere.
        """
        pieces = [
            tool_call_chunk(name=None, args=_ending(written), id=None, index=index)
            for index, deltas in self._calls.items()
            if not _is_call(deltas[0].name, written := "".join(d.arguments for d in deltas))
        ]
        return [_calling(pieces)] if pieces else []


def _chunk(message: AIMessageChunk) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=message)


def _calling(pieces: list[ToolCallChunk]) -> ChatGenerationChunk:
    _register()
    # Only of this key are equal values not joined to one another.
    whose = {"model_provider": PROVIDER}
    return _chunk(AIMessageChunk(content="", tool_call_chunks=pieces, response_metadata=whose))


def _last(event: core.Finished, model: str) -> ChatGenerationChunk:
    """The closing chunk, the only one with metadata: those of several would be concatenated."""
    return _chunk(
        AIMessageChunk(
            content="",
            usage_metadata=usage_of(event.usage),
            response_metadata=metadata_of(event.prediction, event.reason, model),
            chunk_position="last",
        )
    )


def _is_call(name: str | None, written: str) -> bool:
    """Whether what came can be called: it has a name, and its arguments are a JSON object."""
    try:
        return bool(name) and isinstance(json.loads(written), dict)
    except ValueError:
        return False


def _ending(written: str) -> str:
    """What to add to malformed arguments so that nobody reads them as a call.

    The framework's parser closes what is open, and gives up only at a bracket that closes nothing.
    Outside of a string one of the two brackets is such; a string is ended first, after a space, so
    that no backslash takes the quote. What stands behind it is not looked at: it tells a reader
    what this is, and `_convert` takes all of it off again.
    """
    for closing in (" ]", " }", ' "]', ' "}'):
        try:
            read = parse_partial_json(written + closing)
        except ValueError:
            read = None
        if read is None:
            return closing + MALFORMED
    raise AssertionError("one bracket of the two closes nothing")


@lru_cache(maxsize=1)
def _register() -> None:
    """Tell the framework how to read our chunks; at the first call, for that import's sake."""
    from langchain_core.messages.block_translators import register_translator

    register_translator(PROVIDER, _as_the_framework_does, _chunk_blocks)


def _as_the_framework_does(message: AIMessage) -> list[blocks.ContentBlock]:
    """Nothing: the framework takes this error for "read it as you would without us"."""
    raise NotImplementedError


def _chunk_blocks(message: AIMessageChunk) -> list[blocks.ContentBlock]:
    """A call's pieces as blocks whose index no block of text has.

    Both are counted from 0 otherwise, and the sum would join a call to the text before it.
    """
    if not message.tool_call_chunks or message.content or message.chunk_position == "last":
        return _as_the_framework_does(message)
    return [
        {
            "type": "tool_call_chunk",
            "id": piece["id"],
            "name": piece["name"],
            "args": piece["args"],
            "index": f"lc_tc_{piece['index']}",
        }
        for piece in message.tool_call_chunks
    ]

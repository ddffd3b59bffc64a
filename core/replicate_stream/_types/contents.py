"""The contents of messages as text, media, calls and results, each in a message of its role."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

from replicate_stream._errors import InvalidInputError, wrong_type
from replicate_stream._types.content_blocks import (
    LeftOut,
    Piece,
    ReadFile,
    Result,
    find_media,
    join_texts,
    parse_blocks,
)
from replicate_stream._types.media import Media
from replicate_stream._types.messages import Message, Role, ToolCall


class Contents(NamedTuple):
    """A message with its text and its media apart.

    Attributes:
        message: The message, with the calls of its blocks. Its own content is as given.
        text: All texts, joined.
        media: All media, in their order.
    """

    message: Message
    text: str
    media: tuple[Media, ...] = ()


def parse_contents(
    messages: Sequence[Message],
    note: Callable[[str], None] | None = None,
    read: ReadFile | None = None,
) -> list[Contents]:
    """Parse the contents of messages.

    A message becomes several where it holds calls or results that belong to another role, as the
    results in a user's message do that Anthropic and Bedrock write.

    Args:
        messages: The conversation.
        note: Called with a sentence about each block that is left out.
        read: Reads the local files that are texts; None leaves them as media.

    Raises:
        InvalidInputError: A content is neither a string nor a list, or a block is of an unknown
            type or lacks its content. The message names its type and place.
    """
    note = note or (lambda _: None)
    return [
        contents
        for index, message in enumerate(messages)
        for contents in _parse_message(message, f"messages[{index}]", note, read)
    ]


def names_file(content: Any) -> bool:
    """Return True if there is the path of a local file anywhere in a content."""
    if isinstance(content, str | bytes | bytearray | memoryview):
        return False
    if isinstance(content, Mapping):
        return any(map(names_file, content.values()))
    if isinstance(content, Sequence):
        return any(map(names_file, content))
    return hasattr(type(content), "__fspath__")


def _parse_message(
    message: Message, path: str, note: Callable[[str], None], read: ReadFile | None
) -> Iterator[Contents]:
    content: Any = message.content
    if isinstance(content, str):
        yield Contents(message, content)
        return
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        raise wrong_type(f"{path}.content", content, "a string or a list of blocks")
    is_result = message.role == "tool"
    found = list(parse_blocks(content, f"{path}.content", is_result=is_result, read=read))
    if content and not found and message.role == "user":
        raise InvalidInputError(
            f"{path}.content has nothing to send: reasoning and marks of caches are left out",
            fields=(path,),
        )
    pieces: list[Piece] = []
    for piece in found:
        if isinstance(piece, LeftOut):
            note(f"A block of type {piece.block_type} was left out: a provider's server made it.")
        else:
            pieces.append(piece)
    pieces = _merge_calls(message.tool_calls, pieces)
    # A message's own call may have no name: that is how a malformed one is kept.
    unnamed = [each for each in pieces if isinstance(each, ToolCall) and not each.name]
    if any(call not in message.tool_calls for call in unnamed):
        raise InvalidInputError(f"{path} has a call without a name", fields=(path,))
    yield from _split(message, pieces)


def _merge_calls(calls: Sequence[ToolCall], pieces: Sequence[Piece]) -> list[Piece]:
    """Merge a message's calls with those of its blocks.

    Frameworks keep a call in both places, and edit it in the first one only.
    """
    rest = list(calls)
    merged: list[Piece] = []
    for piece in pieces:
        same = None
        if isinstance(piece, ToolCall):
            same = next((call for call in rest if _is_same_call(call, piece)), None)
        if same is not None:
            rest.remove(same)
        merged.append(piece if same is None else same)
    return merged + rest


def _is_same_call(one: ToolCall, other: ToolCall) -> bool:
    return one.id == other.id if one.id and other.id else one.name == other.name


def _split(message: Message, pieces: list[Piece]) -> Iterator[Contents]:
    """Split a message into messages of one role each."""

    def find_role(piece: Piece) -> Role:
        if isinstance(piece, ToolCall):
            return "assistant"
        return "tool" if isinstance(piece, Result) else message.role

    if message.role != "assistant":
        # Results come before a question, as they answer what is before the message.
        order = ("assistant", "tool", message.role)
        pieces = sorted(pieces, key=lambda piece: order.index(find_role(piece)))
    for role, group in groupby(pieces, find_role):
        grouped = list(group)
        results = [piece for piece in grouped if isinstance(piece, Result)]
        yield from (_to_message(result, message) for result in results)
        if len(results) < len(grouped):
            calls = tuple(piece for piece in grouped if isinstance(piece, ToolCall))
            own = message if role == message.role else Message(role)
            text, media = join_texts(grouped), find_media(grouped)
            yield Contents(replace(own, tool_calls=calls), text, media)
    if not pieces:
        yield Contents(message, "")


def _to_message(result: Result, message: Message) -> Contents:
    call_id = result.call_id or message.tool_call_id
    is_own = message.role == "tool" and call_id == message.tool_call_id
    name = result.name or (message.name if is_own else None)
    return Contents(Message("tool", name=name, tool_call_id=call_id), result.text, result.media)

"""Split the reasoning of a model from its answer while it streams.

Models write their reasoning between tags before the answer. The traps: a tag that is split between
two chunks, and an answer that merely mentions a tag. So only a tag at the very start counts.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from replicate_stream._model import families

Piece: TypeAlias = tuple[Literal["text", "reasoning"], str]


class ReasoningSplitter:
    """Splits a text into reasoning and answer. The result is the same for every chunking.

    White space before the opening tag belongs to the reasoning; the tags are dropped. A block that
    is never closed is reasoning to the end.
    """

    __slots__ = ("_closing", "_is_start", "_pending")

    def __init__(self) -> None:
        self._pending = ""
        self._is_start = True  # until an opening tag is found or excluded
        self._closing = ""  # the closing tag of the open block; empty outside of a block

    @property
    def is_done(self) -> bool:
        """True once all further text belongs to the answer, so that it need not pass through."""
        return not self._is_start and not self._closing

    def feed(self, text: str) -> list[Piece]:
        """Add text; return the pieces that are certain, none of them empty."""
        rest, self._pending = self._pending + text, ""
        pieces: list[Piece] = []
        if self._is_start:
            rest = self._open(rest, pieces)
        if self._closing:
            rest = self._close(rest, pieces)
        elif self._is_start:
            self._pending, rest = rest, ""
        if rest:
            pieces.append(("text", rest))
        return pieces

    def flush(self) -> list[Piece]:
        """Return the pending text, after the last `feed`."""
        text, self._pending = self._pending, ""
        return [("reasoning" if self._closing else "text", text)] if text else []

    def _open(self, text: str, pieces: list[Piece]) -> str:
        """Find an opening tag at the start; return the text after it, or the whole text."""
        body, tags = text.lstrip(), families.TABLES.thinking_tags
        for opening, closing in tags:
            if body.startswith(opening):
                self._is_start, self._closing = False, closing
                blanks = text[: len(text) - len(body)]
                if blanks:
                    pieces.append(("reasoning", blanks))
                return body[len(opening) :]
        self._is_start = any(opening.startswith(body) for opening, _ in tags)
        return text

    def _close(self, text: str, pieces: list[Piece]) -> str:
        """Append the reasoning up to the closing tag; return the text after the tag."""
        end = text.find(self._closing)
        if end >= 0:
            rest = text[end + len(self._closing) :]
            self._closing = ""
        else:
            end = len(text) - _count_partial(text, self._closing)
            self._pending, rest = text[end:], ""
        if end:
            pieces.append(("reasoning", text[:end]))
        return rest


def _count_partial(text: str, tag: str) -> int:
    """Return the number of characters at the end of the text that may begin the tag."""
    sizes = range(min(len(tag) - 1, len(text)), 0, -1)
    return next((size for size in sizes if tag.startswith(text[-size:])), 0)

"""Tell what a model thinks from what it answers, while it streams.

Models write their thoughts between tags in front of the answer. The traps: a tag that comes in two
pieces, and an answer that merely mentions a tag. So a block counts only where one may begin, at the
very start of the text.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Piece: TypeAlias = tuple[Literal["text", "reasoning"], str]

TAGS: tuple[tuple[str, str], ...] = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("[THINK]", "[/THINK]"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
)
"""What opens a block of thoughts, and what closes it."""


class ReasoningSplitter:
    """Splits a text into reasoning and answer; the result is the same for every chunking.

    White space in front of an opening tag goes with the reasoning; the tags themselves go nowhere.
    A block that is never closed is reasoning to the end.
    """

    __slots__ = ("_closing", "_held", "_is_start")

    def __init__(self) -> None:
        self._held = ""
        self._is_start = True
        self._closing = ""

    @property
    def is_settled(self) -> bool:
        """Whether all that is still to come is answer, so that it need not be looked at."""
        return not self._is_start and not self._closing

    def feed(self, text: str) -> list[Piece]:
        """Take more of the text; gives what is certain by now, without empty pieces."""
        seen, self._held = self._held + text, ""
        pieces: list[Piece] = []
        if self._is_start:
            seen = self._open(seen, pieces)
        if self._closing:
            seen = self._close(seen, pieces)
        elif self._is_start:
            self._held, seen = seen, ""
        if seen:
            pieces.append(("text", seen))
        return pieces

    def flush(self) -> list[Piece]:
        """Say that the text has ended; gives what was held back."""
        held, self._held = self._held, ""
        if not held:
            return []
        return [("reasoning" if self._closing else "text", held)]

    def _open(self, seen: str, pieces: list[Piece]) -> str:
        """At the start: look for an opening tag; gives the text that follows it, or all of it."""
        body = seen.lstrip()
        for opening, closing in TAGS:
            if body.startswith(opening):
                self._is_start, self._closing = False, closing
                blank = seen[: len(seen) - len(body)]
                if blank:
                    pieces.append(("reasoning", blank))
                return body[len(opening) :]
        self._is_start = any(opening.startswith(body) for opening, _ in TAGS)
        return seen

    def _close(self, seen: str, pieces: list[Piece]) -> str:
        """Inside: give reasoning up to the closing tag; gives the text that follows it."""
        at = seen.find(self._closing)
        if at >= 0:
            rest = seen[at + len(self._closing) :]
            self._closing = ""
        else:
            at = len(seen) - _overlap(seen, self._closing)
            self._held, rest = seen[at:], ""
        if at:
            pieces.append(("reasoning", seen[:at]))
        return rest


def _overlap(text: str, mark: str) -> int:
    """How much of the end of a text may be the beginning of a mark."""
    sizes = range(min(len(mark) - 1, len(text)), 0, -1)
    return next((size for size in sizes if mark.startswith(text[-size:])), 0)

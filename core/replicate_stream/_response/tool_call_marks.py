"""Find the marks of tool calls in the text of an answer.

The marks of all families are known at once, because a model that was shown one format may fall
back on the one that it was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from replicate_stream._model import families
from replicate_stream._model.families import FamilyTables
from replicate_stream._model.families.tool_format import CallMark

FENCE = "```"
_FENCE_LINE = re.compile(r"```[ \t]*(?:json|xml|tool_call|tool_code|python)?\s*")
_FENCE_WORD = re.compile(r"```[ \t]*[a-z_]*\s*")
_LONGEST_HEADER = 200
# A shorter piece of a mark at the end of an answer, as `<` or `[TO`, may as well be text.
_SHORTEST_PARTIAL = 4

Body: TypeAlias = Literal["call", "arguments", "bare"]


@dataclass(frozen=True, slots=True)
class Opening:
    """A mark that opens a tool call, or that stands near one.

    Attributes:
        end: The position behind the mark.
        body: The JSON behind the mark: of one or several calls (`call`), of a call's arguments
            alone (`arguments`), or JSON without marks that may be a call (`bare`). None for a mark
            that only frames calls.
        name: The tool, if the mark names it.
        closing: The marks that may close the call.
        is_result: True if the mark opens the result of a tool: the model plays the tool.
        is_stray: True if the mark closes a call that is closed already.
    """

    end: int
    body: Body | None = None
    name: str | None = None
    closing: tuple[str, ...] = ()
    is_result: bool = False
    is_stray: bool = False


OpeningMatch: TypeAlias = "Opening | Literal['partial'] | None"
"""A mark, the possible beginning of one (`partial`: more text is needed), or None for text."""


class Marks:
    """The marks of all families, in the groups in which they are searched.

    Attributes:
        starts: The marks that begin a call or frame calls.
        ends: The marks of results, and those that close a call.
        ends_of_broken_calls: The marks that begin the call after a broken one.
        all: All marks, the longest first, because a mark may begin with another one.
        longest: The length of the longest mark.
        first: Matches the first character of any mark.
        first_or_json: Matches that, and the first character of a call as bare JSON.
    """

    def __init__(self, tables: FamilyTables) -> None:
        self.starts = (*tables.call_marks, *tables.frame_marks)
        self.ends_of_broken_calls = tuple(
            opening
            for opening, marks in tables.call_marks.items()
            if any(mark.ends_broken_call for mark in marks)
        )
        self.ends = (*tables.result_marks, *tables.closing_marks)
        self.all = sorted({*self.starts, *self.ends, FENCE}, key=lambda mark: (-len(mark), mark))
        self.longest = len(self.all[0])
        first = re.escape("".join(sorted({mark[0] for mark in self.all})))
        self.first = re.compile(f"[{first}]")
        self.first_or_json = re.compile(f"[{first}{{]")


_build_marks = lru_cache(maxsize=1)(Marks)


def get_marks() -> Marks:
    """Return the marks of all families, which are built once."""
    return _build_marks(families.TABLES)


def find_opening(text: str, at: int, *, is_final: bool) -> OpeningMatch:
    """Find the mark at a position of the text.

    Args:
        text: The text so far.
        at: The position.
        is_final: True if no more text comes, so that no mark can be partial.
    """
    marks = get_marks().all
    for mark in marks:
        if text.startswith(mark, at):
            match = _parse_opening(mark, text, at + len(mark))
            return None if match == "partial" and is_final else match
    if not is_final and any(mark.startswith(text[at:]) for mark in marks):
        return "partial"
    return None


def find_end(text: str, closing: Iterable[str], start: int) -> int:
    """Find the end of a call whose JSON is broken: a closing mark, or the opening one of another.

    Args:
        text: The text from where the JSON is broken.
        closing: The marks that may close the call.
        start: The length of the text that was searched before.

    Returns:
        The position before the mark; -1 if the text has no such mark.
    """
    known = get_marks()
    start = max(0, start - known.longest)
    # Broken JSON may well hold the fence's backticks, so they do not count as its end.
    marks = [mark for mark in closing if len(mark) > len(FENCE)]
    positions = [text.find(mark, start) for mark in (*marks, *known.ends_of_broken_calls)]
    return min((position for position in positions if position >= 0), default=-1)


def is_cut_mark(text: str, marks: Iterable[str]) -> bool:
    """Return True if the end of an answer is a mark, or the beginning of one that was cut off."""
    return len(text) >= _SHORTEST_PARTIAL and any(
        mark.startswith(text) or text.startswith(mark) for mark in marks
    )


def skip_blanks(text: str, at: int) -> int:
    """Return the position of the next character that is not white space."""
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _parse_opening(mark: str, text: str, at: int) -> OpeningMatch:
    """Parse what belongs to a mark behind it: the tool's name, a code fence, the JSON's bracket."""
    tables = families.TABLES
    if mark == FENCE:
        return _parse_fence(text, at - len(mark))
    if mark in tables.frame_marks:
        return Opening(at)
    if mark in tables.result_marks:
        return Opening(at, is_result=True)
    # A mark may have several headers, of which at most one matches.
    for call_mark in tables.call_marks.get(mark, ()):
        opening = (_parse_calls if call_mark.header is None else _parse_header)(call_mark, text, at)
        if opening is not None:
            return opening
    return Opening(at, is_stray=True) if mark in tables.closing_marks else None


def _parse_calls(mark: CallMark, text: str, at: int) -> OpeningMatch:
    """Match an object or a list of calls. Behind a mark, anything else is text about the mark."""
    start = _skip_fence(text, at) if mark.has_fence else skip_blanks(text, at)
    if start is None or start == len(text):
        return "partial"
    if text[start] not in "{[":
        return None
    return Opening(start, "call", closing=_get_closing(mark, text, at))


def _parse_header(mark: CallMark, text: str, at: int) -> OpeningMatch:
    """Match a header with a tool's name, which only the arguments of the call follow."""
    header = re.compile(mark.header or "").match(text, at)
    if header is None or header.lastindex is None:
        # Wait for more of a header, but not for ever: text without its end must not be held back.
        is_short = len(text) - at < _LONGEST_HEADER
        may_grow = is_short and re.compile(mark.header_start).fullmatch(text, at) is not None
        return "partial" if may_grow else None
    name, at = header[header.lastindex].strip(), header.end()
    if not mark.has_fence:
        return Opening(at, "arguments", name, mark.closings)
    start = _skip_fence(text, at)
    if start is None:
        return "partial"
    return Opening(start, "arguments", name, _get_closing(mark, text, at))


def _skip_fence(text: str, at: int) -> int | None:
    """Return the position behind blanks and the first line of a fence; None if that is partial."""
    at = skip_blanks(text, at)
    if FENCE.startswith(text[at:]):
        return None
    word, line = _FENCE_WORD.match(text, at), _FENCE_LINE.match(text, at)
    if word is None or line is None:
        return at
    return None if word.end() == len(text) else line.end()


def _get_closing(mark: CallMark, text: str, at: int) -> tuple[str, ...]:
    """Return the closing marks of a call, with the end of the fence that it stands in."""
    has_fence = text.startswith(FENCE, skip_blanks(text, at))
    return (*mark.closings, FENCE) if has_fence else mark.closings


def _parse_fence(text: str, at: int) -> OpeningMatch:
    """Match a code fence around a call: before JSON, or before a mark."""
    start = _skip_fence(text, at)
    if start is None:
        return "partial"
    if text[start] in "{[":
        return Opening(start, "bare", closing=(FENCE,))
    if text.startswith(FENCE[0], start):
        return None  # a fence in a fence is somebody's text about fences
    inner = find_opening(text, start, is_final=False)
    if not isinstance(inner, Opening):
        return inner
    return replace(inner, closing=(*inner.closing, FENCE))

"""Find the marks of tool calls in the text of an answer.

A mark that is a special token is known in every answer, whatever the model: a model that was shown
one format may fall back on the one that it was trained on. Other marks may as well be text, and are
known only where the model was shown them or trained on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Literal, TypeAlias

from replicate_stream._model import families
from replicate_stream._model.families import FamilyTables
from replicate_stream._model.families.tool_format import CallMark
from replicate_stream._model.families.turn import SPECIAL_TOKENS
from replicate_stream._response.turn_marks import Turn, find_turn_marks

FENCE = "```"
_FENCE_LINE = re.compile(r"(?i)```[ \t]*(?:json|xml|tool_call|tool_code|python)?\s*")
_FENCE_WORD = re.compile(r"(?i)```[ \t]*[a-z_]*\s*")
_LONGEST_HEADER = 200
_LONGEST_WORDS = 1000
# A shorter piece of a mark at the end of an answer, as `<` or `[TO`, may as well be text.
_SHORTEST_PARTIAL = 4
# Beside the tokens that end a turn in the chat templates.
_ENDS_OF_TEXT = ("<|endoftext|>", "<|return|>", "<eos>", "<EOS_TOKEN>")
# The shapes of special tokens; `<tool_call>` is one of Qwen's and of GLM's.
_SPECIAL = re.compile(r"</?[|\uff5c]|\[/?[A-Z_]+\]|</?(?:\w+:)?tool_(?:call|response)\b|<\w+\|>")

Body: TypeAlias = Literal["call", "arguments", "text"]


@dataclass(frozen=True, slots=True)
class Opening:
    """A mark that opens a tool call, or that stands near one.

    Attributes:
        end: The position behind the mark.
        body: What follows the mark: the JSON of one or several calls (`call`), the JSON of a
            call's arguments alone (`arguments`), or text that `mark.parse` parses as a whole
            (`text`). None for a mark that only frames calls.
        name: The tool, if the mark names it.
        closing: The marks that may close the call.
        mark: The mark of the call; None for other marks.
        is_result: True if the mark opens the result of a tool: the model plays the tool.
        turn: Whose turn the mark opens; None for a mark that opens none.
        is_stray: True if the mark closes a call that is closed already.
        is_frame: True if the mark stands around all calls.
        words: The text of the answer, where it stands behind the mark.
    """

    end: int
    body: Body | None = None
    name: str | None = None
    closing: tuple[str, ...] = ()
    mark: CallMark | None = None
    is_result: bool = False
    turn: Turn | None = None
    is_stray: bool = False
    is_frame: bool = False
    words: str = ""


OpeningMatch: TypeAlias = "Opening | Literal['partial'] | None"
"""A mark, the possible beginning of one (`partial`: more text is needed), or None for text."""


class Marks:
    """The marks that are known in an answer, in the groups in which they are searched.

    Args:
        tables: The families.
        tool_formats: The names of the formats whose marks are known even where they may be text.

    Attributes:
        call_marks: The marks that open a call, by their text; a text may introduce several headers.
        frame_marks: The marks around all calls of an answer.
        result_marks: The marks that open the result of a tool.
        turns: The marks that open a turn.
        closing_marks: The marks that close a call, those that end a turn of the model, and those
            that begin a prompt.
        calls: The marks that begin a call.
        starts: The marks that begin a call or frame calls.
        ends: The marks of results and turns, and those that close a call.
        ends_of_broken_calls: The marks that begin the call after a broken one.
        all: All marks, the longest first, because a mark may begin with another one.
        answer_tools: The tools whose calls stand for an answer in words.
        call_start: The mark that an answer lacks which begins with the name of a tool.
        longest: The length of the longest mark.
        first: Matches the first character of any mark; that of a label only where a line begins.
    """

    def __init__(self, tables: FamilyTables, tool_formats: Sequence[str]) -> None:
        formats = tables.tool_formats.values()
        own = {tables.tool_formats[name] for name in tool_formats}

        def is_known(format_: object, mark: str) -> bool:
            return format_ in own or _SPECIAL.match(mark) is not None

        marks = dict.fromkeys(
            mark
            for each in formats
            for mark in each.call_marks
            if is_known(each, mark.opening) and (each in own or not mark.is_own)
        )
        self.call_marks: dict[str, tuple[CallMark, ...]] = {}
        for mark in marks:
            self.call_marks[mark.opening] = (*self.call_marks.get(mark.opening, ()), mark)
        # A server may pass on the token that ends the model's turn.
        ends = {
            m for each in tables.templates for m in re.findall(SPECIAL_TOKENS, each.assistant[1])
        }
        closings = chain.from_iterable(mark.closings for mark in marks)
        self.turns = find_turn_marks(tables, own)
        self.closing_marks = frozenset((*closings, *ends, *self.turns.begins, *_ENDS_OF_TEXT))
        self.frame_marks, self.result_marks = (
            frozenset(m for each in formats for m in getattr(each, group) if is_known(each, m))
            for group in ("frame_marks", "result_marks")
        )
        self.answer_tools = frozenset(chain.from_iterable(each.answer_tools for each in own))
        self.call_start = next((each.call_start for each in own if each.call_start), "")
        self.calls = tuple(self.call_marks)
        self.starts = (*self.call_marks, *self.frame_marks)
        self.ends = (
            *self.result_marks,
            *self.turns.tokens,
            *self.turns.labels,
            *self.closing_marks,
        )
        self.ends_of_broken_calls = tuple({mark.opening for mark in marks if mark.ends_broken_call})
        self.all = sorted({*self.starts, *self.ends}, key=lambda mark: (-len(mark), mark))
        self.longest = len(self.all[0])
        labels, others = (
            re.escape(
                "".join(sorted({m[0] for m in self.all if (m in self.turns.labels) == is_in}))
            )
            for is_in in (True, False)
        )
        self.first = re.compile(f"[{others}]" + (f"|(?m:^)[{labels}]" if labels else ""))


_build_marks = lru_cache(maxsize=64)(Marks)


def get_marks(tool_formats: Sequence[str]) -> Marks:
    """Return the marks that are known in the answers of a model; see `Marks`."""
    return _build_marks(families.TABLES, tuple(tool_formats))


def find_opening(marks: Marks, text: str, at: int, *, is_final: bool) -> OpeningMatch:
    """Find the mark at a position of the text.

    Args:
        marks: The marks that are known in the answer.
        text: The text so far.
        at: The position.
        is_final: True if no more text comes, so that no mark can be partial.
    """
    for mark in marks.all:
        if text.startswith(mark, at):
            return _parse_opening(marks, mark, text, at + len(mark), is_final=is_final)
    may_grow = not is_final and len(text) - at < marks.longest
    return "partial" if may_grow and any(mark.startswith(text[at:]) for mark in marks.all) else None


def find_empty_block(marks: Marks, text: str, at: int, *, is_final: bool) -> OpeningMatch:
    """Find marks around no call: around nothing, or around a few words.

    Args:
        marks: The marks that are known in the answer.
        text: The text so far.
        at: The position of the opening mark, at the start of a line.
        is_final: True if no more text comes.
    """
    mark = next((m for m in marks.call_marks if text.startswith(m, at)), None)
    closings = () if mark is None else tuple(c for m in marks.call_marks[mark] for c in m.closings)
    if mark is None or not closings:
        return None
    start = at + len(mark)
    words = text[start : start + _LONGEST_HEADER]
    is_short = len(words) < _LONGEST_HEADER
    closing = re.search("|".join(map(re.escape, closings)), words)
    block = Opening(start, "text", closing=closings, mark=CallMark(mark, closings))
    if words.lstrip().startswith(mark):
        return Opening(start)  # written twice
    if any(each.opens_code for each in marks.call_marks[mark]) and words[:1].isalpha():
        return block
    if closing is None:
        if is_final and is_short and len(words.split()) == 1:
            return block
        return "partial" if is_short and not is_final else None
    # Marks that are named in a sentence have more of it behind them.
    behind = text[start + closing.end() :].lstrip(" \t")
    if not behind and not is_final:
        return "partial"
    return block if not behind or behind[0] in "\r\n<[" else None


def find_end(marks: Marks, text: str, closing: Iterable[str]) -> int:
    """Find the end of a call whose JSON is broken: a closing mark, or the opening one of another.

    Args:
        marks: The marks that are known in the answer.
        text: The text from where the JSON is broken.
        closing: The marks that may close the call.

    Returns:
        The position before the mark; -1 if the text has no such mark.
    """
    # Broken JSON may well hold the fence's backticks, so they do not count as its end.
    ends = [mark for mark in closing if len(mark) > len(FENCE)]
    # One search: those for marks that never come would each read the whole text.
    pattern = "|".join(map(re.escape, sorted((*ends, *marks.ends_of_broken_calls))))
    found = re.compile(pattern).search(text)
    return -1 if found is None else found.start()


def is_cut_call(marks: Marks, text: str, names: Iterable[str] | None = None) -> bool:
    """Return True if the end of an answer is the beginning of a call, cut off in its mark.

    Args:
        marks: The marks that are known in the answer.
        text: The end of the answer.
        names: The names of the offered tools, if a sentence stands before the mark. A word behind
            the mark, with which no name begins, then belongs to the sentence.
    """
    opening = next((mark for mark in marks.starts if text.startswith(mark)), None)
    if opening is None:
        return is_cut_mark(text, marks.starts)
    rest = text[len(opening) :]
    word = rest.strip()
    if names is not None and re.fullmatch(r"[\w.]+", word) is not None:
        return any(f"functions.{name}".startswith(word) or name.startswith(word) for name in names)
    headers = (mark.header_start for mark in marks.call_marks.get(opening, ()) if mark.header)
    return not rest.strip() or any(re.fullmatch(header, rest) for header in headers)


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


def _parse_opening(
    marks: Marks, opening: str, text: str, at: int, *, is_final: bool
) -> OpeningMatch:
    """Parse what belongs to a mark behind it: the tool's name, a code fence, the JSON's bracket."""
    if opening in marks.frame_marks:
        return Opening(at, is_frame=True)
    if opening in marks.result_marks:
        return Opening(at, is_result=True)
    # A mark may have several headers. A bracket opens JSON only if no other header can begin so.
    ordered = sorted(marks.call_marks.get(opening, ()), key=lambda mark: mark.header is None)
    matches = [
        (_parse_calls if mark.header is None else _parse_header)(mark, text, at) for mark in ordered
    ]
    if not any(matches):
        matches = [_parse_words(mark, text, at) for mark in ordered if mark.words_end]
    if "partial" in matches and not is_final:
        return "partial"
    found = next((match for match in matches if isinstance(match, Opening)), None)
    if found is not None:
        return found
    if opening in marks.turns.tokens or opening in marks.turns.labels:
        turn, end = marks.turns.find_turn(opening, text, at - len(opening), is_final=is_final)
        return turn if turn == "partial" else Opening(end, turn=turn)
    return Opening(at, is_stray=True) if opening in marks.closing_marks else None


def _parse_calls(mark: CallMark, text: str, at: int) -> OpeningMatch:
    """Match an object or a list of calls. Behind a mark, anything else is text about the mark."""
    start = _skip_fence(text, at) if mark.has_fence else skip_blanks(text, at)
    if _is_too_far(start, text, at):
        return None
    if start is None or start == len(text):
        return "partial"
    if text[start] not in "{[":
        return None
    return Opening(start, "call", closing=_get_closing(mark, text, at), mark=mark)


def _parse_words(mark: CallMark, text: str, at: int) -> OpeningMatch:
    """Match the text of the answer in the place of its calls, which follow its closing mark."""
    end = text.find(mark.words_end, at, at + _LONGEST_WORDS)
    if end < 0:
        return "partial" if len(text) - at < _LONGEST_WORDS else None
    start = skip_blanks(text, end + len(mark.words_end))
    if start == len(text):
        return "partial"
    if text[start] != "{":
        return None
    return Opening(start, "call", closing=mark.closings, mark=mark, words=text[at:end])


def _parse_header(mark: CallMark, text: str, at: int) -> OpeningMatch:
    """Match a header, which the arguments of the call follow, or text that is parsed as a whole."""
    # Bounded, so that it is the same in any pieces; text without its end must not be held back.
    header = re.compile(mark.header or "").match(text, at, at + _LONGEST_HEADER)
    if header is None:
        is_short = len(text) - at < _LONGEST_HEADER
        may_grow = is_short and re.compile(mark.header_start).fullmatch(text, at) is not None
        return "partial" if may_grow else None
    name = header[header.lastindex].strip() if header.lastindex else ""
    at = header.end()
    if mark.parse is not None:
        return Opening(at, "text", name, mark.closings, mark)
    if not mark.has_fence:
        return Opening(at, "arguments", name, mark.closings, mark)
    start = _skip_fence(text, at)
    if _is_too_far(start, text, at):
        return None
    if start is None:
        return "partial"
    return Opening(start, "arguments", name, _get_closing(mark, text, at), mark)


def _skip_fence(text: str, at: int) -> int | None:
    """Return the position behind blanks and the first line of a fence; None if that is partial."""
    at = skip_blanks(text, at)
    if FENCE.startswith(text[at:]):
        return None
    word, line = _FENCE_WORD.match(text, at), _FENCE_LINE.match(text, at)
    if word is None or line is None:
        return at
    return None if word.end() == len(text) else line.end()


def _is_too_far(start: int | None, text: str, at: int) -> bool:
    """Return True if more stands between a mark and its JSON than blanks and a fence may take."""
    return (len(text) if start is None else start) - at > _LONGEST_HEADER


def _get_closing(mark: CallMark, text: str, at: int) -> tuple[str, ...]:
    """Return the closing marks of a call, with the end of the fence that it stands in."""
    has_fence = text.startswith(FENCE, skip_blanks(text, at))
    return (*mark.closings, FENCE) if has_fence else mark.closings

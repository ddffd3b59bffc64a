"""Find the marks of tool calls in the text of an answer.

The marks of all formats are known at once, because a model that was shown one format may fall back
on the one that it was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

_HERMES, _PHI = "<tool_call>", "<|tool_call|>"
_MISTRAL = "[TOOL_CALLS]"
_FUNCTION, _PYTHON = "<function=", "<|python_tag|>"
_BAR, _LOW = "\uff5c", "\u2581"
_DEEPSEEK = f"<{_BAR}tool{_LOW}call{_LOW}begin{_BAR}>"
_SEPARATOR = f"<{_BAR}tool{_LOW}sep{_BAR}>"
_FRAMES = tuple(f"<{_BAR}tool{_LOW}calls{_LOW}{at}{_BAR}>" for at in ("begin", "end"))
_RESULTS = ("<tool_response>", "[TOOL_RESULTS]", f"<{_BAR}tool{_LOW}outputs{_LOW}begin{_BAR}>")
FENCE = "```"

_CLOSING = {
    _HERMES: ("</tool_call>",),
    _PHI: ("<|/tool_call|>", "</tool_call>"),
    _DEEPSEEK: (f"<{_BAR}tool{_LOW}call{_LOW}end{_BAR}>",),
}
_CALLS = (_HERMES, _PHI, _MISTRAL, _FUNCTION, _DEEPSEEK)
_STRAY = (*sorted({mark for marks in _CLOSING.values() for mark in marks}), "</function>")
_OPENERS = (*_CALLS, _PYTHON, *_FRAMES, *_RESULTS, *_STRAY, FENCE)
MAY_BEGIN = re.compile(r"[<\[`]")
"""The first characters of all marks."""
MAY_BEGIN_BARE = re.compile(r"[<\[`{]")
"""The first characters of all marks and of JSON."""

_FENCE_LINE = re.compile(r"```[ \t]*(?:json|xml|tool_call|tool_code|python)?\s*")
_FENCE_WORD = re.compile(r"```[ \t]*[a-z_]*\s*")
_FUNCTION_NAME = re.compile(r"\s*[\"']?([\w.\-]+)[\"']?\s*>")
_MISTRAL_NAME = re.compile(r"\s*([\w.\-]+)\s*(?:\[CALL_ID\]\s*[\w\-]*\s*)?\[ARGS\]")
_PARTIAL_MISTRAL_NAME = re.compile(r"\s*[\w.\-]*\s*(?:\[[\w\]\[\s\-]*)?")
_OLD_DEEPSEEK_NAME = re.compile(r"([\w.\-]+)\s*\n")
_LONGEST_NAME = 200
_LONGEST_MARK = max(map(len, _OPENERS))
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


def find_opening(text: str, at: int, *, is_final: bool) -> OpeningMatch:
    """Find the mark at a position of the text.

    Args:
        text: The text so far.
        at: The position.
        is_final: True if no more text comes, so that no mark can be partial.
    """
    for mark in _OPENERS:
        if text.startswith(mark, at):
            match = _parse_opening(mark, text, at + len(mark))
            return None if match == "partial" and is_final else match
    if not is_final and any(mark.startswith(text[at:]) for mark in _OPENERS):
        return "partial"
    return None


def find_end(text: str, closing: Iterable[str], start: int) -> int:
    """Find the end of a call whose JSON is broken: a closing mark, or the opening one of another.

    Args:
        text: The text from where the JSON is broken.
        closing: The marks that may close the call.
        start: The length of the text that was searched before.

    Returns:
        The position before the mark; -1 if there is none.
    """
    start = max(0, start - _LONGEST_MARK)
    # Broken JSON may well hold the fence's backticks, so they do not count as its end.
    marks = [mark for mark in closing if len(mark) > len(FENCE)]
    positions = [text.find(mark, start) for mark in (*marks, *_CALLS)]
    return min((position for position in positions if position >= 0), default=-1)


def is_partial_call(text: str) -> bool:
    """Return True if the end of an answer is the beginning of a call that was cut off."""
    return _is_partial((*_CALLS, _PYTHON, *_FRAMES), text)


def is_partial_end(text: str) -> bool:
    """Return True if the end of an answer is the beginning of a result or of a closing mark."""
    return _is_partial((*_RESULTS, *_STRAY), text)


def _is_partial(marks: Iterable[str], text: str) -> bool:
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
    if mark in _FRAMES:
        return Opening(at)
    if mark in _RESULTS:
        return Opening(at, is_result=True)
    if mark in _STRAY:
        return Opening(at, is_stray=True)
    if mark == FENCE:
        return _parse_fence(text, at - len(mark))
    if mark == _FUNCTION:
        return _parse_function(text, at)
    if mark == _DEEPSEEK:
        return _parse_deepseek(text, at)
    if mark == _MISTRAL:
        return _parse_mistral(text, at)
    if mark == _PYTHON:
        return _parse_json(text, at, ())
    start = _skip_fence(text, at)
    if start is None:
        return "partial"
    return _parse_json(text, start, _get_closing(mark, text, at, start))


def _parse_json(text: str, at: int, closing: tuple[str, ...]) -> OpeningMatch:
    """Match an object or a list of calls. Behind a mark, anything else is text about the mark."""
    at = skip_blanks(text, at)
    if at == len(text):
        return "partial"
    return Opening(at, "call", closing=closing) if text[at] in "{[" else None


def _skip_fence(text: str, at: int) -> int | None:
    """Return the position behind blanks and the first line of a fence; None if that is partial."""
    at = skip_blanks(text, at)
    if FENCE.startswith(text[at:]):
        return None
    word, line = _FENCE_WORD.match(text, at), _FENCE_LINE.match(text, at)
    if word is None or line is None:
        return at
    return None if word.end() == len(text) else line.end()


def _get_closing(mark: str, text: str, at: int, start: int) -> tuple[str, ...]:
    """Return the closing marks of a call, with the end of the fence that was skipped."""
    has_fence = text.startswith(FENCE, skip_blanks(text, at)) and start > at
    return (*_CLOSING[mark], FENCE) if has_fence else _CLOSING[mark]


def _parse_fence(text: str, at: int) -> OpeningMatch:
    """Match a code fence around a call: before JSON, or before a mark."""
    start = _skip_fence(text, at)
    if start is None:
        return "partial"
    if text[start] in "{[":
        return Opening(start, "bare", closing=(FENCE,))
    if text[start] != "<":
        return None
    inner = find_opening(text, start, is_final=False)
    if not isinstance(inner, Opening):
        return inner
    return replace(inner, closing=(*inner.closing, FENCE))


def _parse_function(text: str, at: int) -> OpeningMatch:
    """Match Llama's `<function=name>{…}</function>`."""
    name = _FUNCTION_NAME.match(text, at)
    if name is None:
        return None if ">" in text[at:] else _bound_partial(text, at)
    return Opening(name.end(), "arguments", name.group(1), ("</function>",))


def _parse_deepseek(text: str, at: int) -> OpeningMatch:
    """Match DeepSeek's `name<sep>{…}`, or the older `function<sep>name` and a fenced block."""
    separator = text.find(_SEPARATOR, at)
    if separator < 0:
        return _bound_partial(text, at)
    name, at = text[at:separator].strip(), separator + len(_SEPARATOR)
    if name == "function":
        old = _OLD_DEEPSEEK_NAME.match(text, at)
        if old is None:
            return _bound_partial(text, at)
        name, at = old.group(1), old.end()
    start = _skip_fence(text, at)
    if start is None:
        return "partial"
    return Opening(start, "arguments", name, _get_closing(_DEEPSEEK, text, at, start))


def _parse_mistral(text: str, at: int) -> OpeningMatch:
    """Match Mistral's list of calls, or the newer `name[ARGS]{…}`."""
    start = _skip_fence(text, at)
    if start is None:
        return "partial"
    opening = _parse_json(text, start, (FENCE,) if start > skip_blanks(text, at) else ())
    if opening is not None:
        return opening
    name = _MISTRAL_NAME.match(text, at)
    if name is not None:
        return Opening(name.end(), "arguments", name.group(1))
    return _bound_partial(text, at) if _PARTIAL_MISTRAL_NAME.fullmatch(text, at) else None


def _bound_partial(text: str, at: int) -> OpeningMatch:
    """Wait for more of a name, but not for ever: a text without its end must not be held back."""
    return "partial" if len(text) - at < _LONGEST_NAME else None

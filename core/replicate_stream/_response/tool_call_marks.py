"""Where a call begins in an answer: the marks of every format that models were trained on.

A model that was told one format may fall back on its own, so all of them are known at once. What
may still become a mark is held back; what turns out to be none is text.
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
"""The same, and of JSON."""

_FENCE_LINE = re.compile(r"```[ \t]*(?:json|xml|tool_call|tool_code|python)?\s*")
_FENCE_WORD = re.compile(r"```[ \t]*[a-z_]*\s*")
_FUNCTION_NAME = re.compile(r"\s*[\"']?([\w.\-]+)[\"']?\s*>")
_MISTRAL_NAME = re.compile(r"\s*([\w.\-]+)\s*(?:\[CALL_ID\]\s*[\w\-]*\s*)?\[ARGS\]")
_MAY_BE_NAME = re.compile(r"\s*[\w.\-]*\s*(?:\[[\w\]\[\s\-]*)?")
_OLD_DEEPSEEK = re.compile(r"([\w.\-]+)\s*\n")
_LONGEST_NAME = 200
_LONGEST_MARK = max(map(len, _OPENERS))
_LEAST_OF_A_MARK = 4

Body: TypeAlias = Literal["call", "arguments", "bare"]


@dataclass(frozen=True, slots=True)
class Opening:
    """The beginning of a call.

    Attributes:
        at: Where what follows the mark begins.
        body: What that is: the JSON of a call or of several, of a call's arguments alone, or JSON
            without marks, which may be a call or not; None for a mark that only frames calls.
        name: The tool, where the mark told it.
        closing: What may close the call after its JSON.
        ends: Whether it is the beginning of a result: the model plays the tool.
        is_stray: Whether it closes a call once more than needed.
    """

    at: int
    body: Body | None = None
    name: str | None = None
    closing: tuple[str, ...] = ()
    ends: bool = False
    is_stray: bool = False


Found: TypeAlias = "Opening | Literal['more'] | None"
"""What is at a place: a call's beginning, perhaps one (more text is needed), or plain text."""


def look(text: str, at: int, *, is_final: bool) -> Found:
    """What begins at a place of a text.

    Args:
        text: The text so far.
        at: The place.
        is_final: Whether no more text comes.
    """
    for mark in _OPENERS:
        if text.startswith(mark, at):
            found = _behind(mark, text, at + len(mark))
            return None if found == "more" and is_final else found
    if not is_final and any(mark.startswith(text[at:]) for mark in _OPENERS):
        return "more"
    return None


def after_blank(text: str, at: int) -> int:
    """Where the next character is that is not white space."""
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def is_begun(text: str) -> bool:
    """Whether the very end of an answer is the beginning of a call that was cut off."""
    return _begins((*_CALLS, _PYTHON, *_FRAMES), text)


def is_end_begun(text: str) -> bool:
    """The same of what may come behind calls: a result, or another end."""
    return _begins((*_RESULTS, *_STRAY), text)


def _begins(marks: Iterable[str], text: str) -> bool:
    return len(text) >= _LEAST_OF_A_MARK and any(
        mark.startswith(text) or text.startswith(mark) for mark in marks
    )


def find_end(text: str, closing: Iterable[str], start: int) -> int:
    """Where a call whose JSON broke ends: before what closes it, or opens another; else -1.

    Args:
        text: The text since it broke.
        closing: What may close it.
        start: How much of the text has none, as is known from before.
    """
    start = max(0, start - _LONGEST_MARK)
    marks = [each for each in closing if len(each) > len(FENCE)]
    places = [text.find(mark, start) for mark in (*marks, *_CALLS)]
    return min((place for place in places if place >= 0), default=-1)


def _behind(mark: str, text: str, at: int) -> Found:
    if mark in _FRAMES:
        return Opening(at)
    if mark in _RESULTS:
        return Opening(at, ends=True)
    if mark in _STRAY:
        return Opening(at, is_stray=True)
    if mark == FENCE:
        return _fenced(text, at - len(mark))
    if mark == _FUNCTION:
        return _function(text, at)
    if mark == _DEEPSEEK:
        return _deepseek(text, at)
    if mark == _MISTRAL:
        return _mistral(text, at)
    if mark == _PYTHON:
        return _json(text, at, "call", ())
    inside = _past_fence(text, at)
    if inside is None:
        return "more"
    return _json(text, inside, "call", _closing(mark, text, at, inside))


def _json(text: str, at: int, body: Body, closing: tuple[str, ...]) -> Found:
    """JSON of an object or a list, or else no call."""
    at = after_blank(text, at)
    if at == len(text):
        return "more"
    return Opening(at, body, closing=closing) if text[at] in "{[" else None


def _past_fence(text: str, at: int) -> int | None:
    """The place behind blanks and the first line of a code fence; None if more text is needed."""
    at = after_blank(text, at)
    if FENCE.startswith(text[at:]):
        return None
    word, line = _FENCE_WORD.match(text, at), _FENCE_LINE.match(text, at)
    if word is None or line is None:
        return at
    return None if word.end() == len(text) else line.end()


def _closing(mark: str, text: str, at: int, inside: int) -> tuple[str, ...]:
    """What closes a call: also the code fence that it is in."""
    has_fence = text.startswith(FENCE, after_blank(text, at)) and inside > at
    return (*_CLOSING[mark], FENCE) if has_fence else _CLOSING[mark]


def _fenced(text: str, at: int) -> Found:
    """A code fence around a call: before JSON, or before a mark."""
    inside = _past_fence(text, at)
    if inside is None:
        return "more"
    if text[inside] in "{[":
        return Opening(inside, "bare", closing=(FENCE,))
    if text[inside] != "<":
        return None
    inner = look(text, inside, is_final=False)
    if not isinstance(inner, Opening):
        return inner
    return replace(inner, closing=(*inner.closing, FENCE))


def _function(text: str, at: int) -> Found:
    """Llama's `<function=name>{…}</function>`."""
    name = _FUNCTION_NAME.match(text, at)
    if name is None:
        return "more" if ">" not in text[at:] and len(text) - at < _LONGEST_NAME else None
    return Opening(name.end(), "arguments", name.group(1), ("</function>",))


def _deepseek(text: str, at: int) -> Found:
    """DeepSeek's `name<sep>{…}`, or the older `function<sep>name` and a fenced block."""
    separator = text.find(_SEPARATOR, at)
    if separator < 0:
        return "more" if len(text) - at < _LONGEST_NAME else None
    name, at = text[at:separator].strip(), separator + len(_SEPARATOR)
    if name == "function":
        old = _OLD_DEEPSEEK.match(text, at)
        if old is None:
            return "more" if len(text) - at < _LONGEST_NAME else None
        name, at = old.group(1), old.end()
    inside = _past_fence(text, at)
    if inside is None:
        return "more"
    return Opening(inside, "arguments", name, _closing(_DEEPSEEK, text, at, inside))


def _mistral(text: str, at: int) -> Found:
    """Mistral's list of calls, or the newer `name[ARGS]{…}`."""
    inside = _past_fence(text, at)
    if inside is None:
        return "more"
    found = _json(text, inside, "call", (FENCE,) if inside > after_blank(text, at) else ())
    if found is not None:
        return found
    name = _MISTRAL_NAME.match(text, at)
    if name is not None:
        return Opening(name.end(), "arguments", name.group(1))
    may_come = len(text) - at < _LONGEST_NAME and _MAY_BE_NAME.fullmatch(text, at)
    return "more" if may_come else None

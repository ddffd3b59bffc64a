"""Read calls without marks: JSON, JSON in a code fence, a list of calls as Python, `tool_code`.

Such text may as well be an example, so it counts only if the whole answer is nothing else, and only
for tools that were offered. The answer is held back as long as that is possible.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, TypeAlias

from replicate_stream._model.families.call_syntax import parse_python
from replicate_stream._model.families.tool_format import ParsedCall, Schemas, resolve_name
from replicate_stream._response.json_repair import JsonScanner
from replicate_stream._response.tool_call import (
    DECORATIONS,
    MAX_MEMBERS,
    NAME_KEYS,
    find_name,
    is_arguments_word,
    parse_call,
)
from replicate_stream._types.strict_json import parse_strict_json

_Form: TypeAlias = Literal["json", "other", "text"]

_CODE = "tool_code"
# No two parts of these patterns match the same characters: they would try all divisions of blanks.
_FENCE = re.compile(r"(?i)```[ \t]*(?:(json|xml|tool_calls?|tool_code)[ \t]*)?(?=[\n{\[<])")
_FENCE_START = re.compile(r"(?i)`{1,2}|```[ \t]*(?:[a-z_]+[ \t]*)?")
_FENCE_OPEN = re.compile(r"\s*```[ \t]*(\w*)")
_FENCE_CLOSE = re.compile(r"```(?=\s|\Z)\s*")
_MAX_TURNS = 8
_LONGEST_HEAD = 256
"""Characters in which a call must show itself. Behind more blanks than these, all is text."""
_PYTHON_START = re.compile(r"\[\s*([A-Za-z_][\w.]*)?")
_PYTHON = re.compile(r"\[\s*([A-Za-z_][\w.]*)\s*\(")
_PYTHON_NAME = re.compile(r"(?:\[\s*|print\()*([A-Za-z_][\w.]*)\s*\(")
_BRACKET = re.compile(r"""(["'])(?:(?!\1)[^\\]|\\.)*(?:\1|\\?\Z)|[()\[\]{}]""", re.DOTALL)
# The name of a tool in a line of its own, before the arguments.
_NAMED = re.compile(r"([\w.\-]+)[ \t]*\n\s*\{")
_NAMED_START = re.compile(r"([\w.\-]+)[ \t]*(?:\n\s*)?")
_JSON = re.compile(r"(?:\[\s*)?\{")
_CALL = re.compile(r"(?:\[\s*)?\{\s*(?:[\"'}]|\Z)")
_SEPARATORS = " \t\r\n;,}]"  # between two calls, and behind the last one: one bracket too many
# The members in which the vendors' interfaces have calls: OpenAI's, Google's, Amazon's.
_CALLS_KEYS = frozenset(
    {"tool_calls", "tool_call", "function_call", "tool_uses", "functionCall", "toolUse"}
)
# Other members of OpenAI's message around calls, which say nothing if they are empty.
_MESSAGE_KEYS = frozenset(
    {"role", "content", "refusal", "annotations", "audio", "reasoning_content"}
)


class UnmarkedAnswer:
    """The beginning of an answer, held back as long as the answer may be calls without marks.

    Args:
        schemas: The schemas of the offered tools' arguments.
        has_names: True if a call may begin with a line that holds the name of a tool.

    Attributes:
        is_named: True once the answer has begun so. Its call then lacks nothing but its mark.
    """

    def __init__(self, schemas: Schemas, *, has_names: bool = False) -> None:
        self.is_named = False
        self._schemas = schemas
        self._has_names = has_names
        self._buffer = io.StringIO()
        self._head: str | None = ""  # what is not decided yet; None once it is
        self._form: _Form = "other"
        self._scanner = JsonScanner()  # of the first object

    @property
    def text(self) -> str:
        """The text so far."""
        return self._buffer.getvalue()

    def feed(self, text: str) -> bool:
        """Add text; return True if the answer may still be calls and nothing else."""
        self._buffer.write(text)
        if self._head is not None:
            head = (self._head + text).lstrip()
            start = self._decide(head[:_LONGEST_HEAD])
            if start is None and len(head) < _LONGEST_HEAD:
                self._head = head
                return True
            self._head, text = None, head[start or 0 :]
            self._form = "text" if start is None else self._form
        if self._form == "json":
            self._scan(text)
        return self._form != "text"

    def _decide(self, head: str) -> int | None:
        """Decide on the form by the first characters.

        Returns:
            The start of the JSON to scan, 0 for another form; None if more text is needed.
        """
        fence = _FENCE.match(head)
        body = head if fence is None else head[fence.end() :].lstrip()
        if fence is None and (not head or _FENCE_START.fullmatch(head)):
            return None
        if fence is not None and (_get_word(fence) == _CODE or body.startswith("<")):
            return 0
        if (json_start := _JSON.match(body)) is not None:
            self._form = "json"
            return len(head) - len(body) + json_start.end() - 1
        if (python := _PYTHON.match(body)) is not None:
            is_offered = resolve_name(python[1], self._schemas) in self._schemas
            self._form = "other" if is_offered else "text"
            return 0
        if self._has_names and self._may_be_named(head):
            return None
        if body and not _PYTHON_START.fullmatch(body):
            self._form = "text"
            return 0
        return None

    def _may_be_named(self, head: str) -> bool:
        """Look for a tool's name at the beginning; return True if more text is needed."""
        if (named := _NAMED.match(head)) is not None:
            self.is_named = resolve_name(named[1], self._schemas) in self._schemas
        start = _NAMED_START.fullmatch(head)
        return start is not None and any(name.startswith(start[1]) for name in self._schemas)

    def _scan(self, text: str) -> None:
        """Scan the first object, which shows by its keys if it is a call."""
        scanner = self._scanner
        scanner.feed(text)
        # The first key that decides counts, so that the result is the same for every chunking.
        for key in (member.key for member in scanner.members[:MAX_MEMBERS]):
            if key in NAME_KEYS and (name := find_name(scanner, self._schemas)) is not None:
                self._form = "other" if name in self._schemas else "text"
                return
            if key in {"function", *_CALLS_KEYS}:
                self._form = "other"
                return
            is_known = key in {*DECORATIONS, *NAME_KEYS, *_MESSAGE_KEYS}
            if not is_known and not is_arguments_word(key):
                break
        else:
            if not scanner.is_done and not scanner.is_broken:
                return
        self._form = "text"

    def parse(
        self, closing_marks: Iterable[str], turns: re.Pattern[str]
    ) -> Sequence[ParsedCall] | None:
        """Parse the whole answer; None if it is text.

        Args:
            closing_marks: Marks that may stand behind the calls, without their opening ones.
            turns: Matches the marks that open a turn. Whole calls before one are the answer.
        """
        marks = tuple(closing_marks)
        text = self.text
        if (calls := self._parse_until(len(text), marks)) is not None:
            return calls
        for turn in islice(turns.finditer(text), _MAX_TURNS):  # one may stand in an argument
            calls = self._parse_until(turn.start(), marks)
            if calls and all(arguments is not None for _, arguments in calls):
                return calls
        return None

    def _parse_until(self, end: int, marks: tuple[str, ...]) -> Sequence[ParsedCall] | None:
        text = self.text[:end].rstrip()
        end = len(text)
        while (mark := next((m for m in marks if text.endswith(m, 0, end)), None)) is not None:
            end -= len(mark)
            while end and text[end - 1].isspace():
                end -= 1
        return parse_unmarked_calls(text[:end], self._schemas)


def parse_unmarked_calls(text: str, schemas: Schemas) -> Sequence[ParsedCall] | None:
    """Parse an answer that is calls and nothing else, of tools that were offered; else None."""
    calls: list[ParsedCall] = []
    for word, part, is_whole in _split_fences(text):
        is_python = word == _CODE or _PYTHON.match(part)
        found = (_parse_python_calls if is_python else _parse_json_calls)(part, schemas)
        if not found:
            return None
        calls += found if is_whole else [(found[0][0], None)]
    # Behind a call, one that was cut off may lack its name.
    is_offered = calls and all(name in schemas for name, _ in calls[:-1] or calls)
    return calls if is_offered and calls[-1][0] in {*schemas, ""} else None


def _split_fences(text: str) -> Iterator[tuple[str, str, bool]]:
    """Split a text into code fences and the rest.

    Each comes with the word behind its backticks, and with False if it is a fence without its end.
    """
    at = 0
    while (found := _find_fence(text, at)) is not None:
        word, part, at = found
        yield word, part, True
    rest = text[at:].strip()
    if (opened := _FENCE.match(rest)) is not None:
        yield _get_word(opened), rest[opened.end() :].strip(), False
    elif rest:
        yield "", rest, True


def _find_fence(text: str, at: int) -> tuple[str, str, int] | None:
    """Find a whole code fence; return its word in lower case, its content, and its end."""
    opened = _FENCE_OPEN.match(text, at)
    closed = None if opened is None else _FENCE_CLOSE.search(text, opened.end())
    if opened is None or closed is None:
        return None
    return opened[1].lower(), text[opened.end() : closed.start()].strip(), closed.end()


def _get_word(fence: re.Match[str]) -> str:
    return (fence[1] or "").lower()


def _parse_python_calls(text: str, schemas: Schemas) -> Sequence[ParsedCall] | None:
    """Parse calls as Python; where the answer was cut off in them, they are one malformed call."""
    calls = parse_python(text, "", schemas)
    if calls is not None or (name := _PYTHON_NAME.match(text)) is None:
        return calls
    depth = 0
    for found in _BRACKET.finditer(text):
        if found[1] is None:
            depth += 1 if found[0] in "([{" else -1
        if depth == 0:
            return None
    return [(resolve_name(name[1], schemas), None)]


def _parse_json_calls(text: str, schemas: Schemas) -> Sequence[ParsedCall] | None:
    """Parse objects and lists of calls, one behind the other."""
    calls: list[ParsedCall] = []
    at = 0
    while at < len(text):
        if _CALL.match(text, at) is None:
            return None  # words, however few
        scanner, start = JsonScanner(), at
        at = scanner.feed(text, at)
        if not scanner.is_done:
            # The answer was cut off, or its JSON is wrong, unless words follow it.
            is_call = not scanner.is_broken or text.endswith(("}", "]"))
            return [*calls, (_find_name(text, start, schemas), None)] if is_call else None
        try:
            value = parse_strict_json(scanner.text)
        except ValueError:
            value = []
            calls.append((_find_name(text, start, schemas), None))
        if calls and isinstance(value, Mapping) and not value.keys() & {*NAME_KEYS, "function"}:
            return None  # a result: the call before it may be an example
        value = _get_message_calls(value)
        values = value if isinstance(value, list) else [value]
        calls += [parse_call(each, schemas) for each in values]
        while at < len(text) and text[at] in _SEPARATORS:
            at += 1
    return calls


def _get_message_calls(value: Any) -> Any:
    """Return the calls of OpenAI's message of an assistant; any other value as it is."""
    if not isinstance(value, Mapping):
        return value
    members = {key: value[key] for key in value if value[key] or key not in _MESSAGE_KEYS}
    if members.get("role") == "assistant":
        del members["role"]
    if isinstance(members.get("content"), str):
        del members["content"]  # `find_message_text` returns it
    is_message = len(members) == 1 and not members.keys().isdisjoint(_CALLS_KEYS)
    return next(iter(members.values())) if is_message else value


def find_message_text(text: str) -> str:
    """Return the text of OpenAI's message whose calls `parse_unmarked_calls` returned."""
    try:
        message = parse_strict_json(unfence(text) or text)
    except ValueError:
        return ""
    is_message = isinstance(message, Mapping) and not message.keys().isdisjoint(_CALLS_KEYS)
    content = message.get("content") if is_message else None
    return content if isinstance(content, str) else ""


def _find_name(text: str, at: int, schemas: Schemas) -> str:
    """Find the name of the first call in JSON that is malformed; empty if it has none."""
    scanner = JsonScanner()
    scanner.feed(text, max(at, text.find("{", at)))
    return find_name(scanner, schemas) or ""


def unfence(text: str) -> str | None:
    """Return the text in the code fence around a whole answer; None if there is no such fence."""
    found = _find_fence(text, 0)
    return None if found is None or found[2] < len(text) else found[1]

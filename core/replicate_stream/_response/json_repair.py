"""Read JSON as models write it, piece by piece, and write it as strict JSON.

Repaired is what can mean one thing only: single quotes, Python's literals, a comma too many, line
breaks inside a string. Anything else is broken, and stays what the model wrote.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

_BLANK = frozenset(" \t\n\r")
_WORD = re.compile(r"[A-Za-z0-9+\-._]+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_LITERALS = {
    "true": "true",
    "false": "false",
    "null": "null",
    "True": "true",
    "False": "false",
    "None": "null",
}
# What ends a run of plain characters in a string of either quote.
_PLAIN = {'"': re.compile(r'[^"\\\x00-\x1f]+'), "'": re.compile(r"[^'\"\\\x00-\x1f]+")}
_ESCAPABLE = frozenset('"\\/bfnrt')
_UNICODE = re.compile(r"\\u[0-9a-fA-F]{0,4}")
_UNICODE_SIZE = len("\\u0000")
_CONTROL = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CLOSERS = {"{": "}", "[": "]"}


@dataclass(slots=True)
class Member:
    """A member of the outermost object: its key, and its value's place in the strict text."""

    key: str
    start: int | None = None
    end: int | None = None


class JsonScanner:
    """Reads one value; the result is the same for every way of splitting the text.

    Attributes:
        members: Those of the outermost object, in their order.
        is_done: Whether the value is whole.
        is_broken: Whether what came is no JSON; `feed` gives back where that was.
    """

    __slots__ = (
        "_expect",
        "_key",
        "_open",
        "_partial",
        "_quote",
        "_written",
        "is_broken",
        "is_done",
        "members",
    )

    def __init__(self) -> None:
        # A buffer: to add to a text copies it, and there is a token a time.
        self._written = io.StringIO()
        self.members: list[Member] = []
        self.is_done = False
        self.is_broken = False
        self._open: list[str] = []
        self._expect = "value"
        self._quote = ""
        self._partial = ""  # a word or an escape whose end has not come
        self._key = 0  # where the key being read begins in the text

    @property
    def text(self) -> str:
        """What was read, as strict JSON: a prefix of it until `is_done`."""
        return self._written.getvalue()

    @property
    def size(self) -> int:
        """How long `text` is."""
        return self._written.tell()

    def part(self, start: int, end: int | None = None) -> str:
        """A piece of `text`."""
        self._written.seek(start)
        part = self._written.read(None if end is None else end - start)
        self._written.seek(0, io.SEEK_END)
        return part

    @property
    def lacks_only_its_end(self) -> bool:
        """Whether nothing but the outermost closing bracket is missing."""
        is_between = not self._quote and not self._partial
        return is_between and len(self._open) == 1 and self._expect in {"next", "first", "key"}

    def feed(self, text: str, at: int = 0) -> int:
        """Take more of the text, from `at` on.

        Returns:
            Where the value ends, or where it breaks; the length of the text if neither came.
        """
        size = len(text)
        while at < size and not self.is_done and not self.is_broken:
            if self._quote:
                at = self._in_string(text, at)
            elif self._partial:
                at = self._in_word(text, at)
            elif text[at] in _BLANK:
                at += 1
            else:
                at = self._token(text, at)
        return at

    def finish(self) -> None:
        """Say that the text has ended: a number has no other end."""
        if self._partial and not self._quote:
            self._end_word()

    def with_rest(self, rest: str) -> str:
        """What comes after `text` where it broke: what was taken last, and the rest, as written.

        Blanks outside of strings were left out; one is put back, lest `1 2` become 12.
        """
        raw = self._partial + rest
        has_blank = self.part(max(0, self.size - 1)) == " "
        is_exact = bool(self._quote) or not raw or has_blank
        return raw if is_exact else f" {raw}"

    def close(self) -> None:
        """Write the outermost closing bracket, where that is all that is missing."""
        self._write(_CLOSERS[self._open.pop()])
        self.is_done, self.is_broken = True, False

    def _token(self, text: str, at: int) -> int:
        char = text[at]
        if self._expect == "colon" and char == ":":
            self._write(": ")
            self._expect = "value"
            return at + 1
        if self._expect == "next" and char == ",":
            self._expect = "key" if self._open[-1] == "{" else "item"
            return at + 1
        if self._open and char == _CLOSERS[self._open[-1]] and self._expect in _CLOSABLE:
            self._open.pop()
            self._write(char)
            self._end_value()
            return at + 1
        return self._begin(text, at)

    def _begin(self, text: str, at: int) -> int:
        """The beginning of a key or a value."""
        char = text[at]
        is_key = bool(self._open) and self._open[-1] == "{" and self._expect in {"first", "key"}
        may_begin = self._expect in {"value", "first", "key", "item"}
        if not may_begin or (is_key and char not in "\"'"):
            return self._break(at)
        if not (char in "\"'{[" or _WORD.match(char)):
            return self._break(at)
        if self._expect in {"key", "item"}:
            self._write(", ")
        if is_key:
            self._expect = "in key"
            self._key = self.size
        elif len(self._open) == 1 and self.members and self.members[-1].end is None:
            self.members[-1].start = self.size
        if char in "\"'":
            self._quote = char
            self._write('"')
            return at + 1
        if char in "{[":
            self._open.append(char)
            self._expect = "first"
            self._write(char)
            return at + 1
        return self._in_word(text, at)

    def _in_string(self, text: str, at: int) -> int:
        if self._partial:
            return self._in_escape(text, at)
        plain = _PLAIN[self._quote].match(text, at)
        if plain is not None:
            self._write(plain.group())
            return plain.end()
        char = text[at]
        if char == self._quote:
            self._quote = ""
            self._write('"')
            self._end_value()
        elif char == "\\":
            self._partial = char
        elif char == '"':
            self._write('\\"')
        else:
            self._write(_CONTROL.get(char) or f"\\u{ord(char):04x}")
        return at + 1

    def _in_escape(self, text: str, at: int) -> int:
        seen = self._partial + text[at]
        if seen[1] == "u" and _UNICODE.fullmatch(seen):
            self._partial = seen
            if len(seen) == _UNICODE_SIZE:
                self._write(seen)
                self._partial = ""
            return at + 1
        if len(seen) == len("\\n") and seen[1] in _ESCAPABLE:
            self._write(seen)
        elif seen == "\\'":
            self._write("'")
        else:
            return self._break(at)
        self._partial = ""
        return at + 1

    def _in_word(self, text: str, at: int) -> int:
        word = _WORD.match(text, at)
        if word is not None:
            self._partial += word.group()
            at = word.end()
        if at < len(text):
            self._end_word()
        return at

    def _end_word(self) -> None:
        word = self._partial
        strict = word if _NUMBER.fullmatch(word) else _LITERALS.get(word)
        if strict is None:
            self.is_broken = True
            return
        self._partial = ""
        self._write(strict)
        self._end_value()

    def _end_value(self) -> None:
        if self._expect == "in key":
            self._expect = "colon"
            if len(self._open) == 1:
                self.members.append(Member(self.part(self._key + 1, self.size - 1)))
            return
        self._expect = "next"
        self.is_done = not self._open
        if len(self._open) == 1 and self.members and self.members[-1].end is None:
            self.members[-1].end = self.size

    def _break(self, at: int) -> int:
        self.is_broken = True
        return at

    def _write(self, strict: str) -> None:
        self._written.write(strict)


# "first" is directly after an opening bracket; "key" and "item" are after a comma, where a closing
# bracket makes the comma one too many.
_CLOSABLE = frozenset({"first", "key", "item", "next"})


def strict_object(text: str) -> str | None:
    """The strict JSON of a text that is an object; None if it is none, or not only that."""
    scanner = JsonScanner()
    end = scanner.feed(text)
    is_object = scanner.is_done and scanner.text.startswith("{")
    return scanner.text if is_object and not text[end:].strip() else None

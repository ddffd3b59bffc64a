"""Scan JSON as models write it, piece by piece, and write it as strict JSON.

Only deviations with a single meaning are repaired: single quotes, Python's literals, trailing
commas, line breaks inside a string. Anything else stays as the model wrote it, white space too.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

_BLANKS = re.compile(r"[ \t\n\r]+")
_WORD = re.compile(r"[A-Za-z0-9+\-._]+")
_STRICT_WORD = re.compile(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}
# A run of characters in a string of either quote that are written as they are.
_PLAIN = {'"': re.compile(r'[^"\\\x00-\x1f]+'), "'": re.compile(r"[^'\"\\\x00-\x1f]+")}
_ESCAPABLE = frozenset('"\\/bfnrt')
_UNICODE = re.compile(r"\\u[0-9a-fA-F]{0,4}")
_UNICODE_SIZE = len("\\u0000")
_CONTROL = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CLOSERS = {"{": "}", "[": "]"}
# States in which a bracket may close: "first" is directly after an opening bracket; "key" and
# "item" are after a comma, which then is a trailing one.
_CLOSABLE = frozenset({"first", "key", "item", "next"})


@dataclass(slots=True)
class Member:
    """A member of the outermost object: its key, and the span of its value in the strict text."""

    key: str
    start: int | None = None
    end: int | None = None


class JsonScanner:
    """Scans one JSON value. The result is the same for every chunking.

    Attributes:
        members: The members of the outermost object, in their order.
        is_done: True once the value is complete.
        is_broken: True once the text is neither JSON nor repairable; `feed` returns the position.
    """

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.is_done = self.is_broken = False
        # A buffer: adding to a string would copy it for each token.
        self._strict = io.StringIO()
        self._gap: list[str] = []  # white space, and a comma, that are written with what follows
        self._brackets: list[str] = []  # the open ones
        self._state = "value"
        self._quote = ""  # of the open string
        self._partial = ""  # an incomplete word or escape
        self._key_start = 0

    @property
    def text(self) -> str:
        """The strict JSON so far."""
        return self._strict.getvalue()

    @property
    def size(self) -> int:
        """The length of `text`, without the cost of making it."""
        return self._strict.tell()

    def get_part(self, start: int, end: int | None = None) -> str:
        """Return a slice of `text`, without the cost of making it."""
        self._strict.seek(start)
        part = self._strict.read(None if end is None else end - start)
        self._strict.seek(0, io.SEEK_END)
        return part

    @property
    def lacks_closing(self) -> bool:
        """True if only the outermost closing bracket is missing."""
        is_between = not self._quote and not self._partial
        return is_between and len(self._brackets) == 1 and self._state in {"next", "first", "key"}

    def feed(self, text: str, start: int = 0) -> int:
        """Scan more of the text, from `start` on.

        Returns:
            The position at which the value ends or breaks; else the length of the text.
        """
        at, size = start, len(text)
        while at < size and not self.is_done and not self.is_broken:
            if self._quote:
                at = self._scan_string(text, at)
            elif self._partial:
                at = self._scan_word(text, at)
            elif (blanks := _BLANKS.match(text, at)) is not None:
                self._gap.append(blanks.group())
                at = blanks.end()
            else:
                at = self._scan_token(text, at)
        return at

    def get_raw(self, rest: str) -> str:
        """Return the model's own text from where `text` ends.

        Args:
            rest: The text from the position on that `feed` returned.
        """
        return "".join([*self._gap, self._partial, rest])

    def close(self) -> None:
        """Write the outermost closing bracket, if `lacks_closing`."""
        self._write(_CLOSERS[self._brackets.pop()])
        self.is_done, self.is_broken = True, False

    def _scan_token(self, text: str, at: int) -> int:
        char = text[at]
        if self._state == "colon" and char == ":":
            self._write(char)
            self._state = "value"
            return at + 1
        if self._state == "next" and char == ",":
            self._state = "key" if self._brackets[-1] == "{" else "item"
            self._gap.append(char)
            return at + 1
        if self._brackets and char == _CLOSERS[self._brackets[-1]] and self._state in _CLOSABLE:
            self._brackets.pop()
            self._write(char)
            self._end_value()
            return at + 1
        return self._start_value(text, at)

    def _start_value(self, text: str, at: int) -> int:
        """Scan the first character of a key or a value."""
        char = text[at]
        in_object = bool(self._brackets) and self._brackets[-1] == "{"
        is_key = in_object and self._state in {"first", "key"}
        is_expected = self._state in {"value", "first", "key", "item"}
        if not is_expected or (is_key and char not in "\"'"):
            return self._break(at)
        if not (char in "\"'{[" or _WORD.match(char)):
            return self._break(at)
        self._write_gap()
        if is_key:
            self._state = "in key"
            self._key_start = self.size
        elif len(self._brackets) == 1 and self.members and self.members[-1].end is None:
            self.members[-1].start = self.size
        if char in "\"'":
            self._quote = char
            self._strict.write('"')
            return at + 1
        if char in "{[":
            self._brackets.append(char)
            self._state = "first"
            self._strict.write(char)
            return at + 1
        return self._scan_word(text, at)

    def _scan_string(self, text: str, at: int) -> int:
        if self._partial:
            return self._scan_escape(text, at)
        plain = _PLAIN[self._quote].match(text, at)
        if plain is not None:
            self._strict.write(plain.group())
            return plain.end()
        char = text[at]
        if char == self._quote:
            self._quote = ""
            self._strict.write('"')
            self._end_value()
        elif char == "\\":
            self._partial = char
        elif char == '"':
            self._strict.write('\\"')
        else:
            self._strict.write(_CONTROL.get(char) or f"\\u{ord(char):04x}")
        return at + 1

    def _scan_escape(self, text: str, at: int) -> int:
        escape = self._partial + text[at]
        if escape[1] == "u" and _UNICODE.fullmatch(escape):
            self._partial = escape
            if len(escape) == _UNICODE_SIZE:
                self._strict.write(escape)
                self._partial = ""
            return at + 1
        if len(escape) == len("\\n") and escape[1] in _ESCAPABLE:
            self._strict.write(escape)
        elif escape == "\\'":
            self._strict.write("'")
        else:
            return self._break(at)
        self._partial = ""
        return at + 1

    def _scan_word(self, text: str, at: int) -> int:
        word = _WORD.match(text, at)
        if word is not None:
            self._partial += word.group()
            at = word.end()
        if at == len(text):
            return at  # the word may go on
        strict = _PYTHON_WORDS.get(self._partial, self._partial)
        if not _STRICT_WORD.fullmatch(strict):
            return self._break(at)
        self._partial = ""
        self._strict.write(strict)
        self._end_value()
        return at

    def _end_value(self) -> None:
        if self._state == "in key":
            self._state = "colon"
            if len(self._brackets) == 1:
                self.members.append(Member(self.get_part(self._key_start + 1, self.size - 1)))
            return
        self._state = "next"
        self.is_done = not self._brackets
        if len(self._brackets) == 1 and self.members and self.members[-1].end is None:
            self.members[-1].end = self.size

    def _write(self, bracket: str) -> None:
        """Write a colon or a closing bracket, before which a comma is a trailing one."""
        self._gap = [each for each in self._gap if each != ","]
        self._write_gap()
        self._strict.write(bracket)

    def _write_gap(self) -> None:
        self._strict.write("".join(self._gap))
        self._gap.clear()

    def _break(self, at: int) -> int:
        self.is_broken = True
        return at


def repair_object(text: str) -> str | None:
    """Repair a text that is one JSON object; return None if it is anything else."""
    scanner = JsonScanner()
    end = scanner.feed(text)
    is_object = scanner.is_done and scanner.text.startswith("{")
    return scanner.text if is_object and not text[end:].strip() else None

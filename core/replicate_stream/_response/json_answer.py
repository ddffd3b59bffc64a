"""Extract JSON from an answer while it streams.

Models put words and code fences around JSON. Only the JSON is emitted.
"""

from __future__ import annotations

import re

from replicate_stream._response.json_repair import JsonScanner

_END_OF_FENCE = " \t\r\n`"  # the characters that may follow the JSON: the end of its code fence


class JsonAnswerReader:
    """Extracts the first JSON value from the text of an answer.

    Words in brackets are not JSON: a candidate counts only once its first value has begun.

    Args:
        first_characters: The characters that the JSON may begin with, one of `{`, `[`, `{[`.

    Attributes:
        is_stopped: True once words follow the JSON, so that the rest of the answer is not needed.
    """

    __slots__ = ("_end", "_is_found", "_pattern", "_pending", "_scanner", "_words", "is_stopped")

    def __init__(self, first_characters: str) -> None:
        self.is_stopped = False
        self._pattern = re.compile(f"[{re.escape(first_characters)}]")
        self._words: list[str] = []  # all text before the JSON
        self._pending = ""  # the text from the candidate's beginning on
        self._scanner: JsonScanner | None = None  # of the candidate
        self._end = 0  # its position in the pending text
        self._is_found = False

    def feed(self, text: str) -> str:
        """Add more of the answer; return more of its JSON."""
        if self._scanner is not None and self._is_found:
            return self._continue(self._scanner, text)
        self._words.append(text)
        self._pending += text
        return self._find()

    def flush(self) -> str:
        """Return the whole answer if it has no JSON, after the last `feed`."""
        words, self._words = self._words, []
        return "" if self._is_found else "".join(words)

    def _find(self) -> str:
        """Find the beginning of the JSON; return the JSON so far."""
        start = 0
        while True:
            if self._scanner is None:
                match = self._pattern.search(self._pending, start)
                self._pending = "" if match is None else self._pending[match.start() :]
                if match is None:
                    return ""
                self._scanner, self._end = JsonScanner(), 0
            scanner = self._scanner
            self._end = scanner.feed(self._pending, self._end)
            if scanner.is_done or _has_value(scanner):
                rest, self._pending = self._pending[self._end :], ""
                self._is_found = True
                text = scanner.text
                return text + (
                    scanner.get_raw(rest) if scanner.is_broken else self._continue(scanner, rest)
                )
            if not scanner.is_broken:
                return ""
            self._scanner, start = None, 1

    def _continue(self, scanner: JsonScanner, text: str) -> str:
        if scanner.is_done:
            self.is_stopped = self.is_stopped or bool(text.strip(_END_OF_FENCE))
            return ""
        if scanner.is_broken:
            return text  # the check rejects it, and its reader sees what the model wrote
        start = scanner.size
        end = scanner.feed(text)
        new = scanner.get_part(start)
        if scanner.is_broken:
            new += scanner.get_raw(text[end:])
        elif scanner.is_done:
            self.is_stopped = bool(text[end:].strip(_END_OF_FENCE))
        return new


def _has_value(scanner: JsonScanner) -> bool:
    is_list = scanner.size > 1 and scanner.get_part(0, 1) == "["
    return is_list or any(member.start is not None for member in scanner.members)

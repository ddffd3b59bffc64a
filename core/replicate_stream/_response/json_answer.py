"""Take JSON out of an answer as it streams.

Models put words and code fences around JSON. None of that is delivered.
"""

from __future__ import annotations

import re

from replicate_stream._response.json_repair import JsonScanner

_END = " \t\r\n`"  # what may come behind JSON: the end of its code fence


class JsonAnswerReader:
    """Takes the JSON out of an answer, as it comes.

    Args:
        beginnings: The characters that the JSON may begin with.

    Attributes:
        is_ended: Whether words follow the JSON, so that nothing more is wanted.
    """

    __slots__ = ("_begins", "_read", "_scanner", "_tail", "_tried", "_words", "is_ended")

    def __init__(self, beginnings: str) -> None:
        self.is_ended = False
        self._begins = re.compile(f"[{re.escape(beginnings)}]")
        self._words: list[str] = []  # all that came before JSON, which may be all there is
        self._tail = ""  # what may be the beginning of JSON
        self._tried: JsonScanner | None = None  # reads it
        self._read = 0  # and has come so far
        self._scanner: JsonScanner | None = None

    def feed(self, text: str) -> str:
        """Take more of the answer; gives more of the JSON."""
        if self._scanner is not None:
            return self._go_on(self._scanner, text)
        self._words.append(text)
        self._tail += text
        return self._search()

    def flush(self) -> str:
        """Say that the answer has ended; gives the words that are all there was."""
        words, self._words = self._words, []
        return "" if self._scanner is not None else "".join(words)

    def _search(self) -> str:
        """Find where JSON begins; gives as much of it as is there."""
        start = 0
        while True:
            if self._tried is None:
                begin = self._begins.search(self._tail, start)
                self._tail = "" if begin is None else self._tail[begin.start() :]
                if begin is None:
                    return ""
                self._tried, self._read = JsonScanner(), 0
            scanner = self._tried
            self._read = scanner.feed(self._tail, self._read)
            if scanner.is_done or _is_json(scanner):
                return self._begin(scanner, self._tail[self._read :])
            if not scanner.is_broken:
                return ""
            self._tried, start = None, 1

    def _begin(self, scanner: JsonScanner, rest: str) -> str:
        self._scanner, self._tail = scanner, ""
        read = scanner.text
        return read + (scanner.with_rest(rest) if scanner.is_broken else self._go_on(scanner, rest))

    def _go_on(self, scanner: JsonScanner, text: str) -> str:
        if scanner.is_done:
            self.is_ended = self.is_ended or bool(text.strip(_END))
            return ""
        new = text
        if not scanner.is_broken:
            before = scanner.size
            end = scanner.feed(text)
            new = scanner.part(before)
            if scanner.is_broken:
                new += scanner.with_rest(text[end:])
            elif scanner.is_done:
                self.is_ended = bool(text[end:].strip(_END))
        return new


def _is_json(scanner: JsonScanner) -> bool:
    """Whether what was read is more than words in brackets: a first value has begun."""
    in_list = scanner.size > 1 and scanner.part(0, 1) == "["
    return in_list or any(member.start is not None for member in scanner.members)

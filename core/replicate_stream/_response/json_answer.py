"""Extract JSON from an answer while it streams.

Models put words and code fences around JSON, and sometimes an example before the answer. Only the
JSON that fits the response format is emitted.
"""

from __future__ import annotations

import re

from replicate_stream._response.json_repair import JsonScanner
from replicate_stream._types.response_format import ResponseFormat

_AFTER_JSON = " \t\r\n`}]"  # what may follow the JSON: the end of its fence, a bracket too many
_BEFORE_JSON = re.compile(r"\s*(?:`{0,3}|```[ \t]*\w*\s*)")  # what is no word


class JsonAnswerReader:
    """Extracts one JSON value from the text of an answer.

    Words in brackets are not JSON: a candidate counts only once its first value has begun. JSON at
    the start of an answer is emitted while it streams. Behind words it may be an example, so it is
    emitted once it is complete and fits.

    Args:
        response_format: The format that the JSON must have.
        is_buffered: True if nothing has to be emitted before the end, so that the first JSON may be
            an example too.

    Attributes:
        is_stopped: True once words follow the JSON, so that the rest of the answer is not needed.
    """

    def __init__(self, response_format: ResponseFormat, *, is_buffered: bool = False) -> None:
        self.is_stopped = False
        self._format = response_format
        self._can_wait = is_buffered and response_format.schema is not None
        self._pattern = re.compile(f"[{re.escape(response_format.first_characters)}]")
        self._words: list[str] = []  # all text before the JSON
        self._pending = ""  # the text from the candidate's beginning on
        self._scanner: JsonScanner | None = None  # of the candidate
        self._end = 0  # its position in the pending text
        self._is_found = False
        self._is_first = True  # no words stand before the candidate
        self._misfit = ""  # the first complete candidate that does not fit

    def feed(self, text: str) -> str:
        """Add more of the answer; return more of its JSON."""
        if self._scanner is not None and self._is_found:
            return self._continue(self._scanner, text)
        self._words.append(text)
        self._pending += text
        return self._find()

    def flush(self) -> str:
        """Return what is left of the JSON, or the whole answer if it has none.

        To be called after the last `feed`.
        """
        words, self._words = "".join(self._words), []
        scanner = self._scanner
        if self._is_found:
            return ""
        if scanner is not None and not self._misfit and _has_value(scanner):
            return scanner.text + scanner.get_raw(self._pending[self._end :])
        return self._misfit or words

    def _find(self) -> str:
        """Find the JSON; return as much of it as is certain."""
        start = 0
        while True:
            if self._scanner is None:
                match = self._pattern.search(self._pending, start)
                self._pending = "" if match is None else self._pending[match.start() :]
                if match is None:
                    return ""
                if self._is_first:
                    words = "".join(self._words).removesuffix(self._pending)
                    self._is_first = _BEFORE_JSON.fullmatch(words) is not None
                self._scanner, self._end = JsonScanner(), 0
            scanner = self._scanner
            self._end = scanner.feed(self._pending, self._end)
            has_value = scanner.is_done or _has_value(scanner)
            if has_value and (self._can_stream() or self._fits(scanner)):
                rest, self._pending = self._pending[self._end :], ""
                self._is_found = True
                return scanner.text + (
                    scanner.get_raw(rest) if scanner.is_broken else self._continue(scanner, rest)
                )
            if not scanner.is_broken and not scanner.is_done:
                return ""
            if has_value:
                end = scanner.get_raw("") if scanner.is_broken else ""
                self._misfit = self._misfit or scanner.text + end
            # A candidate without a value is a bracket in words, and JSON may begin inside of it.
            self._scanner, start = None, self._end if has_value else 1
            self._is_first = False

    def _can_stream(self) -> bool:
        return not self._can_wait and (self._is_first or self._format.schema is None)

    def _fits(self, scanner: JsonScanner) -> bool:
        return scanner.is_done and self._format.find_problem(scanner.text) is None

    def _continue(self, scanner: JsonScanner, text: str) -> str:
        if scanner.is_done:
            self.is_stopped = self.is_stopped or bool(text.strip(_AFTER_JSON))
            return ""
        if scanner.is_broken:
            return text  # the check rejects it, and its reader sees what the model wrote
        start = scanner.size
        end = scanner.feed(text)
        new = scanner.get_part(start)
        if scanner.is_broken:
            new += scanner.get_raw(text[end:])
        elif scanner.is_done:
            self.is_stopped = bool(text[end:].strip(_AFTER_JSON))
        return new


def _has_value(scanner: JsonScanner) -> bool:
    is_list = scanner.size > 1 and scanner.get_part(0, 1) == "["
    return is_list or any(member.start is not None for member in scanner.members)

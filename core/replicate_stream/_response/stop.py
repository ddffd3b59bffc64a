"""Cut a streamed text at its first stop sequence.

Most models enforce stop sequences late, partly, or not at all, so the client always does. The trap
is a stop sequence that is split between two chunks: its beginning must not be emitted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


class StopFilter:
    """Passes the text before the leftmost occurrence of any stop sequence.

    The result is the same for every chunking. Only text that may still begin a stop sequence is
    held back.

    Args:
        stops: The stop sequences. Empty ones are ignored.

    Attributes:
        is_stopped: True once a stop sequence was found. All text after it is dropped.
    """

    __slots__ = ("_longest", "_pattern", "_pending", "_stops", "is_stopped")

    def __init__(self, stops: Sequence[str]) -> None:
        self.is_stopped = False
        self._stops = tuple(stop for stop in stops if stop)
        self._pattern = re.compile("|".join(map(re.escape, self._stops)))
        self._longest = max(map(len, self._stops), default=0)
        self._pending = ""

    def feed(self, text: str) -> str:
        """Add text; return what can be emitted."""
        if self.is_stopped or not self._stops:
            return "" if self.is_stopped else text
        text = self._pending + text
        match = self._pattern.search(text)
        end = self._find_partial(text)
        # A match counts only once no stop sequence that starts before it can still be completed.
        if match and match.start() < end:
            end, self._pending, self.is_stopped = match.start(), "", True
        else:
            self._pending = text[end:]
        return text[:end]

    def flush(self) -> str:
        """Return the pending text, after the last `feed`, up to a stop sequence in it."""
        text, self._pending = self._pending, ""
        match = self._pattern.search(text) if text else None
        if match is None:
            return text
        self.is_stopped = True
        return text[: match.start()]

    def _find_partial(self, text: str) -> int:
        """Return the start of the leftmost incomplete stop sequence, or the length of the text."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            tail = text[start:]
            if any(len(stop) > len(tail) and stop.startswith(tail) for stop in self._stops):
                return start
        return len(text)

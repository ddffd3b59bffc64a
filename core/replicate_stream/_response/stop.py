"""Cut a streamed text at the first stop sequence, wherever the pieces happen to be split.

Most models enforce stop sequences late, partly, or not at all, so the client always does. The trap
is a stop sequence that comes in two pieces: its beginning must not be delivered already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


class StopFilter:
    """Lets text through up to the earliest of several stop sequences.

    The result is the same for every way of splitting the text: everything before the leftmost
    occurrence of any stop sequence. Only what may still turn out to begin one is held back.

    Args:
        stops: The stop sequences; empty ones are passed over. Without any, all text passes.

    Attributes:
        stopped: Whether a stop sequence was met. What comes after it is dropped.
    """

    __slots__ = ("_held", "_longest", "_pattern", "_stops", "stopped")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._pattern = re.compile("|".join(map(re.escape, self._stops)))
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> tuple[str, bool]:
        """Take more of the text.

        Returns:
            What may be delivered now, and whether a stop sequence was met.
        """
        if self.stopped or not self._stops:
            return ("" if self.stopped else text), self.stopped
        seen = self._held + text
        match = self._pattern.search(seen)
        open_from = self._first_open(seen)
        # A match counts only once no stop sequence that starts before it can still be completed.
        if match and match.start() < open_from:
            self._held, self.stopped = "", True
            return seen[: match.start()], True
        self._held = seen[open_from:]
        return seen[:open_from], False

    def flush(self) -> str:
        """Say that the text has ended.

        Returns:
            What was held back, up to a stop sequence that is whole in it.
        """
        held, self._held = self._held, ""
        match = self._pattern.search(held) if held else None
        if match is None:
            return held
        self.stopped = True
        return held[: match.start()]

    def _first_open(self, seen: str) -> int:
        """Where the leftmost unfinished stop sequence begins; the end if there is none."""
        for start in range(max(0, len(seen) - self._longest + 1), len(seen)):
            tail = seen[start:]
            if any(len(stop) > len(tail) and stop.startswith(tail) for stop in self._stops):
                return start
        return len(seen)

"""Read the block behind a mark whose calls are not JSON: it is parsed once it is complete."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from replicate_stream._model.families.tool_format import (
    CallMark,
    ParsedCall,
    Schemas,
    resolve_name,
)
from replicate_stream._response.tool_call import build_deltas
from replicate_stream._types.messages import StreamEvent

# An argument may hold a closing mark, so several are tried; few, because each is a parse.
_MAX_ENDS = 8


class TextBlockReader:
    """Reads the text behind a mark up to the closing mark with which it can be parsed.

    If it can be parsed with none, the block is one malformed call, up to the first closing mark.

    Args:
        mark: The mark.
        name: The tool, if it stands in the header of the mark.
        call_count: The number of calls before the block.
        new_id: Creates the id of a call.
        schemas: The schemas of the offered tools' arguments.
        is_single: True if a second call is not wanted.

    Attributes:
        call_count: The number of calls, those before the block included.
        is_done: True once text follows the block.
        is_stopped: True once there is a second call that is not wanted.
    """

    def __init__(
        self,
        mark: CallMark,
        name: str,
        call_count: int,
        new_id: Callable[[], str],
        schemas: Schemas,
        *,
        is_single: bool,
    ) -> None:
        self.call_count = call_count
        self.is_done = self.is_stopped = False
        self._mark = mark
        self._name = resolve_name(name, schemas)
        self._new_id = new_id
        self._schemas = schemas
        self._is_single = is_single
        marks = (*mark.closings, mark.opening)
        self._pattern = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))))
        self._overlap = max(map(len, marks)) - 1
        self._pieces: list[str] = []  # of the block; a string would be copied for each token
        self._size = 0
        self._tail = ""  # the end of the block, in which a mark may have begun
        self._first_end: tuple[int, int] | None = None  # the span of the first closing mark
        self._end_count = 0

    def read(self, text: str, events: list[StreamEvent], *, is_final: bool) -> str:
        """Read text and append the events that are certain.

        Returns:
            The text behind the block, once it is done.
        """
        window = self._tail + text
        offset = self._size - len(self._tail)
        self._pieces.append(text)
        self._size += len(text)
        for found in self._pattern.finditer(window):
            if found.end() <= len(self._tail):
                continue
            span = offset + found.start(), offset + found.end()
            is_opening = found.group() == self._mark.opening
            if is_opening and self._first_end is not None:
                return self._reject(events)  # another call begins, so no later mark ends this one
            if not is_opening and self._try_end(span, events):
                return "".join(self._pieces)[span[1] :]
            if self._end_count >= _MAX_ENDS:
                return self._reject(events)
        self._tail = window[-self._overlap :]
        if not is_final:
            return ""
        if self._first_end is not None:
            return self._reject(events)
        raw = "".join(self._pieces)
        self._emit(None if self._mark.needs_closing else self._parse(raw), raw, events)
        return ""

    def _try_end(self, span: tuple[int, int], events: list[StreamEvent]) -> bool:
        raw = "".join(self._pieces)[: span[0]]
        calls = self._parse(raw)
        if calls is None:
            self._first_end = self._first_end or span
            self._end_count += 1 if self._mark.parse is not None else _MAX_ENDS
            return False
        self._emit(calls, raw, events)
        return True

    def _reject(self, events: list[StreamEvent]) -> str:
        """End the block as a malformed call; return the text behind its first closing mark."""
        text = "".join(self._pieces)
        start, end = self._first_end or (len(text), len(text))
        self._emit(None, text[:start], events)
        return text[end:]

    def _parse(self, text: str) -> Sequence[ParsedCall] | None:
        if self._mark.parse is None:
            return None
        return self._mark.parse(text, self._name, self._schemas)

    def _emit(
        self, calls: Sequence[ParsedCall] | None, raw: str, events: list[StreamEvent]
    ) -> None:
        found = calls or [(self._name, None)]
        if self._is_single and self.call_count + len(found) > 1:
            self.is_stopped = True
            found = found[: max(0, 1 - self.call_count)]
        events += build_deltas(found, raw, self.call_count, self._new_id)
        self.call_count += len(found)
        self.is_done = True

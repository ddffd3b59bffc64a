"""Find tool calls in the text of an answer while it streams.

Text is emitted at once; only what may begin a call is held back. The result is the same for every
chunking.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from replicate_stream._model import families
from replicate_stream._response.tool_call import CallBody
from replicate_stream._response.tool_call_block import CallBlockReader
from replicate_stream._response.tool_call_marks import (
    FENCE,
    Opening,
    find_opening,
    get_marks,
    is_cut_mark,
)
from replicate_stream._types.messages import StreamEvent, TextDelta


class ToolCallReader:
    """Splits one answer into text and tool calls.

    Args:
        names: The offered tools. JSON without marks is a call only of one of these.
        new_id: Creates the id of a call.
        is_bare: True if the model writes calls without marks. Then such JSON is a call whatever its
            name, and may begin on any line.
        is_single: True if a second call is not wanted.

    Attributes:
        is_stopped: True once the rest of the answer is not needed: a second call that is not
            wanted, or a tool result that the model invented.
        has_prefix: True if the prompt ends with the beginning of the first call's JSON. The model
            then may end the answer after the arguments, without the call's closing bracket.
    """

    def __init__(
        self,
        names: Collection[str],
        new_id: Callable[[], str],
        *,
        is_bare: bool = False,
        is_single: bool = False,
    ) -> None:
        self.is_stopped = False
        self.has_prefix = False
        self._names = names
        self._new_id = new_id
        self._is_bare = is_bare
        self._is_single = is_single
        self._marks = get_marks()
        self._first_in_text = self._marks.first_or_json if is_bare else self._marks.first
        self._call_count = 0
        self._pending = ""
        self._block: CallBlockReader | None = None
        self._in_fence = False
        self._is_at_edge = True  # only white space since the start, or since a call
        self._is_line_start = True

    def feed(self, text: str) -> list[StreamEvent]:
        """Add more of the answer; return the events that are certain."""
        self._pending += text
        return self._read(is_final=False)

    def flush(self) -> list[StreamEvent]:
        """Return the events of the pending text, after the last `feed`."""
        return self._read(is_final=True)

    def _read(self, *, is_final: bool) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        can_continue = True
        while can_continue and not self.is_stopped:
            if self._block is None:
                can_continue = self._read_text(events, is_final=is_final)
            else:
                can_continue = self._read_block(self._block, events, is_final=is_final)
        return events

    def _read_text(self, events: list[StreamEvent], *, is_final: bool) -> bool:
        """Read text up to a call; return True if there was one."""
        text = self._pending
        pattern = self._marks.first_or_json if self._is_at_edge else self._first_in_text
        for match in pattern.finditer(text):
            at = match.start()
            opening = find_opening(text, at, is_final=is_final)
            is_cut = is_final and is_cut_mark(text[at:], self._marks.starts)
            if opening is None and not is_cut and text[at] in "{[" and self._may_be_bare(text[:at]):
                opening = Opening(at, "bare", closing=families.TABLES.call_separators)
            if opening == "partial":
                self._emit(text, at, events)
                return False
            if opening is None:
                continue
            if (opening.is_result or opening.is_stray) and not self._call_count:
                continue  # text about such marks; only behind a call they are the model's mistake
            self._emit(text, at, events)
            self._pending = text[opening.end :]
            self._open(opening, text[at : opening.end])
            return True
        if is_final:
            self._emit_rest(events)
        else:
            self._emit(text, len(text), events)
        return False

    def _may_be_bare(self, before: str) -> bool:
        """Return True if a call without marks may begin behind this text."""
        if self._is_at_edge and not before.strip():
            return True
        line = before.rstrip(" \t")
        return self._is_bare and (line.endswith("\n") or (not line and self._is_line_start))

    def _emit(self, text: str, end: int, events: list[StreamEvent]) -> None:
        """Emit text up to a position, but no white space that may turn out to precede a call."""
        emitted = text[:end]
        if not emitted or (self._is_at_edge and not emitted.strip()):
            return
        events.append(TextDelta(emitted))
        self._pending = text[end:]
        self._is_at_edge = False
        line = emitted.rstrip(" \t")
        self._is_line_start = line.endswith("\n") if line else self._is_line_start

    def _emit_rest(self, events: list[StreamEvent]) -> None:
        """Emit the end of the answer, unless it is the beginning of a mark that was cut off."""
        text, self._pending = self._pending, ""
        tail = text.lstrip() if self._is_at_edge else text
        if is_cut_mark(tail, self._marks.starts):
            events += CallBody(self._call_count, self._new_id).abort(tail.strip())
        elif self._call_count and is_cut_mark(tail, self._marks.ends):
            self.is_stopped = True
        elif text.strip() or (text and not self._call_count):
            events.append(TextDelta(text))

    def _open(self, opening: Opening, mark: str) -> None:
        self._is_at_edge = True
        if self._in_fence and FENCE not in opening.closing:
            opening = replace(opening, closing=(*opening.closing, FENCE))
        self.is_stopped = opening.is_result
        if opening.body is not None:
            self._block = CallBlockReader(
                opening,
                mark,
                self._call_count,
                self._new_id,
                self._is_tool,
                is_single=self._is_single,
                has_prefix=self.has_prefix and not self._call_count,
            )

    def _read_block(
        self, block: CallBlockReader, events: list[StreamEvent], *, is_final: bool
    ) -> bool:
        """Read the calls of a block; return True if text follows it."""
        self._pending = block.read(self._pending, events, is_final=is_final)
        self._call_count = block.call_count
        self.is_stopped = block.is_stopped
        if not block.is_done:
            return False
        self._block = None
        self._in_fence = block.has_calls and block.is_in_fence
        self._is_at_edge = self._is_line_start = block.has_calls
        return True

    def _is_tool(self, name: str) -> bool:
        return bool(name) and (self._is_bare or name in self._names)

"""Find tool calls in the text of an answer while it streams.

Text is emitted at once; only what may begin a call is held back. The result is the same for every
chunking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from replicate_stream._model.families.tool_format import Schemas
from replicate_stream._response.quotation import QuotationTracker
from replicate_stream._response.text_block import TextBlockReader
from replicate_stream._response.tool_call import CallBody, build_deltas
from replicate_stream._response.tool_call_block import CallBlockReader
from replicate_stream._response.tool_call_marks import (
    Opening,
    find_empty_block,
    find_opening,
    get_marks,
    is_cut_call,
    is_cut_mark,
)
from replicate_stream._response.unmarked_calls import UnmarkedAnswer, find_message_text, unfence
from replicate_stream._types.messages import StreamEvent, TextDelta, ToolCallDelta

_LONGEST_PIECE = 4096


class ToolCallReader:
    """Splits one answer into text and tool calls.

    Args:
        schemas: The schemas of the offered tools' arguments.
        new_id: Creates the id of a call.
        tool_formats: The names of the formats that the model was offered or trained on.
        is_single: True if a second call is not wanted.

    Attributes:
        is_stopped: True once the rest of the answer is not needed: a second call that is not
            wanted, or a tool result that the model invented.
        has_prefix: True if the prompt ends with the beginning of the first call's JSON. The model
            then may end the answer after the arguments, without the call's closing bracket.
        announces_answer: True once a call was dropped that stands for an answer in words.
    """

    def __init__(
        self,
        schemas: Schemas,
        new_id: Callable[[], str],
        tool_formats: Sequence[str] = (),
        *,
        is_single: bool = False,
    ) -> None:
        self.is_stopped = False
        self.has_prefix = False
        self.announces_answer = False
        self._marks = get_marks(tool_formats)
        self._answer_tools = self._marks.answer_tools - schemas.keys()
        self._dropped: set[int] = set()  # the numbers of the calls of these tools
        self._schemas: Schemas = {**schemas, **{name: {} for name in self._answer_tools}}
        self._new_id = new_id
        self._is_single = is_single
        self._call_count = 0
        self._pending = ""
        self._blanks: list[str] = []  # at the edge, before the pending text
        self._unmarked: UnmarkedAnswer | None = UnmarkedAnswer(
            self._schemas
        )  # None: there are marks
        self._block: CallBlockReader | TextBlockReader | None = None
        self._quotation = QuotationTracker()
        self._is_at_edge = True  # only white space since the start, or since a call

    def feed(self, text: str) -> list[StreamEvent]:
        """Add more of the answer; return the events that are certain."""
        return self._drop_answers(self._feed(text))

    def flush(self) -> list[StreamEvent]:
        """Return the events of the pending text, after the last `feed`."""
        return self._drop_answers(self._flush())

    def _drop_answers(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        """Drop the calls that stand for an answer in words: no agent has such a tool."""
        kept: list[StreamEvent] = []
        for event in events:
            if not isinstance(event, ToolCallDelta) or not self._answer_tools:
                kept.append(event)
                continue
            if event.name in self._answer_tools:
                self._dropped.add(event.index)
                self.announces_answer = True
            if event.index not in self._dropped:
                before = sum(index < event.index for index in self._dropped)
                kept.append(replace(event, index=event.index - before))
        return kept

    def _feed(self, text: str) -> list[StreamEvent]:
        if self._unmarked is not None and not self.has_prefix:
            if self._unmarked.feed(text):
                return []
            text = self._unmarked.text
        self._unmarked = None
        events: list[StreamEvent] = []
        # In pieces, because each mark takes a copy of the text behind it.
        for at in range(0, len(text), _LONGEST_PIECE):
            self._pending += text[at : at + _LONGEST_PIECE]
            events += self._read(is_final=False)
        return events

    def _flush(self) -> list[StreamEvent]:
        if self._unmarked is not None:
            text = self._unmarked.text
            calls = self._unmarked.parse() or ()
            if calls:
                self.is_stopped = self._is_single and len(calls) > 1
                kept = calls[:1] if self.is_stopped else calls
                words = find_message_text(text)
                before = [TextDelta(words)] if words else []
                return [*before, *build_deltas(kept, text, 0, self._new_id)]
            self._unmarked = None
            # Marks in a fence count too, where the whole answer is in it.
            inner = unfence(text)
            events = [*self._feed(inner or text), *self._flush()]
            return events if inner is None or self._call_count else [TextDelta(text)]
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
        if self._is_at_edge:
            self._hold_blanks()
        text = self._pending
        if self.has_prefix and not self._call_count and text.startswith("{"):
            self._open(Opening(0, "call"))
            return True
        for match in self._marks.first.finditer(text):
            at = match.start()
            opening = find_opening(self._marks, text, at, is_final=is_final)
            if opening is None and not text.startswith(self._marks.calls, at):
                continue
            before = self._quotation.add_to_copy(text[:at])
            if opening is None and before.is_line_start:
                opening = find_empty_block(self._marks, text, at, is_final=is_final)
            if opening is None:
                continue
            is_in_line = text[at].isalpha() and not before.is_line_start  # a word of a sentence
            if opening != "partial" and (is_in_line or before.is_quoted or self._is_loose(opening)):
                self._emit(text, at + 1, events)
                self._quotation.quotes_call = before.is_quoted
                return True
            self._emit(text, at, events)
            if opening == "partial":
                return False
            self._pending = text[opening.end :]
            self._open(opening)
            return True
        if is_final:
            self._emit_rest(events)
        else:
            self._emit(text, len(text), events)
        return False

    def _is_loose(self, opening: Opening) -> bool:
        """Return True for a mark of a result, or a closing one, that stands behind no call.

        It is text about such marks then. Behind a call it is the model's mistake.
        """
        return (opening.is_result or opening.is_stray) and not self._call_count

    def _hold_blanks(self) -> None:
        """Take white space that may turn out to precede a call out of the pending text."""
        text = self._pending.lstrip()
        blanks = self._pending[: len(self._pending) - len(text)]
        if blanks:
            self._blanks.append(blanks)
            self._quotation.add(blanks)
            self._pending = text

    def _emit(self, text: str, end: int, events: list[StreamEvent]) -> None:
        """Emit text up to a position, with the white space before it."""
        if not end:
            return
        events.append(TextDelta("".join(self._blanks) + text[:end]))
        self._quotation.add(text[:end])
        self._pending = text[end:]
        self._blanks = []
        self._is_at_edge = False

    def _emit_rest(self, events: list[StreamEvent]) -> None:
        """Emit the end of the answer, unless it is the beginning of a mark that was cut off."""
        tail, self._pending = self._pending, ""
        text = "".join(self._blanks) + tail
        if is_cut_call(self._marks, tail) and not self._quotation.is_quoted:
            events += CallBody(self._call_count, self._new_id, self._schemas).abort(tail.strip())
        elif self._call_count and is_cut_mark(tail, self._marks.ends):
            self.is_stopped = True
        elif text.strip() or (text and not self._call_count):
            events.append(TextDelta(text))

    def _open(self, opening: Opening) -> None:
        self._is_at_edge = True
        self._blanks = []
        self._quotation = QuotationTracker()
        self.is_stopped = opening.is_result
        if opening.body == "text" and opening.mark is not None:
            self._block = TextBlockReader(
                opening.mark,
                opening.name or "",
                self._call_count,
                self._new_id,
                self._schemas,
                is_single=self._is_single,
            )
        elif opening.body is not None:
            self._block = CallBlockReader(
                opening,
                self._marks,
                self._call_count,
                self._new_id,
                self._schemas,
                is_single=self._is_single,
                has_prefix=self.has_prefix and not self._call_count,
            )

    def _read_block(
        self,
        block: CallBlockReader | TextBlockReader,
        events: list[StreamEvent],
        *,
        is_final: bool,
    ) -> bool:
        """Read the calls of a block; return True if text follows it."""
        self._pending = block.read(self._pending, events, is_final=is_final)
        self._call_count = block.call_count
        self.is_stopped = block.is_stopped
        if block.is_done:
            self._block = None
        return block.is_done

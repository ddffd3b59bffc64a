"""Find tool calls in the text of an answer while it streams.

Text is emitted at once; only what may begin a call is held back. The result is the same for every
chunking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
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
_LONGEST_GAP = 200  # between a call in a line and the next word
_GOES_ON = (",", ";", ":", ")")  # what goes on with a sentence, beside a word in lower case


class _CallInSentence:
    """Marks and calls in the middle of a sentence, held until it shows whether it goes on.

    Attributes:
        raw: All text from the first mark on.
        events: The events of the calls.
        call_count: The number of calls before it.
        seen_count: The number of calls behind which the text was read on.
        quotation: The tracker of the text before it.
        has_frame: True if a mark around all calls opens it, so that lines may end within it.
    """

    def __init__(
        self, raw: str, call_count: int, quotation: QuotationTracker, *, has_frame: bool
    ) -> None:
        self.raw = [raw]
        self.events: list[StreamEvent] = []
        self.call_count = self.seen_count = call_count
        self.quotation = quotation
        self.has_frame = has_frame

    def get_text(self, rest: str) -> str:
        """Return the text up to one that is still to be read."""
        raw = "".join(self.raw)
        return raw[: len(raw) - len(rest)]


class ToolCallReader:
    """Splits one answer into text and tool calls.

    Args:
        schemas: The schemas of the offered tools' arguments.
        new_id: Creates the id of a call.
        tool_formats: The names of the formats that the model was offered or trained on.
        is_single: True if a second call is not wanted.

    Attributes:
        is_stopped: True once the rest of the answer is not needed: a second call that is not
            wanted, or behind a call a tool result or another turn, which the model invents.
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
        # None once the answer has marks, or is text.
        self._unmarked: UnmarkedAnswer | None = UnmarkedAnswer(
            self._schemas, has_names=bool(self._marks.call_start)
        )
        self._block: CallBlockReader | TextBlockReader | None = None
        self._in_sentence: _CallInSentence | None = None
        self._quotation = QuotationTracker()
        self._is_at_edge = True  # only white space since the start, or since a call
        self._is_text = False  # nothing in the rest of the answer is a call

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
            text = self._marks.call_start + text if self._unmarked.is_named else text
        self._unmarked = None
        events: list[StreamEvent] = []
        # In pieces, because each mark takes a copy of the text behind it.
        for at in range(0, len(text), _LONGEST_PIECE):
            self._pending += text[at : at + _LONGEST_PIECE]
            if self._in_sentence is not None:
                self._in_sentence.raw.append(text[at : at + _LONGEST_PIECE])
            events += self._read(is_final=False)
        return events

    def _flush(self) -> list[StreamEvent]:
        if self._unmarked is not None:
            text = self._unmarked.text
            calls = self._unmarked.parse(self._marks.closing_marks, self._marks.turns.pattern) or ()
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
            held = self._in_sentence
            if self._block is not None:
                into = events if held is None else held.events
                can_continue = self._read_block(self._block, into, is_final=is_final)
            elif held is not None and self._call_count > held.seen_count:
                can_continue = self._end_in_sentence(held, events, is_final=is_final)
            else:
                can_continue = self._read_text(events, is_final=is_final)
        if self._in_sentence is not None and (self.is_stopped or is_final):
            events += self._in_sentence.events
            self._in_sentence = None
        return events

    def _end_in_sentence(
        self, held: _CallInSentence, events: list[StreamEvent], *, is_final: bool
    ) -> bool:
        """Decide on calls in a sentence by what follows them; return True once that is certain.

        A sentence that goes on quotes them: it says what a call would be like. One that has ended
        before them begins with them.
        """
        words = self._pending[:_LONGEST_GAP]
        rest = words.lstrip(" \t")
        around = (*self._marks.frame_marks, *self._marks.closing_marks)
        while (mark := next((each for each in around if rest.lstrip().startswith(each)), "")) != "":
            rest = rest.lstrip()[len(mark) :].lstrip(" \t")
        body = rest.lstrip()
        is_mark = len(words) < _LONGEST_GAP and any(m.startswith(body) for m in self._marks.all)
        if is_mark and not is_final:
            return False
        ends_line = is_mark or rest[:1] in ("", "\r", "\n")
        if body.startswith(self._marks.calls) and (held.has_frame or not ends_line):
            held.seen_count = self._call_count  # the text behind the next call decides
            self._quotation = copy(held.quotation)
            return True
        self._in_sentence = None
        is_call = ends_line or rest.startswith(
            (*self._marks.result_marks, *self._marks.turns.tokens)
        )
        is_lower = rest[:1].islower() or rest.startswith(_GOES_ON)
        goes_on = held.quotation.is_in_sentence or is_lower
        if is_call or not goes_on:
            events += held.events
            return True
        self._call_count, self._quotation = held.call_count, held.quotation
        self._pending = self._pending[len(words) - len(rest) :]
        text = held.get_text(self._pending)
        events.append(TextDelta(text))
        self._quotation.add(text)
        self._is_at_edge = False
        return True

    def _read_text(self, events: list[StreamEvent], *, is_final: bool) -> bool:
        """Read text up to a call; return True if there was one."""
        if self._is_text:
            self._emit(self._pending, len(self._pending), events)
            return False
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
            if opening == "partial":
                self._emit(text, at, events)
                return False
            if opening is not None:
                self._read_mark(opening, at, before, events)
                return True
        if is_final:
            self._emit_rest(events)
        else:
            self._emit(text, len(text), events)
        return False

    def _read_mark(
        self, opening: Opening, at: int, before: QuotationTracker, events: list[StreamEvent]
    ) -> None:
        """Read a mark at a position of the pending text, and what stands before it."""
        text = self._pending
        if at and self._in_sentence is not None:
            self._emit(text, at, events)  # words: what is held is no call, and the mark behind none
            return
        # A word, or a label, in the middle of a sentence.
        is_in_line = (text[at].isalpha() or text[at] == "#") and not before.is_line_start
        is_first = self._is_at_edge and not at
        if is_in_line or before.is_quoted or self._is_loose(opening, is_first=is_first):
            self._emit(text, at + 1, events)
            self._quotation.quotes_call = before.is_quoted and opening.turn is None
            return
        if opening.turn == "other" and not self._call_count:
            # The model plays another, before it has called a tool. A call behind that answers what
            # it has invented.
            self._is_text = True
            return
        self._emit(text, at, events)
        self._pending = text[opening.end :]
        if opening.turn == "own" and not self._call_count:
            self._blanks.append(text[: opening.end])  # shown before text, as white space is
            return
        self._open(opening)
        self._hold_in_sentence(opening, text[at:], before)
        into = events if self._in_sentence is None else self._in_sentence.events
        into += [TextDelta(opening.words)] * bool(opening.words.strip())

    def _hold_in_sentence(self, opening: Opening, raw: str, before: QuotationTracker) -> None:
        """Hold a call, or the mark around calls, that may be quoted by the sentence around it."""
        is_message = opening.mark is not None and opening.mark.is_message
        may_be_quoted = opening.is_frame or (opening.body is not None and not is_message)
        if self._in_sentence is None and not before.is_line_start and may_be_quoted:
            self._in_sentence = _CallInSentence(
                raw, self._call_count, before, has_frame=opening.is_frame
            )
        if self._in_sentence is not None and opening.body is None:
            self._quotation = before.add_to_copy(raw.removesuffix(self._pending))

    def _is_loose(self, opening: Opening, *, is_first: bool) -> bool:
        """Return True for a mark of a result or a turn, or a closing one, that is behind no call.

        It is text about such marks then. Behind a call it is the model's mistake. At the beginning
        of an answer, before a call, the model may have opened its own turn once more.
        """
        is_turn = opening.turn == "label" or (opening.turn == "own" and not is_first)
        return (opening.is_result or opening.is_stray or is_turn) and not self._call_count

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
        self._pending = text[end:]
        if self._in_sentence is not None:  # words follow a mark that is no call
            shown = self._in_sentence.get_text(self._pending)
            self._call_count = self._in_sentence.call_count
            self._in_sentence = None
        else:
            shown = "".join(self._blanks) + text[:end]
        events.append(TextDelta(shown))
        self._quotation.add(text[:end])
        self._blanks = []
        self._is_at_edge = False

    def _emit_rest(self, events: list[StreamEvent]) -> None:
        """Emit the end of the answer, unless it is the beginning of a mark that was cut off."""
        held = self._in_sentence
        if held is not None and held.events:
            if not self._is_cut_call(self._pending):
                self._emit(self._pending, len(self._pending), events)
                return
            events += held.events
            self._in_sentence = None
        tail, self._pending = self._pending, ""
        text = "".join(self._blanks) + tail
        if self._is_cut_call(tail) and not self._quotation.is_quoted:
            events += CallBody(self._call_count, self._new_id, self._schemas).abort(tail.strip())
        elif self._call_count and is_cut_mark(tail, self._marks.ends):
            self.is_stopped = True
        elif text.strip() or (text and not self._call_count):
            events.append(TextDelta(text))

    def _is_cut_call(self, tail: str) -> bool:
        names = self._schemas if self._quotation.is_in_sentence else None
        return is_cut_call(self._marks, tail, names)

    def _open(self, opening: Opening) -> None:
        self._is_at_edge = True
        self._blanks = []
        self._quotation = QuotationTracker()
        self.is_stopped = opening.is_result or (opening.turn is not None and self._call_count > 0)
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

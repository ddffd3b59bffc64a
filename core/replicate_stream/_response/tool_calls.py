"""Tell calls of tools from the text around them, while an answer streams.

Text goes on at once; only what may be the beginning of a call is held back. The result is the same
for every way of splitting the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from replicate_stream._response.call_list import Calls
from replicate_stream._response.tool_call import CallBody
from replicate_stream._response.tool_call_marks import (
    FENCE,
    MAY_BEGIN,
    MAY_BEGIN_BARE,
    Opening,
    is_begun,
    is_end_begun,
    look,
)
from replicate_stream._types.messages import StreamEvent, TextDelta

_BETWEEN = (";",)  # what Llama models put between two calls


class ToolReader:
    """Reads one answer.

    Args:
        names: The tools that there are. JSON without marks is a call only of one of these.
        new_id: Makes the id of a call.
        is_bare: Whether the model writes calls without marks: then any name in such JSON is a
            tool's, and a call may begin on any line.
        is_single: Whether a second call is not wanted.

    Attributes:
        calls: How many calls have begun.
        is_ended: Whether nothing of the rest is wanted: a second call, or a result that the model
            made up.
        is_begun: Whether the prompt has opened the first call's JSON: then the model may not close
            it, when it has written the arguments.
    """

    def __init__(
        self,
        names: Collection[str],
        new_id: Callable[[], str],
        *,
        is_bare: bool = False,
        is_single: bool = False,
    ) -> None:
        self.calls = 0
        self.is_ended = False
        self.is_begun = False
        self._names = names
        self._new_id = new_id
        self._is_bare = is_bare
        self._is_single = is_single
        self._held = ""
        self._is_fenced = False
        self._is_edge = True  # nothing but blanks since the start, or since a call
        self._is_line_start = True
        self._open: Calls | None = None

    def feed(self, text: str) -> list[StreamEvent]:
        """Take more of the answer; gives what is certain by now."""
        self._held += text
        return self._read(is_final=False)

    def flush(self) -> list[StreamEvent]:
        """Say that the answer has ended; gives what was held back."""
        return self._read(is_final=True)

    def _read(self, *, is_final: bool) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        is_read = False
        while not is_read and not self.is_ended:
            if self._open is None:
                is_read = self._text(events, is_final=is_final)
            else:
                is_read = self._calls(self._open, events, is_final=is_final)
        return events

    def _text(self, events: list[StreamEvent], *, is_final: bool) -> bool:
        """Read text up to a call; gives whether there is nothing more to read."""
        text = self._held
        pattern = MAY_BEGIN_BARE if self._is_bare or self._is_edge else MAY_BEGIN
        for match in pattern.finditer(text):
            at = match.start()
            found = look(text, at, is_final=is_final)
            is_cut = is_final and is_begun(text[at:])
            if found is None and not is_cut and text[at] in "{[" and self._may_be_bare(text[:at]):
                found = Opening(at, "bare", closing=_BETWEEN)
            if found == "more":
                self._say(text, at, events)
                return True
            if found is None or ((found.ends or found.is_stray) and not self.calls):
                continue
            self._say(text, at, events)
            self._held = text[found.at :]
            self._enter(found, text[at : found.at])
            return False
        if is_final:
            self._say_rest(events)
        else:
            self._say(text, len(text), events)
        return True

    def _may_be_bare(self, before: str) -> bool:
        if self._is_edge and not before.strip():
            return True
        line = before.rstrip(" \t")
        return self._is_bare and (line.endswith("\n") or (not line and self._is_line_start))

    def _say(self, text: str, end: int, events: list[StreamEvent]) -> None:
        """Give text up to a place; blanks wait for what is behind them, which may be a call."""
        said = text[:end]
        if not said or (self._is_edge and not said.strip()):
            return
        events.append(TextDelta(said))
        self._held = text[end:]
        self._is_edge = False
        line = said.rstrip(" \t")
        self._is_line_start = line.endswith("\n") if line else self._is_line_start

    def _say_rest(self, events: list[StreamEvent]) -> None:
        text, self._held = self._held, ""
        end = text.lstrip() if self._is_edge else text
        if is_begun(end):
            self.calls += 1
            events += CallBody(self.calls - 1, self._new_id).give_up(end.strip())
        elif self.calls and is_end_begun(end):
            self.is_ended = True
        elif text.strip() or (text and not self.calls):
            events.append(TextDelta(text))

    def _enter(self, opening: Opening, mark: str) -> None:
        self._is_edge = True
        if self._is_fenced and FENCE not in opening.closing:
            opening = replace(opening, closing=(*opening.closing, FENCE))
        self.is_ended = opening.ends
        if opening.body is not None:
            self._open = Calls(
                opening,
                mark,
                self.calls,
                self._new_id,
                self._is_tool,
                is_single=self._is_single,
                is_begun=self.is_begun and not self.calls,
            )

    def _calls(self, calls: Calls, events: list[StreamEvent], *, is_final: bool) -> bool:
        before = calls.count
        self._held = calls.read(self._held, is_final=is_final)
        events += calls.events
        calls.events.clear()
        self.calls += calls.count - before
        self.is_ended = calls.is_ended
        if not calls.is_over:
            return True
        self._open = None
        self._is_fenced = calls.count > 0 and calls.is_fenced
        self._is_edge = self._is_line_start = calls.count > 0
        return False

    def _is_tool(self, name: str) -> bool:
        return bool(name) and (self._is_bare or name in self._names)

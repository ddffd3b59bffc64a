"""What stands behind one mark: the JSON of a call or of a list of calls, and what closes them."""

from __future__ import annotations

from collections.abc import Callable

from replicate_stream._response.tool_call import NO_ARGUMENTS, CallBody
from replicate_stream._response.tool_call_marks import FENCE, Opening, after_blank, find_end
from replicate_stream._types.messages import StreamEvent, TextDelta

_State = Callable[[str], str]


class Calls:
    """Reads on from a mark.

    Args:
        opening: The mark.
        lead: The text of the mark.
        first: How many calls there were before.
        new_id: Makes the id of a call.
        is_tool: Whether JSON without marks that has this name is a call.
        is_single: Whether one call is all that is wanted of the answer.
        is_begun: Whether the prompt has opened the call, so that the model may not close it.

    Attributes:
        events: What can be told by now; whoever takes it empties it.
        count: How many calls have begun.
        is_over: Whether what follows is text again.
        is_ended: Whether nothing more is wanted, because a second call begins.
    """

    def __init__(
        self,
        opening: Opening,
        lead: str,
        first: int,
        new_id: Callable[[], str],
        is_tool: Callable[[str], bool],
        *,
        is_single: bool,
        is_begun: bool,
    ) -> None:
        self.events: list[StreamEvent] = []
        self.count = 0
        self.is_over = False
        self.is_ended = False
        self._is_bare = opening.body == "bare"
        self._takes_arguments = opening.body == "arguments"
        self._closing = list(opening.closing)
        self._raw = lead  # of JSON without marks, which may yet turn out to be text
        self._lead = len(lead)
        self._first = first
        self._new_id = new_id
        self._is_tool = is_tool
        self._is_single = is_single
        self._is_begun = is_begun
        self._in_list = False
        self._is_final = False
        self._sought = 0  # how much of the text behind a broken call has no end of it
        self._body = CallBody(first, new_id, opening.name)
        self._is_counted = False
        self._state: _State = self._start

    @property
    def is_fenced(self) -> bool:
        """Whether it stands in a code fence that it did not close: more calls may be in there."""
        return FENCE in self._closing

    def read(self, text: str, *, is_final: bool) -> str:
        """Read on in a text; gives the rest, which is needed again if there is no end yet."""
        self._is_final = is_final
        while not self.is_over and not self.is_ended:
            state, size = self._state, len(text)
            text = state(text)
            if self._state == state and len(text) == size:
                break
        if is_final and not self.is_over and not self.is_ended:
            self._cut_off(text)
            text = ""
        return text

    # The states. Each takes what it can from the text's beginning and gives the rest.

    def _start(self, text: str) -> str:
        at = after_blank(text, 0)
        if self._takes_arguments:
            return self._start_arguments(text[at:])
        if at < len(text) and text[at] == "[":
            self._in_list = True
            self._state = self._item
            return self._pass(text, at + 1)
        if at < len(text):
            self._begin()
        return self._pass(text, at)

    def _start_arguments(self, text: str) -> str:
        if text.startswith(tuple(self._closing)):
            self._begin()
            self._body.feed(NO_ARGUMENTS, 0)
            self._tell()
        elif text and not any(mark.startswith(text) for mark in self._closing):
            self._begin()
        return text

    def _item(self, text: str) -> str:
        at = after_blank(text, 0)
        if at == len(text):
            return self._pass(text, at)
        if text[at] == "]":
            self._in_list = False
            self._state = self._text if self._is_bare else self._close
            return self._pass(text, at + 1)
        if self._is_counted:
            self._body = CallBody(self._first + self.count, self._new_id)
            self._is_counted = False
        self._begin()
        return self._pass(text, at)

    def _begin(self) -> None:
        self._state = self._json
        if not self._is_bare:
            self._count()

    def _count(self) -> None:
        if self._is_counted:
            return
        if self._is_single and self._first + self.count:
            self.is_ended = True
            return
        self.count += 1
        self._is_counted = True

    def _json(self, text: str) -> str:
        body = self._body
        text = self._pass(text, body.feed(text, 0))
        if self._is_bare:
            is_call = body.is_call
            if is_call is None:
                return text
            if not is_call or not self._is_tool(body.found_name or ""):
                self._state = self._text
                return text
            self._is_bare = False
            self._count()
        if not self.is_ended:
            self._tell()
        return text

    def _tell(self) -> None:
        self.events += self._body.take()
        if self._body.is_done:
            self._state = self._next if self._in_list else self._close
        elif self._body.is_broken:
            self._state = self._broken

    def _broken(self, text: str) -> str:
        end = find_end(text, self._closing, self._sought)
        if end < 0:
            self._sought = len(text)
            return text
        self._sought = 0
        is_whole = not text[:end].strip() and self._body.lacks_only_its_end and not self._in_list
        self.events += self._body.close() if is_whole else self._body.give_up(text[:end])
        self._in_list = False
        self._state = self._close
        return text[end:]

    def _next(self, text: str) -> str:
        """Between two calls of a list."""
        at = after_blank(text, 0)
        if at == len(text):
            return text[at:]
        if text[at] == ",":
            self._state = self._item
            return text[at + 1 :]
        self._in_list = False
        self._state = self._close
        return text[at + (text[at] == "]") :]

    def _close(self, text: str) -> str:
        """Behind the last call: each of what may close it, once and in any order."""
        at = after_blank(text, 0)
        for mark in self._closing:
            if text.startswith(mark, at):
                self._closing.remove(mark)
                return text[at + len(mark) :]
        is_open = any(mark.startswith(text[at:]) for mark in self._closing)
        self.is_over = self._is_final or not is_open
        return "" if is_open and self._is_final else text

    def _text(self, text: str) -> str:
        """It is no call: its bracket is said, and what is behind it is looked through anew."""
        self.events.append(TextDelta(self._raw[: self._lead + 1]))
        self.is_over = True
        return self._raw[self._lead + 1 :] + text

    def _pass(self, text: str, at: int) -> str:
        if self._is_bare:
            self._raw += text[:at]
        return text[at:]

    def _cut_off(self, text: str) -> None:
        """The answer ended in a call."""
        if self._state in (self._next, self._close):
            return
        name = self._body.found_name
        if self._is_bare and not (name and self._is_tool(name)):
            self.events.append(TextDelta(self._raw + text))
            return
        if self._state == self._item and self._is_counted:
            return  # a list that ends after a comma lacks nothing
        self._count()
        if self.is_ended:
            return
        body = self._body
        is_whole = body.has_all_arguments and body.lacks_only_its_end and not text.strip()
        is_closed = self._is_begun and is_whole
        self.events += body.close() if is_closed else body.give_up(text)

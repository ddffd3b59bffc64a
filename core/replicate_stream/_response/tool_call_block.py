"""Read the block behind one mark: the JSON of one or several calls, and its closing marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from replicate_stream._model.families.tool_format import Schemas
from replicate_stream._response.tool_call import NO_ARGUMENTS, CallBody
from replicate_stream._response.tool_call_marks import Marks, Opening, find_end, skip_blanks
from replicate_stream._types.messages import StreamEvent

_State: TypeAlias = Callable[[str], str]

_SEPARATORS = ",;"  # between two calls that are no list; DeepSeek and Llama write these


class CallBlockReader:
    """Reads the text behind a mark, as a state machine.

    Args:
        opening: The mark.
        marks: The marks that are known in the answer.
        call_count: The number of calls before the block.
        new_id: Creates the id of a call.
        schemas: The schemas of the offered tools' arguments.
        is_single: True if a second call is not wanted.
        has_prefix: True if the prompt ends with the beginning of the call; see `ToolCallReader`.

    Attributes:
        call_count: The number of calls that have begun, those before the block included.
        is_done: True once text follows the block.
        is_stopped: True once a second call has begun that is not wanted.
    """

    def __init__(
        self,
        opening: Opening,
        marks: Marks,
        call_count: int,
        new_id: Callable[[], str],
        schemas: Schemas,
        *,
        is_single: bool,
        has_prefix: bool = False,
    ) -> None:
        self.call_count = call_count
        self.is_done = self.is_stopped = False
        self._is_arguments = opening.body == "arguments"
        self._closing = list(opening.closing)
        self._marks = marks
        self._new_id = new_id
        self._schemas = schemas
        self._is_single = is_single
        self._has_prefix = has_prefix
        self._events: list[StreamEvent] = []
        self._is_final = False
        self._in_list = False
        self._broken: list[str] = []  # text behind a broken call that has no end of it
        self._behind: list[str] = []  # text behind the last call, unless the block goes on
        self._body = CallBody(call_count, new_id, schemas, opening.name)
        self._is_counted = False  # of the current call
        self._state: _State = self._read_start

    def read(self, text: str, events: list[StreamEvent], *, is_final: bool) -> str:
        """Read text and append the events that are certain.

        Returns:
            The unread rest, to be passed again with more text behind it.
        """
        self._events, self._is_final = events, is_final
        while not self.is_done and not self.is_stopped:
            state, size = self._state, len(text)
            text = state(text)
            if self._state == state and len(text) == size:
                break
        if is_final and not self.is_done and not self.is_stopped:
            self._abort(text)
            text = ""
        return text

    # The states. Each reads from the beginning of the text and returns the unread rest.

    def _read_start(self, text: str) -> str:
        at = skip_blanks(text, 0)
        if self._is_arguments:
            return self._read_start_of_arguments(text[at:])
        if at < len(text) and text[at] == "[":
            self._in_list = True
            self._state = self._read_item
            return text[at + 1 :]
        if at < len(text):
            self._start_call()
        return text[at:]

    def _read_start_of_arguments(self, text: str) -> str:
        if text.startswith(tuple(self._closing)):
            self._start_call()
            if not self.is_stopped:
                self._body.scanner.feed(NO_ARGUMENTS)
                self._read_deltas()
        elif text and not _may_begin_any(text, self._closing):
            self._start_call()
        return text

    def _read_item(self, text: str) -> str:
        at = skip_blanks(text, 0)
        if at == len(text):
            return text[at:]
        if text[at] == "]":
            self._in_list = False
            self._state = self._read_closing
            return text[at + 1 :]
        self._start_next_call()
        return text[at:]

    def _read_json(self, text: str) -> str:
        text = text[self._body.scanner.feed(text) :]
        if not self.is_stopped:
            self._read_deltas()
        return text

    def _read_broken(self, text: str) -> str:
        """Find the end of a call whose JSON is broken."""
        end = find_end(self._marks, text, self._closing)
        if end < 0:
            # In pieces: a long text would be copied for each token.
            searched = max(0, len(text) - self._marks.longest)
            if searched:
                self._broken.append(text[:searched])
            return text[searched:]
        rest, text = text[end:], self._release_broken(text[:end])
        scanner = self._body.scanner
        # An object that holds nothing may lack anything, so nobody can tell what it was to be.
        is_whole = scanner.lacks_closing and bool(scanner.members)
        is_whole = is_whole and not text.strip() and not self._in_list
        self._events += self._body.close() if is_whole else self._body.abort(text)
        self._in_list = False
        self._state = self._read_closing
        return rest

    def _release_broken(self, text: str) -> str:
        broken, self._broken = "".join(self._broken), []
        return broken + text

    def _read_separator(self, text: str) -> str:
        """Read what stands behind a call in a list."""
        at = skip_blanks(text, 0)
        if at == len(text):
            return text[at:]
        if text[at] == ",":
            self._state = self._read_item
            return text[at + 1 :]
        self._in_list = False
        self._state = self._read_closing
        return text[at + (text[at] == "]") :]

    def _read_closing(self, text: str) -> str:
        """Read the closing marks, each at most once and in any order, and further calls."""
        text = self._hold_blanks(text)
        for mark in self._closing:
            if text.startswith(mark):
                self._closing.remove(mark)
                self._behind = []
                return text[len(mark) :]
        if text[:1] in ("}", "]"):
            self._behind = []
            return text[1:]  # one bracket too many
        if text and text[0] in _SEPARATORS:
            self._behind.append(text[0])
            self._state = self._read_behind_separator
            return text[1:]
        return self._read_behind_separator(text)

    def _read_behind_separator(self, text: str) -> str:
        """Read what may be a further call, which may stand behind a separator or not."""
        text = self._hold_blanks(text)
        if self._closing and not self._is_arguments and text.startswith("{"):
            self._behind = []
            self._start_next_call()
            return text
        may_close = self._state == self._read_closing and _may_begin_any(text, self._closing)
        is_partial = not text or may_close
        self.is_done = self._is_final or not is_partial
        if is_partial:
            return "" if self._is_final else text
        return "".join(self._behind) + text

    def _hold_blanks(self, text: str) -> str:
        at = skip_blanks(text, 0)
        if at:
            self._behind.append(text[:at])
        return text[at:]

    def _start_next_call(self) -> None:
        if self._is_counted:
            self._body = CallBody(self.call_count, self._new_id, self._schemas)
            self._is_counted = False
        self._start_call()

    def _start_call(self) -> None:
        self._state = self._read_json
        if self._is_counted:
            return
        if self._is_single and self.call_count:
            self.is_stopped = True
            return
        self.call_count += 1
        self._is_counted = True

    def _read_deltas(self) -> None:
        self._events += self._body.read()
        if self._body.scanner.is_done:
            self._state = self._read_separator if self._in_list else self._read_closing
        elif self._body.scanner.is_broken:
            self._state = self._read_broken

    def _abort(self, text: str) -> None:
        """End the block where the answer ended in it."""
        if self._state in (self._read_separator, self._read_closing, self._read_behind_separator):
            return
        text = self._release_broken(text)
        body = self._body
        if self._state == self._read_item and self._is_counted:
            return  # a list that ends after a comma lacks no call
        self._start_call()
        if self.is_stopped:
            return
        # Without a prefix the closing bracket is the model's to write, and an answer that was cut
        # off before it must not pass as complete.
        is_whole = body.has_complete_arguments and body.scanner.lacks_closing and not text.strip()
        self._events += body.close() if self._has_prefix and is_whole else body.abort(text)


def _may_begin_any(text: str, marks: Sequence[str]) -> bool:
    return any(mark.startswith(text) for mark in marks)

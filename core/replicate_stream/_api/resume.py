"""The text of a stream that was delivered, so that a new connection loses and repeats none of it.

The text of a prediction that is taken up begins in its record. There is one object for every
stream, so it is kept small: ids and texts are appended to buffers, which are parsed only after a
connection was lost.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import NamedTuple

from replicate_stream._api.sse import Event, Events, list_events


class StreamEnd(NamedTuple):
    """The end of a stream: the data of `done`, and of the `error` event if there was one."""

    done_data: str
    error_data: str | None = None


# The `done` that follows an `error` event (docs/replicate-api.md 3.4). It is not waited for.
_DONE_AFTER_ERROR = '{"reason": "error"}'


class DeliveredText:
    """The delivered text and the ids of its events.

    Attributes:
        last_event_id: The id to resume after; None before the first one.
        end: The end of the stream, once it has come.
        connection_count: Number of connections.
        has_other_start: True if text from the record was delivered before the first connection,
            which then did not begin with it, so that text may be missing in between.
    """

    def __init__(self) -> None:
        self.last_event_id: str | None = None
        self.end: StreamEnd | None = None
        self.connection_count = 0
        self.has_other_start = False
        self._ids = io.StringIO()
        self._text = io.StringIO()
        self._seen_ids: set[str] | None = None
        self._expected_replay = ""  # delivered text without ids, which the server sends again
        self._replay_position = 0

    @property
    def length(self) -> int:
        """Number of delivered characters."""
        return self._text.tell()

    @property
    def position(self) -> int:
        """Grows with each event that has an id or a text."""
        return self._ids.tell() + self._text.tell()

    def start_connection(self) -> None:
        """Prepare to drop what a connection repeats: events with known ids, or else known text."""
        self.connection_count += 1
        if self._ids.tell():
            self._seen_ids = set(self._ids.getvalue().split("\n"))
        if not self.last_event_id:
            self._expected_replay = self._text.getvalue()
            self._replay_position = 0

    def add_events(self, events: Events) -> list[str]:
        """Note events, up to the end; return the new pieces of text."""
        ids, texts, others = events
        if self._seen_ids is not None:
            texts, others = [], self._drop_seen(list_events(events), self._seen_ids)
        elif ids:
            self._ids.write(ids)
        if others:
            self._add_others(others, texts)
        if self._expected_replay:
            texts = self._drop_replay("".join(texts))
        self._text.write("".join(texts))
        return texts

    def _add_others(self, events: Iterable[Event], texts: list[str]) -> None:
        """Note events of any name, and append the texts of those that have one."""
        write_id = self._ids.write
        for name, event_id, data in events:
            if event_id:
                write_id(event_id + "\n")
            if name == "output":
                texts.append(data)
            elif name == "done":
                self.end = StreamEnd(data)
            elif name == "error":
                self.end = StreamEnd(_DONE_AFTER_ERROR, data)
            if self.end is not None:
                break

    def add_text(self, text: str) -> None:
        """Note text that did not come from the stream."""
        self._text.write(text)

    def get_remainder(self, output: str, *, is_partial: bool = False) -> str | None:
        """Return the output after the delivered text; None if it does not begin with that text.

        Args:
            output: The record's output.
            is_partial: Whether the output may also be the beginning of the delivered text.
        """
        delivered = self._text.getvalue()
        if output.startswith(delivered):
            return output[len(delivered) :]
        return "" if is_partial and delivered.startswith(output) else None

    def describe_difference(self, output: str) -> str:
        """Describe how the record's output differs from the delivered text, in characters."""
        delivered = self._text.getvalue()
        start = _count_common(delivered, output)
        end = _count_common(delivered[start:][::-1], output[start:][::-1])
        missing, extra = len(output) - start - end, len(delivered) - start - end
        return (
            f"its stream and its record differ after {start} characters: {missing} are missing in "
            f"the stream, {extra} are not in the record"
        )

    def _drop_seen(self, events: Iterable[Event], seen_ids: set[str]) -> list[Event]:
        new = [event for event in events if event[1] is None or event[1] not in seen_ids]
        seen_ids.update(event_id for _, event_id, _ in new if event_id is not None)
        return new

    def _drop_replay(self, text: str) -> list[str]:
        replay, start = self._expected_replay, self._replay_position
        self._replay_position += len(text)
        if self._replay_position < len(replay) and replay.startswith(text, start):
            return []
        self._expected_replay = ""
        rest = text.removeprefix(replay[start:])
        if rest == text and self.connection_count == 1:
            self.has_other_start = True
            return []
        # A text that does not begin with the replay is new: the server repeats nothing. Whether
        # text between the connections is missing, only the record can show, at the end.
        return [rest] if rest else []


def _count_common(one: str, other: str) -> int:
    """Count the characters with which both texts begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))

"""Delivered text drops what a new connection repeats, by the ids of the events or else by text."""

from __future__ import annotations

import pytest

from replicate_stream._api.resume import DeliveredText, StreamEnd
from replicate_stream._api.sse import Event, Events


def make_events(*texts: str, first_id: int | None = None) -> list[Event]:
    """Output events, with ids that count from `first_id`, or without ids."""
    return [
        ("output", None if first_id is None else f"1:{first_id + i}", text)
        for i, text in enumerate(texts)
    ]


def deliver(delivered: DeliveredText, events: list[Event]) -> str:
    texts = delivered.add_events(("", [], events))
    assert delivered.end is None
    return "".join(texts)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_output_events_in_columns_are_dropped_as_others_are(count: int) -> None:
    delivered = DeliveredText()
    delivered.start_connection()
    new: Events = ("1:0\n1:1\n1:2\n", ["a", "b", "b"], [("logs", "1:3", "a line")])
    assert delivered.add_events(new) == ["a", "b", "b"]
    delivered.last_event_id = "1:3"
    delivered.start_connection()
    ids, texts = ["1:0\n", "1:1\n", "1:2\n"][:count], ["a", "b", "b"][:count]
    again: Events = ("".join(ids), texts, [("output", "1:4", "c")])
    assert delivered.add_events(again) == ["c"]
    assert delivered.length == 4


def test_events_with_known_ids_are_dropped_after_a_reconnect() -> None:
    delivered = DeliveredText()
    delivered.start_connection()
    assert deliver(delivered, make_events("a", "b", "b", first_id=0)) == "abb"
    delivered.last_event_id = "1:2"
    delivered.start_connection()
    assert deliver(delivered, make_events("b", "c", first_id=2)) == "c"
    assert (delivered.length, delivered.connection_count) == (4, 2)


@pytest.mark.parametrize("event_id", ["1:0", None])
def test_only_new_events_move_the_position(event_id: str | None) -> None:
    delivered = DeliveredText()
    delivered.start_connection()
    deliver(delivered, [("output", event_id, "a")])
    delivered.last_event_id = event_id
    position = delivered.position
    delivered.start_connection()
    deliver(delivered, [("output", event_id, "a")])
    assert delivered.position == position
    deliver(delivered, [("output", event_id and "1:1", "b")])
    assert delivered.position > position


@pytest.mark.parametrize(
    "replay", [["abc", "d"], ["a", "b", "c", "d"], ["abcd"], ["ab", "cd"]], ids=str
)
def test_text_without_ids_is_dropped_if_it_repeats_the_delivered_text(replay: list[str]) -> None:
    delivered = DeliveredText()
    delivered.start_connection()
    assert deliver(delivered, make_events("ab", "c")) == "abc"
    delivered.start_connection()
    texts = [deliver(delivered, [event]) for event in make_events(*replay)]
    assert "".join(texts) == "d"


def test_text_without_ids_is_new_if_it_does_not_repeat_the_delivered_text() -> None:
    delivered = DeliveredText()
    delivered.start_connection()
    assert deliver(delivered, make_events("ab")) == "ab"
    delivered.start_connection()
    assert deliver(delivered, make_events("xy")) == "xy"
    assert delivered.get_remainder("ab and xy") is None
    assert delivered.get_remainder("abxy!") == "!"


def test_other_events_are_no_text() -> None:
    delivered = DeliveredText()
    events: list[Event] = [("logs", "1:0", "a line"), ("output", "1:1", "a")]
    assert delivered.add_events(("", [], events)) == ["a"]


def test_events_after_the_end_are_ignored() -> None:
    others: list[Event] = [("output", "1:1", "b"), ("done", "1:2", "{}"), ("output", "1:3", "c")]
    delivered = DeliveredText()
    assert delivered.add_events(("1:0\n", ["a"], others)) == ["a", "b"]
    assert delivered.end == StreamEnd("{}")


def test_an_error_event_ends_the_stream_as_its_done_event_would() -> None:
    events: list[Event] = [("error", "1:0", '{"detail": "boom"}')]
    delivered = DeliveredText()
    delivered.add_events(("", [], events))
    assert delivered.end == StreamEnd('{"reason": "error"}', '{"detail": "boom"}')

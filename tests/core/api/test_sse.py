"""The decoder against the examples of the standard, and against a parser of the whole text."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replicate_stream._api.sse import Decoder, Event, EventTooLargeError, list_events

NCHAN_EVENT = b"event: output\nid: 1707756341:%d\ndata: %s\n\n"


def decode(body: bytes, cuts: list[int] | None = None) -> list[Event]:
    decoder = Decoder()
    edges = [0, *sorted(cuts or []), len(body)]
    return [event for start, end in pairwise(edges) for event in feed(decoder, body[start:end])]


def feed(decoder: Decoder, chunk: bytes) -> list[Event]:
    return list_events(decoder.feed(chunk))


def get_texts(body: bytes) -> list[str]:
    return [data for _, _, data in decode(body)]


def decode_by_the_standard(body: bytes) -> list[Event]:
    """Decode a whole stream at once, in the steps of the standard."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = re.split("\r\n|\r|\n", text)[:-1]  # the last piece has no line end
    events: list[Event] = []
    data, name, event_id, has_data = "", "", None, False
    for line in lines:
        if line == "":
            if has_data:
                events.append((name or "message", event_id, data[:-1]))
            data, name, event_id, has_data = "", "", None, False
        elif not line.startswith(":"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data, has_data = data + value + "\n", True
            elif field == "id" and "\0" not in value:
                event_id = value
    return events


lines = st.one_of(
    st.sampled_from(
        [
            "event: output",
            "event: done",
            "event:",
            "id: 1:2",
            "id:",
            "id: a\0b",
            "data: ",
            "data:",
            "data",
            "data: x",
            "data:  y",
            "data: a: b",
            "data: \u2028\u0085é日本😀",
            ": hi",
            ":408: 408 Request Timeout",
            "retry: 3000",
            "unknown: field",
            "",
            "",
        ]
    ),
    st.text(max_size=6),
)
bodies = st.one_of(
    st.lists(st.tuples(lines, st.sampled_from(["\n", "\r\n", "\r"])), max_size=24).map(
        lambda pairs: "".join(line + end for line, end in pairs).encode()
    ),
    st.lists(st.text(alphabet="ab \n:é", max_size=5), max_size=8).map(
        lambda tokens: b"".join(
            b"event: output\nid: 1:%d\n" % i
            + b"".join(b"data: %s\n" % line.encode() for line in token.split("\n"))
            + b"\n"
            for i, token in enumerate(tokens)
        )
    ),
    st.binary(max_size=60),
)


@given(body=bodies, cuts=st.lists(st.integers(0, 400), max_size=12), bom=st.booleans())
@example(body=b"data: a\r\n\r\ndata: b\r\n\r\n", cuts=[8, 10, 11], bom=False)
@example(body=NCHAN_EVENT % (1, b"a") + b"\n" + NCHAN_EVENT % (2, b"data: b"), cuts=[], bom=False)
@example(body=NCHAN_EVENT % (1, b"a") + b"data: b\ndata: c\n\n", cuts=[], bom=False)
@example(body=NCHAN_EVENT % (1, b"a\ndata:b") + NCHAN_EVENT % (2, b"c"), cuts=[], bom=False)
@example(body=NCHAN_EVENT % (1, b"a") + b"event: done\nid: 2:0\ndata: {}\n\n", cuts=[], bom=False)
@example(body=NCHAN_EVENT % (1, b"a") + b"event: x\ndata: b\n\n", cuts=[], bom=False)
@example(body=b"id: 7\n\n" + NCHAN_EVENT % (1, b"x"), cuts=[], bom=True)
def test_any_bytes_in_any_chunks_yield_the_events_of_the_standard(
    body: bytes, cuts: list[int], bom: bool
) -> None:
    if bom:
        body = b"\xef\xbb\xbf" + body
    assert decode(body, [cut for cut in cuts if cut <= len(body)]) == decode_by_the_standard(body)


@given(body=bodies)
def test_single_bytes_yield_the_same_events_as_one_chunk(body: bytes) -> None:
    assert decode(body, list(range(len(body)))) == decode(body)


def test_the_first_example_of_the_standard_is_one_event_of_three_lines() -> None:
    assert get_texts(b"data: YHOO\ndata: +2\ndata: 10\n\n") == ["YHOO\n+2\n10"]


def test_the_example_of_the_standard_for_comments_ids_and_spaces() -> None:
    first = b": test stream\n\ndata: first event\nid: 1\n\n"
    assert decode(first + b"data:second event\nid\n\ndata:  third event\n\n") == [
        ("message", "1", "first event"),
        ("message", "", "second event"),
        ("message", None, " third event"),
    ]


def test_an_empty_output_is_an_event_and_a_comment_is_not() -> None:
    body = b": hi\n\nevent: output\nid: 1:0\ndata: \n\n: keep-alive\n\n"
    assert decode(body) == [("output", "1:0", "")]


def test_an_id_without_data_sets_the_last_event_id() -> None:
    decoder = Decoder()
    assert feed(decoder, b"id: 7:3\n\n") == []
    assert decoder.last_event_id == "7:3"
    assert feed(decoder, NCHAN_EVENT % (9, b"x")) == [("output", "1707756341:9", "x")]
    assert decoder.last_event_id == "1707756341:9"
    decoder.feed(b"data: no id of its own\n\n")
    assert decoder.last_event_id == "1707756341:9"


def test_an_incomplete_event_is_dropped() -> None:
    assert decode(b"event: output\nid: 1:0\ndata: half\n") == []


def test_unicode_line_separators_do_not_end_a_line() -> None:
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf"
    assert get_texts(f"data: {text}\n\n".encode()) == [text]


def test_the_last_comment_is_kept() -> None:
    decoder = Decoder()
    decoder.feed(b"retry: 2500\n:408: 408 Request Timeout\n\n")
    assert decoder.last_comment == "408: 408 Request Timeout"


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 99, b"data: xxxxxxxxx\n" * 7])
def test_an_event_above_the_limit_raises(chunk: bytes) -> None:
    decoder = Decoder(max_event_bytes=100)
    decoder.feed(chunk[:99])
    with pytest.raises(EventTooLargeError, match="100 bytes"):
        decoder.feed(chunk)


def test_the_limit_applies_to_each_event() -> None:
    decoder = Decoder(max_event_bytes=100)
    read = [feed(decoder, piece) for _ in range(50) for piece in (b"data: " + b"x" * 60, b"\n\n")]
    assert sum(map(len, read)) == 50


def test_a_large_event_in_small_chunks_is_decoded_in_linear_time() -> None:
    decoder = Decoder()
    decoder.feed(b"data: ")
    for _ in range(4000):
        assert len(feed(decoder, b"x" * 1000)) == 0
    assert [len(data) for _, _, data in feed(decoder, b"\n\n")] == [4_000_000]


def test_a_line_that_looks_like_many_events_is_decoded_in_linear_time() -> None:
    text = "event: " * 100_000
    decoder = Decoder()
    feed(decoder, b": comment\n\n")
    events = feed(decoder, f"event: output\nid: 1\ndata: {text}\ndata:\n\n".encode())
    assert events == [("output", "1", f"{text}\n")]


def test_complete_events_do_not_count_as_one_large_event() -> None:
    decoder = Decoder(max_event_bytes=100)
    body = b"data: to\ndata: ken\n\ndata:\n"
    events = [event for _ in range(50) for event in feed(decoder, body)]
    assert [data for _, _, data in events] == ["to\nken", *["\nto\nken"] * 49]

"""Stop sequences in a stream: exact, however the text is split."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicate_stream._response.stop import StopFilter

TEXTS = st.text(alphabet="abc\n", max_size=24)
STOPS = st.lists(st.text(alphabet="abc\n", min_size=1, max_size=4), max_size=4)


def cut(pieces: Iterable[str], stops: list[str]) -> tuple[str, bool]:
    cutter = StopFilter(stops)
    out = "".join(cutter.feed(piece)[0] for piece in pieces)
    return out + cutter.flush(), cutter.stopped


def expected(text: str, stops: list[str]) -> tuple[str, bool]:
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


@given(text=TEXTS, stops=STOPS, cuts=st.lists(st.integers(0, 24), max_size=6))
def test_any_chunking_cuts_at_the_leftmost_stop(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    edges = sorted({0, len(text), *(min(c, len(text)) for c in cuts)})
    pieces = [text[a:b] for a, b in pairwise(edges)]
    assert cut(pieces, stops) == expected(text, stops)


@given(text=TEXTS, stops=STOPS)
def test_no_more_is_held_back_than_could_begin_a_stop(text: str, stops: list[str]) -> None:
    cutter = StopFilter(stops)
    delivered = ""
    for at, character in enumerate(text, 1):
        piece, stopped = cutter.feed(character)
        delivered += piece
        if stopped:
            return
        held = text[len(delivered) : at]
        assert not held or any(stop.startswith(held[:1]) for stop in stops)
        assert len(held) < max(map(len, stops), default=1)


@pytest.mark.parametrize("pieces", [["one STOP two"], ["one ST", "OP two"], [*"one STOP two"]])
def test_nothing_of_a_stop_text_is_delivered(pieces: list[str]) -> None:
    assert cut(pieces, ["STOP"]) == ("one ", True)


def test_a_met_stop_is_told_at_once_and_ends_the_text() -> None:
    cutter = StopFilter(["\n\n"])
    assert cutter.feed("a\n") == ("a", False)
    assert cutter.feed("\nb") == ("", True)
    assert cutter.feed("more") == ("", True)
    assert cutter.flush() == ""


def test_the_beginning_of_a_stop_is_delivered_when_it_comes_to_nothing() -> None:
    cutter = StopFilter(["<end>"])
    assert cutter.feed("1 <en") == ("1 ", False)
    assert cutter.feed("try>") == ("<entry>", False)
    assert cutter.feed("<e") == ("", False)
    assert cutter.flush() == "<e"
    assert not cutter.stopped


def test_a_longer_stop_that_begins_earlier_wins() -> None:
    cutter = StopFilter(["abcd", "bc"])
    assert cutter.feed("xabc") == ("x", False)
    assert cutter.feed("d") == ("", True)

"""Stop sequences are cut exactly, the same for every chunking."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicate_stream._response.stop import StopFilter

TEXTS = st.text(alphabet="abc\n", max_size=24)
STOPS = st.lists(st.text(alphabet="abc\n", min_size=1, max_size=4), max_size=4)


def apply(pieces: Iterable[str], stops: list[str]) -> tuple[str, bool]:
    """The text that passes a filter, and whether a stop sequence was found."""
    stop = StopFilter(stops)
    text = "".join(stop.feed(piece) for piece in pieces)
    return text + stop.flush(), stop.is_stopped


def expected(text: str, stops: list[str]) -> tuple[str, bool]:
    starts = [start for stop in stops if (start := text.find(stop)) >= 0]
    return (text[: min(starts)], True) if starts else (text, False)


@given(text=TEXTS, stops=STOPS, cuts=st.lists(st.integers(0, 24), max_size=6))
def test_any_chunking_is_cut_at_the_leftmost_stop_sequence(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    edges = sorted({0, len(text), *(min(c, len(text)) for c in cuts)})
    pieces = [text[a:b] for a, b in pairwise(edges)]
    assert apply(pieces, stops) == expected(text, stops)


@given(text=TEXTS, stops=STOPS)
def test_only_a_possible_beginning_of_a_stop_sequence_is_held_back(
    text: str, stops: list[str]
) -> None:
    stop = StopFilter(stops)
    emitted = ""
    for end, character in enumerate(text, 1):
        emitted += stop.feed(character)
        if stop.is_stopped:
            return
        pending = text[len(emitted) : end]
        assert not pending or any(each.startswith(pending[:1]) for each in stops)
        assert len(pending) < max(map(len, stops), default=1)


@pytest.mark.parametrize("pieces", [["one STOP two"], ["one ST", "OP two"], [*"one STOP two"]])
def test_no_part_of_a_stop_sequence_is_emitted(pieces: list[str]) -> None:
    assert apply(pieces, ["STOP"]) == ("one ", True)


def test_a_complete_stop_sequence_ends_the_text_at_once() -> None:
    stop = StopFilter(["\n\n"])
    assert (stop.feed("a\n"), stop.is_stopped) == ("a", False)
    assert (stop.feed("\nb"), stop.is_stopped) == ("", True)
    assert (stop.feed("more"), stop.is_stopped) == ("", True)
    assert stop.flush() == ""


def test_a_beginning_that_does_not_become_a_stop_sequence_is_emitted() -> None:
    stop = StopFilter(["<end>"])
    assert stop.feed("1 <en") == "1 "
    assert stop.feed("try>") == "<entry>"
    assert stop.feed("<e") == ""
    assert stop.flush() == "<e"
    assert not stop.is_stopped


def test_of_overlapping_stop_sequences_the_one_that_begins_first_counts() -> None:
    stop = StopFilter(["abcd", "bc"])
    assert (stop.feed("xabc"), stop.is_stopped) == ("x", False)
    assert (stop.feed("d"), stop.is_stopped) == ("", True)

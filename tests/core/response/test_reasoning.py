"""Reasoning is split from the answer, the same for every chunking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replicate_stream._model.families import TABLES
from replicate_stream._response.parser import AnswerParser
from replicate_stream._response.reasoning import ReasoningSplitter
from replicate_stream._types.messages import ReasoningDelta, StreamEvent, TextDelta
from replicate_stream._types.request import ExpectedAnswer


def split(pieces: Iterable[str]) -> tuple[str, str]:
    """The reasoning and the text of a stream."""
    splitter = ReasoningSplitter()
    out = [piece for text in pieces for piece in splitter.feed(text)] + splitter.flush()
    assert all(text for _, text in out), "no empty pieces"
    return (
        "".join(text for kind, text in out if kind == "reasoning"),
        "".join(text for kind, text in out if kind == "text"),
    )


@pytest.mark.parametrize(("opening", "closing"), TABLES.thinking_tags)
def test_text_between_the_tags_is_reasoning(opening: str, closing: str) -> None:
    assert split([f"{opening}I wonder{closing}42"]) == ("I wonder", "42")


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>\na\n</think>\n\nb", "\na\n", "\n\nb"),
        ("\n <think>a</think>b", "\n a", "b"),
        ("<think></think>b", "", "b"),
        ("<think>never closed", "never closed", ""),
        ("<think>a </thin </think>b", "a </thin ", "b"),
        ("<think>a</thinking></think>b", "a</thinking>", "b"),
        ("Use <think> tags</think>", "", "Use <think> tags</think>"),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
        ("<thin", "", "<thin"),
        ("  \n", "", "  \n"),
        ("<b>bold</b>", "", "<b>bold</b>"),
        ("", "", ""),
    ],
)
def test_a_block_counts_only_at_the_start(text: str, reasoning: str, answer: str) -> None:
    assert split([text]) == (reasoning, answer)
    assert split(text) == (reasoning, answer)


PIECES = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<thi", "nk>", "</", "think", ">", " ", "\n", "a", "[THINK]", "<"]
    ),
    max_size=10,
)


@given(text=PIECES.map("".join), cuts=st.lists(st.integers(0, 60), max_size=8))
@example(text="<think>a</think>b", cuts=[3, 9, 12])
def test_every_chunking_has_the_same_result(text: str, cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    chunks = [text[a:b] for a, b in pairwise(edges)]
    assert split(chunks) == split([text])


def test_an_answer_without_reasoning_is_emitted_at_once() -> None:
    splitter = ReasoningSplitter()
    assert splitter.feed("The") == [("text", "The")]
    assert splitter.is_done
    assert splitter.feed(" <think>") == [("text", " <think>")]


def parse(texts: Sequence[str], stop: Sequence[str] = ()) -> tuple[list[StreamEvent], bool]:
    parser = AnswerParser(stop, ExpectedAnswer(), str)
    events = [event for text in texts for event in parser.feed([text])]
    return [*events, *parser.flush()], parser.is_stopped


def test_reasoning_has_its_own_events() -> None:
    events, _ = parse(["<think>", "hm", "</think>", "", "yes", "!"])
    assert events == [ReasoningDelta("hm"), TextDelta("yes"), TextDelta("!")]


def test_a_stop_sequence_in_the_reasoning_does_not_count() -> None:
    events, is_stopped = parse(["<think>a\n\nb</think>c", "\n", "\nd"], stop=["\n\n"])
    assert events == [ReasoningDelta("a\n\nb"), TextDelta("c")]
    assert is_stopped


def test_pending_text_is_emitted_at_the_end() -> None:
    assert parse(["<thi"])[0] == [TextDelta("<thi")]
    assert parse(["a<en"], stop=["<end>"])[0] == [TextDelta("a"), TextDelta("<en")]
    assert parse(["<think>a</thi"])[0] == [ReasoningDelta("a"), ReasoningDelta("</thi")]

"""Reasoning is split from the answer, the same for every chunking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replicate_stream._model.families import TABLES
from replicate_stream._response.check import AnswerCheck
from replicate_stream._response.completion import CompletionBuilder
from replicate_stream._response.parser import AnswerParser, BufferedAnswerParser
from replicate_stream._response.reasoning import Piece, ReasoningSplitter
from replicate_stream._types.messages import ReasoningDelta, StreamEvent, TextDelta
from replicate_stream._types.request import ExpectedAnswer
from replicate_stream._types.response_format import parse_response_format
from replicate_stream._types.tool_choice import parse_tool_choice


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


# --- reasoning that the prompt has opened --------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_an_answer_that_begins_inside_its_reasoning_only_closes_it(size: int) -> None:
    text = "Hm, <b>.\n</think>\n\nParis"
    splitter = ReasoningSplitter("<think>")
    pieces = [p for at in range(0, len(text), size) for p in splitter.feed(text[at : at + size])]
    assert join([*pieces, *splitter.flush()], "reasoning") == "Hm, <b>.\n"
    assert join(pieces, "text") == "\n\nParis"


def test_a_model_may_write_the_opening_tag_all_the_same() -> None:
    splitter = ReasoningSplitter("<think>")
    pieces = [*splitter.feed("<think>Hm.</think>Paris"), *splitter.flush()]
    assert pieces == [("reasoning", "Hm."), ("text", "Paris")]


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_an_answer_that_begins_with_a_call_has_no_reasoning(size: int) -> None:
    splitter = ReasoningSplitter("<think>", ("<tool_call>",))
    text = "\n<tool_call>{}</tool_call>"
    pieces = [p for at in range(0, len(text), size) for p in splitter.feed(text[at : at + size])]
    assert (join(pieces, "reasoning"), join(pieces, "text")) == ("", text)
    splitter = ReasoningSplitter("<think>", ("<tool_call>",))
    assert splitter.feed("Or <tool_call>")[0] == ("reasoning", "Or <tool_call>")


def test_a_call_at_the_start_is_read_although_the_reasoning_is_open() -> None:
    tools = parse_tool_choice([{"name": "f"}], None, None)
    call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    assert complete(call, tools=tools, reasoning_tag="<think>") == ("", "", 1)


def complete(text: str, **options: Any) -> tuple[str, str, int]:
    """The reasoning, the text and the number of calls of a whole answer."""
    parser, builder = BufferedAnswerParser((), ExpectedAnswer(**options), str), CompletionBuilder()
    assert [*parser.feed([text])] == []
    reasoning = ""
    for event in parser.flush():
        builder.add(event)
        reasoning += event.text if isinstance(event, ReasoningDelta) else ""
    return reasoning, builder.text, len(builder.tool_calls)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_reasoning_that_nothing_opens_or_closes_is_text_up_to_a_stop_sequence(size: int) -> None:
    text = 'It is sunny. {"name": "f"} END `<tool_call>`'
    tools = parse_tool_choice([{"name": "f"}], None, None)
    expected = ExpectedAnswer(tools=tools, reasoning_tag="<think>")
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    stream, whole = (
        create((" END",), expected, str) for create in (AnswerParser, BufferedAnswerParser)
    )
    events = [event for piece in pieces for event in stream.feed([piece])]
    # A stream cannot know that no tag will come, and delivers it as reasoning first.
    assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == text
    answer = [TextDelta('It is sunny. {"name": "f"}')]
    assert [*stream.flush()] == answer
    assert [event for piece in pieces for event in whole.feed([piece])] == []
    assert [*whole.flush()] == answer
    assert (stream.missing, whole.missing) == (None, None)


HIDDEN = 'I look.\n<tool_call>{"name": "f", "arguments": {}}</tool_call>'


@pytest.mark.parametrize("create", [AnswerParser, BufferedAnswerParser])
def test_a_call_in_reasoning_that_nothing_closes_is_not_made_but_asked_for_again(
    create: type[AnswerParser],
) -> None:
    expected = ExpectedAnswer(
        tools=parse_tool_choice([{"name": "f"}], None, None), reasoning_tag="<think>"
    )
    for has_left in (True, False):
        parser, check = create((), expected, str), AnswerCheck(expected)
        events = [*check.add(parser.feed([HIDDEN])), *(rest := parser.flush())]
        assert events == [ReasoningDelta(HIDDEN)]
        closed = check.close(rest, has_repairs_left=has_left, missing=parser.missing)
        assert closed == ([] if has_left else rest)
        assert (check.is_repairable, check.is_accepted) == (has_left, not has_left)
        assert check.problem == "its call of a tool stands in reasoning that has no end"
        (request,) = check.build_repair_messages()
        assert "Write the call again" in str(request.content)
        assert "I look" not in str(request.content)


@pytest.mark.parametrize("is_cut_off", [True, False])
def test_a_call_in_reasoning_that_the_limit_cut_off_is_not_asked_for_again(
    is_cut_off: bool,
) -> None:
    tools = parse_tool_choice([{"name": "f"}], None, None)
    parser = AnswerParser((), ExpectedAnswer(tools=tools, reasoning_tag="<think>"), str)
    parser.feed([HIDDEN])
    parser.flush(is_cut_off=is_cut_off)
    assert parser.missing == (None if is_cut_off else "call")


@pytest.mark.parametrize("text", ["<think>Hm.", "<think>Hm.</think>", "Hm.</think>", "", "Hm."])
def test_reasoning_that_shows_to_be_any_is_no_text(text: str) -> None:
    is_cut_off = text == "Hm."
    for create in (AnswerParser, BufferedAnswerParser):
        parser = create((), ExpectedAnswer(reasoning_tag="<think>"), str)
        events = [*parser.feed([text]), *parser.flush(is_cut_off=is_cut_off)]
        assert not [event for event in events if isinstance(event, TextDelta)]


def test_in_a_whole_answer_what_stands_before_an_unopened_tag_is_reasoning() -> None:
    assert complete("Hm.\n</think>\n\nParis") == ("Hm.\n", "\n\nParis", 0)


@pytest.mark.parametrize(
    "text",
    [
        "The tag </think> ends it.",
        "Write `\n</think>` here",
        "<think>Hm.</think> Then <think>\n</think>",
        "A line: `</think>`\n",
        "A template:\n```\n{thoughts}\n</think>\n```\n",
    ],
)
def test_a_whole_answer_may_mention_the_tag(text: str) -> None:
    _, answer, _ = complete(text)
    assert "</think>" in answer


def test_calls_and_json_are_never_taken_out_of_reasoning() -> None:
    tools = parse_tool_choice([{"name": "f"}], None, None)
    call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    thoughts = f"I could write\n{call}\n"
    assert complete(f"{thoughts}</think>\nNo.", tools=tools) == (thoughts, "\nNo.", 0)
    response_format = parse_response_format({"type": "json_object"})
    text = 'Maybe {"a": 1}?\n</think>\n{"a": 2}'
    assert complete(text, response_format=response_format)[1] == '{"a": 2}'


# --- the channels of gpt-oss ---------------------------------------------------------------------

HARMONY = (
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>"
    "I look.<|end|><|start|>assistant<|channel|>analysis<|message|> More.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>It is <sunny>.<|return|>"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_channels_of_an_answer_are_reasoning_and_text(size: int) -> None:
    splitter = ReasoningSplitter()
    pieces = [
        piece
        for at in range(0, len(HARMONY), size)
        for piece in splitter.feed(HARMONY[at : at + size])
    ]
    pieces += splitter.flush()
    assert join(pieces, "reasoning") == "Hm. More."
    assert join(pieces, "text") == "I look.It is <sunny>."


def test_an_answer_that_breaks_off_in_a_channel_shows_no_mark() -> None:
    for end in range(len("<|channel|>"), len(HARMONY)):
        splitter = ReasoningSplitter()
        pieces = [*splitter.feed(HARMONY[:end]), *splitter.flush()]
        assert "<|channel|>" not in join(pieces, "text") + join(pieces, "reasoning")


def join(pieces: list[Piece], kind: str) -> str:
    return "".join(text for each, text in pieces if each == kind)

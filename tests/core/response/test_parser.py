"""The parser of answers: the same events for every chunking, whatever the request expects."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replicate_stream import StreamEvent, ToolCallDelta
from replicate_stream._response.check import find_problem
from replicate_stream._response.completion import CompletionBuilder, merge_deltas
from replicate_stream._response.parser import AnswerParser, MergingAnswerParser
from replicate_stream._types.request import ExpectedAnswer
from replicate_stream._types.response_format import parse_response_format
from replicate_stream._types.tool_choice import parse_tool_choice
from tests.work import count_calls


def expect_tools(
    choice: str | None = None, *, parallel: bool | None = None, **options: Any
) -> ExpectedAnswer:
    return ExpectedAnswer(tools=parse_tool_choice([{"name": "write"}], choice, parallel), **options)


LLAMA = ("LlamaToolFormat",)
HERMES, MISTRAL = '<tool_call>\n{"name": "write", "arguments":', '[TOOL_CALLS] [{"name":'
OBJECT, LIST = (
    parse_response_format({"type": "json_object"}),
    parse_response_format({"type": "array"}),
)
EXPECTED = {
    "text": ExpectedAnswer(),
    "an object": ExpectedAnswer(response_format=OBJECT),
    "a list": ExpectedAnswer(response_format=LIST),
    "tools": expect_tools(),
    "a call": expect_tools("required"),
    "one call of a bare format": expect_tools(parallel=False, tool_formats=LLAMA),
    "the named call, prefixed": expect_tools("write", prefix=HERMES),
    "a call, prefixed": expect_tools("required", prefix=MISTRAL),
    "a bare call, prefixed": expect_tools("required", tool_formats=LLAMA, prefix='{"name":'),
    "tools or an object": expect_tools(response_format=OBJECT),
}
BAR, LOW = "\uff5c", "\u2581"
BITS = [
    *("{", "}", "[", "]", '"a"', ": ", ", ", "1", "-.5", "True", "null", '"', "'", "\\", '\\"'),
    *('"name"', '"write"', '"arguments"', '"parameters"', '"id": 1', '"type": "function"'),
    *('{"a": 1}', '{"name": "write", "arguments": {"a": "b"}}', '{"name": "write", "arguments": {'),
    *("<tool_call>", "</tool_call>", "<too", "l_call>", "<|tool_call|>", "<|python_tag|>", ";"),
    *("<function=write>", "</function>", "[TOOL_CALLS]", "write", "[ARGS]", "[CALL_ID]"),
    *(f"<{BAR}tool{LOW}call{LOW}{at}{BAR}>" for at in ("begin", "end")),
    *(f"<{BAR}tool{LOW}sep{BAR}>", "<tool_response>", "```json\n", "```", "`", "<think>"),
    *("</think>", "\n", " ", "words ", "x", "\u00e9", "\\u00e9", "\u2028"),
]


def parse(pieces: Iterable[str], expected: ExpectedAnswer, stop: Sequence[str] = ()) -> list[Any]:
    """Everything that is known of an answer at its end, with adjacent deltas joined."""
    parser, builder = AnswerParser(stop, expected, lambda: "call_1"), CompletionBuilder()
    events: list[StreamEvent] = []
    for piece in pieces:
        events += parser.feed([piece])
        if parser.is_stopped:
            break
    events += parser.flush()
    for event in events:
        builder.add(event)
    text, calls = builder.text, builder.tool_calls
    order = [key for key, _ in itertools.groupby(events, _get_kind)]
    problem = find_problem(expected, text, calls)
    return [order, text, calls, problem, parser.is_stopped, parser.has_calls]


def _get_kind(event: StreamEvent) -> str | int:
    return event.index if isinstance(event, ToolCallDelta) else type(event).__name__


NAMES = st.sampled_from(sorted(EXPECTED))
STOPS = st.sampled_from([(), (), ("x",), ("}\n", "\n{")])
TEXTS = st.lists(st.sampled_from(BITS), max_size=12).map("".join)
PLACES = st.lists(st.integers(0, 100), max_size=8)


# Answers that once had other events in pieces, or raised an error.
@example("a bare call, prefixed", (), "{'<function=write></think>", [])
@example("a bare call, prefixed", ("x",), '"a""a"\n {"name": "write", "arguments": {"a": "x"}}', [])
@example("a bare call, prefixed", (), "}<|tool_call|>{[TOOL_CALLS]</tool_call>", [28])
@example("a call", (), '<function=write>["a\\</function>', [])
@example("a call", (), "Well: so <tool_call>{}</tool_call>", [6])
@example("one call of a bare format", (), '{"name": "write", "arguments": {}, "a": 1}', [])
@example("an object", (), '{"a": 1}``` ``', [])
@example("an object", (), '{"a": 1}``` ``', [7])
@example("an object", (), '{"a": 1\u2028-', [])
@example("the named call, prefixed", (), 'a<tool_call>{"a": 1}words', [])
@example("an object", ("x",), 'a {"name": "x"} words', [])
@example("tools or an object", ("x",), '{"a": 1}```<function=write>words x{', [])
@given(NAMES, STOPS, TEXTS, PLACES)
def test_any_chunking_of_any_answer_has_the_same_events(
    name: str, stop: tuple[str, ...], text: str, places: list[int]
) -> None:
    cuts = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(cuts)]
    whole = parse([text], EXPECTED[name], stop)
    assert parse(pieces, EXPECTED[name], stop) == whole
    assert parse(text, EXPECTED[name], stop) == whole


@given(NAMES, STOPS, TEXTS, PLACES)
def test_joining_what_has_arrived_merges_the_events_and_nothing_else(
    name: str, stop: tuple[str, ...], text: str, places: list[int]
) -> None:
    cuts = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    batches = [text[a:b] for a, b in itertools.pairwise(cuts)]
    single = AnswerParser(stop, EXPECTED[name], lambda: "call_1")
    joined = MergingAnswerParser(stop, EXPECTED[name], lambda: "call_1")
    events: list[list[StreamEvent]] = [[], []]
    for batch in batches:
        events[0] += single.feed(list(batch))
        new = joined.feed(list(batch))
        assert merge_deltas(new) == new
        events[1] += new
        assert joined.is_stopped == single.is_stopped
        if joined.is_stopped:
            break
    events[0] += single.flush()
    events[1] += joined.flush()
    assert merge_deltas(events[1]) == merge_deltas(events[0])


@pytest.mark.parametrize("value", ["12", "true", "null", '"x"', "-1.5e3"])
def test_a_call_without_marks_may_have_an_id_of_any_kind(value: str) -> None:
    text = f'{{"id": {value}, "name": "write", "arguments": {{"a": 1}}}}'
    order, answer, calls, *_ = parse(text, EXPECTED["tools"])
    assert (order, answer) == ([0], "")
    assert [(call.name, call.arguments) for call in calls] == [("write", {"a": 1})]


def test_words_behind_json_keep_an_end_that_looks_like_a_stop_sequence() -> None:
    _, text, _, problem, is_stopped, _ = parse(
        '{"a": 1} That is it.', EXPECTED["an object"], ["}x"]
    )
    assert (text, problem, is_stopped) == ('{"a": 1}', None, True)


def test_json_that_a_stop_sequence_cuts_is_checked_without_the_rest() -> None:
    _, text, _, problem, *_ = parse(['{"a": "x"}'], EXPECTED["an object"], ["x"])
    assert text == '{"a": "'
    assert problem is not None
    assert "breaks off" in problem


def test_a_call_behind_a_stop_sequence_does_not_count() -> None:
    text = 'words x <tool_call>{"name": "write", "arguments": {}}</tool_call>'
    order, answer, calls, problem, is_stopped, has_calls = parse([text], EXPECTED["a call"], ["x"])
    assert (order, answer, calls, is_stopped, has_calls) == (
        ["TextDelta"],
        "words ",
        (),
        True,
        False,
    )
    assert problem == "it calls no tool, and one had to be called"


def test_a_call_of_another_tool_is_found_with_stop_sequences_too() -> None:
    text = '<tool_call>{"name": "read", "arguments": {}}</tool_call>'
    expected = EXPECTED["the named call, prefixed"]
    assert parse([text], expected, ["never"]) == parse([text], expected)
    assert parse([text], expected)[3] == "it calls another tool than write, which had to be called"


def test_an_answer_without_tools_and_format_loads_no_code_of_theirs() -> None:
    program = """
import sys
from replicate_stream._response.parser import AnswerParser, MergingAnswerParser
from replicate_stream._types.request import ExpectedAnswer

parser = AnswerParser(["stop"], ExpectedAnswer(), str)
assert [*parser.feed(["<think>a</think>", "<tool_call>{}"]), *parser.flush()]
modules = ("tool_", "json_", "check")
loaded = [name for name in sys.modules if name.startswith("replicate_stream._response.")]
sys.exit(any(name.rpartition(".")[2].startswith(modules) for name in loaded))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# What may stand before many characters of no meaning, and those: what is held is read once.
ENDLESS = {
    "blanks before the text": ("tools", "", " "),
    "blanks behind a prefix": ("a call, prefixed", "", " "),
    "blanks behind a call": ("tools", '<tool_call>{"name": "write", "arguments": {}}', " "),
    "blanks behind its mark": (
        "tools",
        '<tool_call>{"name": "write", "arguments": {}}</tool_call>',
        "\n",
    ),
    "blanks behind a separator": ("tools", '<tool_call>{"name": "write"};', " "),
    "blanks in a call": ("tools", '<tool_call>{"name": "write", "arguments":', " "),
    "blanks in a fence": ("tools", "```json\n", " "),
    "text behind a broken call": ("tools", '<tool_call>{"name": oops', "x"),
    "keys before a name": ("tools", "<tool_call>{", '"a": 1, '),
    "keys of arguments": ("tools", '<tool_call>{"name": "write", "arguments": {', '"a": 1, '),
    "keys of a bare call": ("tools", "{", '"id": 1, '),
}


@pytest.mark.parametrize("shape", ENDLESS)
def test_the_work_grows_with_the_length_of_an_answer(shape: str) -> None:
    name, start, token = ENDLESS[shape]

    def count(size: int) -> int:
        return count_calls(lambda: parse([start, *[token] * size], EXPECTED[name]))

    count(1)  # imports what this shape needs
    assert count(4000) < 5 * count(1000)


@pytest.mark.parametrize("blanks", ["", " ", "\n\n", " " * 9, "\t \n"])
@pytest.mark.parametrize("name", ["text", "tools", "a call", "one call of a bare format"])
def test_blanks_before_a_text_are_part_of_it(name: str, blanks: str) -> None:
    for pieces in ([f"{blanks}Hi there."], f"{blanks}Hi there."):
        assert parse(pieces, EXPECTED[name])[1] == f"{blanks}Hi there."

"""Whatever an answer is read for, and however it is split: the events add up to the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replicate_stream import StreamEvent, ToolCallDelta
from replicate_stream._response.check import find_problem
from replicate_stream._response.completion import CompletionBuilder
from replicate_stream._response.parser import AnswerParser
from replicate_stream._types.prepared import ExpectedAnswer
from replicate_stream._types.response_format import parse_response_format
from replicate_stream._types.tool_choice import parse_tool_choice


def offered(
    choice: str | None = None, *, parallel: bool | None = None, **how: Any
) -> ExpectedAnswer:
    return ExpectedAnswer(tools=parse_tool_choice([{"name": "write"}], choice, parallel), **how)


HERMES, MISTRAL = '<tool_call>\n{"name": "write", "arguments":', '[TOOL_CALLS] [{"name":'
OBJECT, LIST = (
    parse_response_format({"type": "json_object"}),
    parse_response_format({"type": "array"}),
)
READINGS = {
    "text": ExpectedAnswer(),
    "an object": ExpectedAnswer(form=OBJECT),
    "a list": ExpectedAnswer(form=LIST),
    "tools": offered(),
    "a call": offered("required"),
    "one call of a bare dialect": offered(parallel=False, is_bare=True),
    "the named call, begun": offered("write", prefix=HERMES),
    "a call, begun": offered("required", prefix=MISTRAL),
    "a bare call, begun": offered("required", is_bare=True, prefix='{"name":'),
    "tools or an object": offered(form=OBJECT),
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


def read(pieces: Iterable[str], reading: ExpectedAnswer, stop: Sequence[str] = ()) -> list[Any]:
    """All that is told of an answer, neighbouring pieces joined, and what is wrong with it."""
    answer, collector = AnswerParser(stop, reading, lambda: "call_1"), CompletionBuilder()
    told: list[StreamEvent] = []
    for piece in pieces:
        told += answer.feed([piece])
        if answer.is_stopped:
            break
    told += answer.flush()
    for event in told:
        collector.add(event)
    text, calls = collector.text, collector.tool_calls
    order = [key for key, _ in itertools.groupby(told, _what)]
    problem = find_problem(reading, text, calls)
    return [order, text, calls, problem, answer.is_stopped, answer.has_calls]


def _what(event: StreamEvent) -> str | int:
    return event.index if isinstance(event, ToolCallDelta) else type(event).__name__


NAMES = st.sampled_from(sorted(READINGS))
STOPS = st.sampled_from([(), (), ("x",), ("}\n", "\n{")])
TEXTS = st.lists(st.sampled_from(BITS), max_size=12).map("".join)
PLACES = st.lists(st.integers(0, 100), max_size=8)


# What once told something else in pieces, or raised an error.
@example("a bare call, begun", (), "{'<function=write></think>", [])
@example("a bare call, begun", ("x",), '"a""a"\n {"name": "write", "arguments": {"a": "x"}}', [])
@example("a call", (), '<function=write>["a\\</function>', [])
@example("a call", (), "Well: so <tool_call>{}</tool_call>", [6])
@example("one call of a bare dialect", (), '{"name": "write", "arguments": {}, "a": 1}', [])
@example("an object", (), '{"a": 1}``` ``', [])
@example("an object", (), '{"a": 1}``` ``', [7])
@example("an object", (), '{"a": 1\u2028-', [])
@example("the named call, begun", (), 'a<tool_call>{"a": 1}words', [])
@example("an object", ("x",), 'a {"name": "x"} words', [])
@example("tools or an object", ("x",), '{"a": 1}```<function=write>words x{', [])
@given(NAMES, STOPS, TEXTS, PLACES)
def test_any_pieces_of_any_answer_tell_the_same(
    name: str, stop: tuple[str, ...], text: str, places: list[int]
) -> None:
    cuts = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(cuts)]
    whole = read([text], READINGS[name], stop)
    assert read(pieces, READINGS[name], stop) == whole
    assert read(text, READINGS[name], stop) == whole


@pytest.mark.parametrize("value", ["12", "true", "null", '"x"', "-1.5e3"])
def test_a_call_without_marks_may_have_an_id_of_any_kind(value: str) -> None:
    text = f'{{"id": {value}, "name": "write", "arguments": {{"a": 1}}}}'
    order, said, calls, *_ = read(text, READINGS["tools"])
    assert (order, said) == ([0], "")
    assert [(call.name, call.arguments) for call in calls] == [("write", {"a": 1})]


def test_words_behind_json_take_nothing_of_it_that_may_have_become_a_stop_sequence() -> None:
    _, text, _, problem, is_stopped, _ = read('{"a": 1} That is it.', READINGS["an object"], ["}x"])
    assert (text, problem, is_stopped) == ('{"a": 1}', None, True)


def test_json_that_a_stop_sequence_cuts_is_judged_by_what_is_left_of_it() -> None:
    _, text, _, problem, *_ = read(['{"a": "x"}'], READINGS["an object"], ["x"])
    assert text == '{"a": "'
    assert problem is not None
    assert "breaks off" in problem


def test_a_call_behind_a_stop_sequence_was_never_made() -> None:
    text = 'words x <tool_call>{"name": "write", "arguments": {}}</tool_call>'
    order, said, calls, problem, is_stopped, has_calls = read([text], READINGS["a call"], ["x"])
    assert (order, said, calls, is_stopped, has_calls) == (["TextDelta"], "words ", (), True, False)
    assert problem == "it calls no tool, and one had to be called"


def test_what_is_another_tools_call_is_told_with_stop_sequences_too() -> None:
    text = '<tool_call>{"name": "read", "arguments": {}}</tool_call>'
    reading = READINGS["the named call, begun"]
    assert read([text], reading, ["never"]) == read([text], reading)
    assert read([text], reading)[3] == "it calls another tool than write, which had to be called"

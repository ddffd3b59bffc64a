"""Whatever a model answers: the same events in any pieces, and a verdict, or an error."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from replicate_stream import Finished, Prediction, StreamEvent, ToolCallDelta
from replicate_stream._model.families import TABLES
from replicate_stream._response.check import AnswerCheck
from replicate_stream._response.completion import CompletionBuilder
from replicate_stream._response.parser import AnswerParser, BufferedAnswerParser
from replicate_stream._types.request import ExpectedAnswer
from replicate_stream._types.response_format import parse_response_format
from replicate_stream._types.tool_choice import parse_tool_choice
from tests.reliability.fuzzing import SCHEMA_KEYS, TEXT, fuzz, json_values, only_our_errors

pytestmark = pytest.mark.timeout(0)  # the length of a run is the profile's

TOOL = {"name": "write", "parameters": {"properties": {"a": {"type": "string"}}}}
OBJECT = parse_response_format({"type": "object", "properties": {"a": {"type": "integer"}}})
PREFIX = '<tool_call>\n{"name": "write", "arguments":'
OF_TOOLS = [
    ExpectedAnswer(tools=parse_tool_choice([TOOL], choice, parallel), tool_formats=(name,))
    for name in sorted(TABLES.tool_formats)
    for choice, parallel in ((None, None), ("required", False))
]
EXPECTED = [
    ExpectedAnswer(),
    ExpectedAnswer(reasoning_tag="<think>"),
    ExpectedAnswer(response_format=OBJECT),
    ExpectedAnswer(tools=parse_tool_choice([TOOL], "write", None), prefix=PREFIX),
    ExpectedAnswer(tools=parse_tool_choice([TOOL], None, None), response_format=OBJECT),
    *OF_TOOLS,
]
MARKS = sorted(
    {
        text
        for tool_format in TABLES.tool_formats.values()
        for mark in tool_format.call_marks
        for text in (mark.opening, *mark.closings)
    }
    | {tag for pair in TABLES.thinking_tags for tag in pair}
)
CALLS = st.builds(lambda a: json.dumps({"name": "write", "arguments": a}), json_values(SCHEMA_KEYS))
BITS = st.one_of(
    st.sampled_from(MARKS),
    st.builds(lambda mark, cut: mark[:cut], st.sampled_from(MARKS), st.integers(1, 12)),
    st.sampled_from([*'{}[]":,`\\\n ', "```json", "write", "[ARGS]", "write(", ")", "<", "</"]),
    CALLS,
    json_values(SCHEMA_KEYS).map(json.dumps),
    TEXT,
    st.sampled_from(["{" * 400, "[" * 5000, '{"a":' * 3000, "1" * 400, '"\\ud800"']),
)
ANSWERS = st.lists(BITS, max_size=8).map("".join)


def parse(pieces: Sequence[str], expected: ExpectedAnswer, stop: Sequence[str]) -> list[Any]:
    """The events of an answer, with adjacent deltas joined."""
    parser, events = AnswerParser(stop, expected, lambda: "call_1"), list[StreamEvent]()
    for piece in pieces:
        events += parser.feed([piece])
        if parser.is_stopped:
            break
    return [*join([*events, *parser.flush()]), parser.is_stopped, parser.has_calls]


def join(events: Sequence[StreamEvent]) -> list[Any]:
    builder = CompletionBuilder()
    for event in events:
        builder.add(event)
    order = [key for key, _ in itertools.groupby(events, _get_kind)]
    return [order, builder.text, builder.tool_calls]


def _get_kind(event: StreamEvent) -> str | int:
    return event.index if isinstance(event, ToolCallDelta) else type(event).__name__


@fuzz
@given(
    expected=st.sampled_from(EXPECTED),
    text=ANSWERS,
    places=st.lists(st.integers(0, 400), max_size=6),
    stop=st.sampled_from([(), (), ("x",), ("\n\n",), ("}",)]),
)
@example(OF_TOOLS[0], '[TOOL_CALLS][{"name": "write", "arguments": {}}]]', [48], ())
@example(OF_TOOLS[0], "x<tool_call><function=\rwrite>", [25], ())
def test_any_answer_has_the_same_events_in_any_pieces(
    expected: ExpectedAnswer, text: str, places: list[int], stop: tuple[str, ...]
) -> None:
    cuts = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(cuts)]
    assert parse(pieces, expected, stop) == parse([text], expected, stop)


MISTRAL = next(each for each in OF_TOOLS if "Mistral" in each.tool_formats[0])
CHANNEL = "<|channel|>commentary to="
HEADS = ["", "write", "functions.write", "function ", "\n", "{"]
FILLINGS = [*'a1._é"{<', " ", "\n", "\t", "write", "functions.", "|>", "to="]
BEHIND = [
    "",
    "{}",
    "[ARGS]{}",
    '(a="b")',
    '>{"a": "b"}',
    "\n```json\n{}\n```",
    '{"name": "write", "arguments": {}}',
    '<|message|>{"a": "b"}<|call|>',
    "<|tool_call_argument_begin|>{}",
    "<\uff5ctool▁sep\uff5c>write\n```json\n{}\n```",
]


@fuzz
@given(
    expected=st.sampled_from(EXPECTED),
    opening=st.sampled_from([*MARKS, CHANNEL, "<|channel|>", "<|start|>assistant"]),
    head=st.sampled_from(HEADS),
    filling=st.sampled_from(FILLINGS),
    size=st.integers(150, 450),
    behind=st.sampled_from(BEHIND),
    step=st.sampled_from([1, 7, 100, 199, 200, 201]),
)
@example(EXPECTED[0], CHANNEL, "", "{", 400, "", 200)
@example(EXPECTED[0], CHANNEL, "", "write", 420, '<|message|>{"a": "b"}<|call|>', 1)
@example(EXPECTED[0], "<|channel|>", "analysis", " ", 300, "I think", 100)
@example(MISTRAL, "[TOOL_CALLS]", "write", "é", 200, "[ARGS]{}", 1)
@example(MISTRAL, "[TOOL_CALLS]", "write", " ", 300, "[ARGS]{}", 1)
def test_a_header_of_any_length_has_the_same_events_in_any_pieces(
    expected: ExpectedAnswer,
    opening: str,
    head: str,
    filling: str,
    size: int,
    behind: str,
    step: int,
) -> None:
    text = opening + head + (filling * size)[:size] + behind
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    assert parse(pieces, expected, ()) == parse([text], expected, ())


@fuzz
@given(expected=st.sampled_from(EXPECTED), text=ANSWERS)
def test_any_answer_is_accepted_repaired_or_an_error(expected: ExpectedAnswer, text: str) -> None:
    for parser in (
        AnswerParser((), expected, lambda: "call_1"),
        BufferedAnswerParser((), expected, lambda: "call_1"),
    ):
        check = AnswerCheck(expected)
        check.add(parser.feed([text]))
        check.close([*parser.flush()], has_repairs_left=True)
        messages = check.build_repair_messages()
        assert all(message.role in {"user", "assistant"} for message in messages)
        with only_our_errors():
            raise check.build_error(Finished("stop", None, Prediction("p", "succeeded")))


HEADERS = sorted(
    {
        (mark.header, mark.header_start)
        for tool_format in TABLES.tool_formats.values()
        for mark in tool_format.call_marks
        if mark.header is not None
    }
)


@pytest.mark.parametrize(("header", "start"), HEADERS)
@fuzz
@given(data=st.data())
def test_any_part_of_a_header_of_a_call_may_grow(data: Any, header: str, start: str) -> None:
    text = data.draw(st.from_regex(header))
    match = re.match(header, text)
    assume(match is not None)
    assert match is not None
    parts = [match[0][:end] for end in range(len(match[0]))]
    assert [part for part in parts if not re.fullmatch(start, part)] == []

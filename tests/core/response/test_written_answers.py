"""Answers as models write them are read right, the same whole and in pieces of every size."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from replicate_stream._model.profile import build_profile
from replicate_stream._response.completion import CompletionBuilder
from replicate_stream._response.parser import AnswerParser, BufferedAnswerParser
from replicate_stream._types.messages import ReasoningDelta
from replicate_stream._types.request import ExpectedAnswer
from replicate_stream._types.tool_choice import parse_tool_choice
from tests.written_answers import ANSWERS, Answer

TEXT = {"type": "string"}
PROPERTIES: dict[str, dict[str, Any]] = {
    "get_weather": {
        "city": TEXT,
        "days": {"type": "integer"},
        "units": {"enum": ["metric", "imperial"]},
    },
    "delete_file": {"path": TEXT},
    "write_file": {"path": TEXT, "content": TEXT},
    "now": {},
    "search": {
        "query": TEXT,
        "filters": {"type": "object"},
        "tags": {"type": "array", "items": TEXT},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "exact": {"type": "boolean"},
    },
}
TOOLS = [
    {"name": name, "parameters": {"type": "object", "properties": properties}}
    for name, properties in PROPERTIES.items()
]


@cache
def expect_answer(model: str) -> ExpectedAnswer:
    profile = build_profile(None, model)
    formats = dict.fromkeys((profile.tool_format, *profile.trained_tool_formats))
    return ExpectedAnswer(
        tools=parse_tool_choice(TOOLS, None, None),
        tool_formats=tuple(each.__name__ for each in formats),
        reasoning_tag=profile.reasoning_tag,
    )


def read(
    answer: Answer, size: int, create: type[AnswerParser] = AnswerParser
) -> tuple[str, str, list[tuple[str, Any]]]:
    """The reasoning, the text and the calls of an answer that comes in pieces of a size."""
    parser, builder = create((), expect_answer(answer.model), lambda: "id"), CompletionBuilder()
    pieces = [answer.answer[at : at + size] for at in range(0, len(answer.answer), size)]
    events = [event for piece in pieces for event in parser.feed([piece])]
    events += parser.flush()
    for event in events:
        builder.add(event)
    reasoning = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    return reasoning, builder.text, [(call.name, call.arguments) for call in builder.tool_calls]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_an_answer_is_read_right_in_pieces_of_every_size(answer: Answer) -> None:
    whole = read(answer, 10_000)
    _, text, calls = whole
    valid = [
        {"name": name, "args": arguments}
        for name, arguments in calls
        if isinstance(arguments, dict)
    ]
    answer.check(text, valid, len(calls) - len(valid))
    assert read(answer, 10_000, BufferedAnswerParser) == whole
    for size in (*range(1, 14), 50):
        assert read(answer, size) == whole


# Words behind a call can make a quotation of it, which a cut answer lacks.
CALLING = [answer for answer in ANSWERS if answer.expect != "text"]


@pytest.mark.parametrize("answer", CALLING, ids=lambda answer: answer.name)
def test_an_answer_that_is_cut_off_has_no_other_call_than_the_whole(answer: Answer) -> None:
    _, _, calls = read(answer, 10_000)
    for end in range(len(answer.answer)):
        cut = Answer(answer.name, answer.model, answer.answer[:end], "text")
        made = [call for call in read(cut, 10_000)[2] if isinstance(call[1], dict)]
        assert made == calls[: len(made)]

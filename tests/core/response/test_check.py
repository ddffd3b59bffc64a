"""An answer is checked against its request, and withheld while it can be repaired."""

from __future__ import annotations

import pytest

from replicate_stream import ReasoningDelta, StreamEvent, TextDelta, ToolCallDelta
from replicate_stream._response.check import AnswerCheck
from replicate_stream._types.request import ExpectedAnswer
from replicate_stream._types.response_format import parse_response_format
from replicate_stream._types.tool_choice import parse_tool_choice

CALL_REQUIRED = ExpectedAnswer(tools=parse_tool_choice([{"name": "f"}], "f", None))
CALL_ALLOWED = ExpectedAnswer(tools=parse_tool_choice([{"name": "f"}], None, None))
JSON = ExpectedAnswer(response_format=parse_response_format({"type": "json_object"}))


def call(name: str, arguments: str) -> list[StreamEvent]:
    return [ToolCallDelta(0, "x", name, ""), ToolCallDelta(0, None, None, arguments)]


@pytest.mark.parametrize(
    ("expected", "events", "is_accepted", "problem"),
    [
        (CALL_REQUIRED, call("f", "{}"), True, None),
        (CALL_REQUIRED, call("f", "{"), True, "malformed, or breaks off"),
        (CALL_REQUIRED, call("g", "{}"), False, "another tool than f"),
        (CALL_REQUIRED, [TextDelta("words")], False, "it calls no tool"),
        (CALL_ALLOWED, [TextDelta("words")], True, None),
        (CALL_ALLOWED, call("f", "{"), True, "malformed, or breaks off"),
        (CALL_ALLOWED, call("", "now"), True, "malformed, or breaks off"),
        (CALL_ALLOWED, [TextDelta("words"), *call("f", "{")], True, None),
        (JSON, [TextDelta("{}")], True, None),
        (JSON, [TextDelta("words")], False, "it holds no JSON"),
    ],
)
def test_an_answer_without_repairs_left_is_accepted_or_is_an_error(
    expected: ExpectedAnswer, events: list[StreamEvent], is_accepted: bool, problem: str | None
) -> None:
    check = AnswerCheck(expected)
    assert check.close(events, has_repairs_left=False) == (events if is_accepted else [])
    assert (check.is_accepted, check.is_repairable) == (is_accepted, False)
    assert (check.problem is None) == (problem is None)
    assert problem is None or problem in str(check.problem)


def test_reasoning_is_emitted_and_leaves_the_answer_repairable() -> None:
    check = AnswerCheck(JSON)
    assert check.add([ReasoningDelta("hm")]) == [ReasoningDelta("hm")]
    assert check.close([TextDelta("words")], has_repairs_left=True) == []
    assert check.is_repairable
    answer, request = check.build_repair_messages()
    assert (answer.role, answer.content) == ("assistant", "words")
    assert "it holds no JSON" in str(request.content)


@pytest.mark.parametrize("expected", [CALL_REQUIRED, CALL_ALLOWED])
def test_an_answer_that_is_only_a_malformed_call_is_asked_for_again(
    expected: ExpectedAnswer,
) -> None:
    check = AnswerCheck(expected)
    assert check.close(call("f", "{"), has_repairs_left=True) == []
    assert check.is_repairable
    answer, request = check.build_repair_messages()
    assert answer.tool_calls[0].name == "f"
    assert "malformed" in str(request.content)


def test_a_malformed_call_without_a_name_is_repeated_to_the_model_as_text() -> None:
    check = AnswerCheck(CALL_ALLOWED)
    check.close(call("", "now"), has_repairs_left=True)
    answer, request = check.build_repair_messages()
    assert (answer.content, answer.tool_calls) == ("now", ())
    assert "Write the call again" in str(request.content)


def test_an_answer_with_emitted_text_is_not_repairable() -> None:
    check = AnswerCheck(JSON)
    assert check.add([TextDelta("{")]) == [TextDelta("{")]
    assert check.close([], has_repairs_left=True) == []
    assert (check.is_accepted, check.is_repairable) == (False, False)

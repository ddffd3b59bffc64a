"""Events are collected into a completion, and its finish reason is derived."""

from __future__ import annotations

import pytest

from replicate_stream import Finished, Prediction, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from replicate_stream._response.completion import CompletionBuilder, derive_finish_reason


@pytest.mark.parametrize(
    ("output_tokens", "max_tokens", "is_stopped", "has_calls", "reason"),
    [
        (7, 8, False, False, "stop"),
        (8, 8, False, False, "length"),
        (8, None, False, False, "stop"),
        (8, 8, True, False, "stop"),
        (None, 8, False, False, "stop"),
        (7, 8, False, True, "tool_calls"),
        (8, 8, False, True, "length"),
        (8, 8, True, True, "tool_calls"),
    ],
)
def test_the_finish_reason_follows_from_the_token_counts(
    output_tokens: int | None,
    max_tokens: int | None,
    is_stopped: bool,
    has_calls: bool,
    reason: str,
) -> None:
    usage = None if output_tokens is None else Usage(1, output_tokens)
    derived = derive_finish_reason(usage, max_tokens, is_stopped=is_stopped, has_calls=has_calls)
    assert derived == reason


def test_deltas_are_joined_by_kind_and_by_call() -> None:
    builder = CompletionBuilder()
    for event in (
        ReasoningDelta("hm"),
        TextDelta("a"),
        ToolCallDelta(0, "x", "f", ""),
        ToolCallDelta(0, None, None, '{"a": 1'),
        ToolCallDelta(0, None, None, "}"),
        ToolCallDelta(1, "y", "g", "[1]"),
        ToolCallDelta(2, "z", "", "{}"),
        TextDelta("b"),
    ):
        builder.add(event)
    assert builder.text == "ab"
    with pytest.raises(ValueError, match="no Finished event"):
        builder.build()
    builder.add(Finished("stop", None, Prediction(id="p", status="succeeded")))
    completion = builder.build()
    assert (completion.text, completion.reasoning) == ("ab", "hm")
    calls = [(call.id, call.name, call.arguments) for call in completion.tool_calls]
    assert calls == [("x", "f", {"a": 1}), ("y", "g", "[1]"), ("z", "", "{}")]

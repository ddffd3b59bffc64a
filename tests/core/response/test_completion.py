"""Events are collected into a completion, and its finish reason is derived."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicate_stream import (
    Finished,
    Prediction,
    ReasoningDelta,
    StatusChanged,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from replicate_stream._response.completion import (
    CompletionBuilder,
    derive_finish_reason,
    merge_deltas,
)

TEXTS = st.sampled_from(["", "a", "b\n", "\u2028"])
CALL_IDS = st.sampled_from([(None, None), (None, None), ("x", "f"), ("y", "")])
CALL_PARTS = (st.integers(0, 1), CALL_IDS, TEXTS)
EVENTS = st.one_of(
    st.builds(TextDelta, TEXTS),
    st.builds(ReasoningDelta, TEXTS),
    st.builds(lambda i, ids, text: ToolCallDelta(i, ids[0], ids[1], text), *CALL_PARTS),
    st.just(StatusChanged("processing")),
)


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


def split_into_characters(event: StreamEvent) -> list[StreamEvent]:
    """The smallest pieces of an event: what they hold in order is all that it says."""
    if isinstance(event, TextDelta | ReasoningDelta):
        return [type(event)(character) for character in event.text]
    if isinstance(event, ToolCallDelta):
        named = event.id is not None or event.name is not None
        first = [ToolCallDelta(event.index, event.id, event.name, "")] if named else []
        rest = [ToolCallDelta(event.index, None, None, each) for each in event.arguments]
        return [*first, *rest]
    return [event]


@given(st.lists(EVENTS, max_size=12))
def test_merged_deltas_hold_the_same_characters_in_the_same_order(
    events: list[StreamEvent],
) -> None:
    merged = merge_deltas(events)
    before, after = (
        [piece for event in each for piece in split_into_characters(event)]
        for each in (events, merged)
    )
    assert after == before


@given(st.lists(EVENTS, max_size=12))
def test_no_two_adjacent_deltas_could_be_merged_further(events: list[StreamEvent]) -> None:
    merged = merge_deltas(events)
    assert merge_deltas(merged) == merged
    for one, other in itertools.pairwise(merged):
        if isinstance(one, ToolCallDelta) and isinstance(other, ToolCallDelta):
            is_new_call = other.id is not None or other.name is not None
            assert is_new_call or one.index != other.index
        else:
            assert type(one) is not type(other) or isinstance(one, StatusChanged)

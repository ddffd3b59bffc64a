"""Events to chunks, as the framework adds them up: calls complete or truncated anywhere."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field

from langchain_replicate_stream._from_core import ChunkConverter, make_text_chunk, to_message
from langchain_replicate_stream._to_core import to_core
from replicate_stream import (
    Completion,
    Finished,
    Prediction,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

PREDICTION = Prediction("p1", "a/b", None, "succeeded")
ARGUMENTS = (
    '{"city": "Par\\"is\\\\", "days": [1, 2.5, {"a": null}], "é": "你好", "nested": {"x": "]}"}}'
)


def convert_events(events: Sequence[StreamEvent]) -> list[ChatGenerationChunk]:
    converter = ChunkConverter("a/b")
    finished = Finished("tool_calls", None, PREDICTION)
    return [chunk for event in [*events, finished] for chunk in converter.convert(event)]


def add_chunks(events: Sequence[StreamEvent]) -> AIMessageChunk:
    total = reduce(add, (chunk.message for chunk in convert_events(events)))
    assert isinstance(total, AIMessageChunk)
    return total


def make_call_deltas(index: int, name: str, *pieces: str) -> list[StreamEvent]:
    return [
        ToolCallDelta(index, f"call_{index}", name, ""),
        *(ToolCallDelta(index, None, None, piece) for piece in pieces),
    ]


class ReplayModel(BaseChatModel):
    """A chat model of the framework that replays chunks."""

    chunks: list[ChatGenerationChunk] = Field(exclude=True)

    @property
    def _llm_type(self) -> str:
        return "replayed"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        yield from self.chunks


def add_by_version_3(events: Sequence[StreamEvent]) -> AIMessage:
    """Add the chunks by the framework's events of version 3."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain warns that version 3 is a beta
        stream: Any = ReplayModel(chunks=convert_events(events)).stream_events("Hi", version="v3")
    message = stream.output
    assert isinstance(message, AIMessage)
    return message


def add_as_blocks(events: Sequence[StreamEvent]) -> AIMessage:
    """Add the chunks of a model whose messages are content blocks."""
    model = ReplayModel(chunks=convert_events(events), output_version="v1")
    total = reduce(add, model.stream("Hi"))
    assert isinstance(total, AIMessage)
    return total


READERS = {"sum": add_chunks, "v1": add_as_blocks, "v3": add_by_version_3}
every_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@every_reader
def test_the_pieces_of_a_call_add_up_to_the_call(read: Any) -> None:
    message = read(
        [
            TextDelta("Well. "),
            *make_call_deltas(0, "f", *ARGUMENTS),
            *make_call_deltas(1, "g", "{}"),
        ]
    )
    assert message.text == "Well. "
    assert [(c["name"], c["args"], c["id"]) for c in message.tool_calls] == [
        ("f", json.loads(ARGUMENTS), "call_0"),
        ("g", {}, "call_1"),
    ]
    assert message.invalid_tool_calls == []
    kinds = [block["type"] for block in message.content_blocks]
    assert kinds == ["text", "tool_call", "tool_call"]


@every_reader
@pytest.mark.parametrize("cut", range(len(ARGUMENTS)))
def test_a_call_truncated_anywhere_is_invalid(read: Any, cut: int) -> None:
    message = read(
        [*make_call_deltas(0, "f", ARGUMENTS[:cut]), *make_call_deltas(1, "g", '{"a": 1}')]
    )
    assert [call["name"] for call in message.tool_calls] == ["g"]
    (bad,) = message.invalid_tool_calls
    assert (bad["name"], bad["id"]) == ("f", "call_0")
    assert bad["args"].startswith(ARGUMENTS[:cut])


@every_reader
@pytest.mark.parametrize(
    "written", ["[1]", '"text"', "5", "null", "{'a': 1}", '{"a": 1} extra', "}", "]", "\\", '"\\']
)
def test_a_call_whose_arguments_are_not_an_object_is_invalid(read: Any, written: str) -> None:
    message = read(make_call_deltas(0, "f", written))
    assert message.tool_calls == []
    (bad,) = message.invalid_tool_calls
    assert bad["args"].startswith(written)


@every_reader
def test_a_call_without_a_name_is_invalid(read: Any) -> None:
    message = read(make_call_deltas(0, "", '{"a": 1}'))
    assert message.tool_calls == []
    assert len(message.invalid_tool_calls) == 1


@pytest.mark.parametrize("cut", range(len(ARGUMENTS)))
def test_a_malformed_call_is_sent_again_as_the_model_wrote_it(cut: int) -> None:
    (message,) = to_core([add_chunks(make_call_deltas(0, "f", ARGUMENTS[:cut]))])
    assert message.tool_calls == (ToolCall("call_0", "f", ARGUMENTS[:cut]),)


@every_reader
def test_text_around_a_call_and_reasoning_before_it_are_kept(read: Any) -> None:
    events = [ReasoningDelta("Hm"), ReasoningDelta("m"), TextDelta("Well. ")]
    message = read([*events, *make_call_deltas(0, "f", "{}"), TextDelta("So"), TextDelta(".")])
    assert message.text == "Well. So."
    kinds = [block["type"] for block in message.content_blocks]
    assert sorted(set(kinds)) == ["reasoning", "text", "tool_call"]
    assert kinds[0] == "reasoning"
    assert message.content_blocks[0]["reasoning"] == "Hmm"


def test_only_the_first_piece_has_the_id_and_the_name_and_all_have_the_index() -> None:
    pieces = [
        piece
        for chunk in convert_events(make_call_deltas(3, "f", '{"a":', " 1}"))
        if isinstance(chunk.message, AIMessageChunk)
        for piece in chunk.message.tool_call_chunks
    ]
    assert [(p["id"], p["name"], p["args"], p["index"]) for p in pieces] == [
        ("call_3", "f", "", 3),
        (None, None, '{"a":', 3),
        (None, None, " 1}", 3),
    ]


def test_a_whole_answer_has_the_reason_for_an_invalid_call() -> None:
    calls = (
        ToolCall("c0", "f", {"a": "é"}),
        ToolCall("c1", "g", '{"a": '),
        ToolCall("c2", "", '{"a": "é"}'),
    )
    message = to_message(Completion("Well", "", calls, "tool_calls", None, PREDICTION), "a/b")
    assert message.content == "Well"
    assert [(c["name"], c["args"], c["id"]) for c in message.tool_calls] == [
        ("f", {"a": "é"}, "c0")
    ]
    assert [(c["name"], c["args"], c["id"]) for c in message.invalid_tool_calls] == [
        ("g", '{"a": ', "c1"),
        (None, '{"a": "é"}', "c2"),
    ]
    errors = [call["error"] for call in message.invalid_tool_calls]
    assert errors == ["The arguments are not a JSON object.", "The call has no name."]


def test_a_text_chunk_equals_a_constructed_one_and_shares_nothing() -> None:
    first, second = make_text_chunk(TextDelta("a")), make_text_chunk(TextDelta("a"))
    made = ChatGenerationChunk(message=AIMessageChunk(content="a"))
    assert first == second == made
    assert first.model_dump() == made.model_dump()
    assert first.model_dump(exclude_unset=True) == made.model_dump(exclude_unset=True)
    assert first.message.model_fields_set == made.message.model_fields_set
    for name, value in vars(first.message).items():
        if isinstance(value, dict | list):
            assert getattr(second.message, name) is not value, name

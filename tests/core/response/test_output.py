"""The text of a prediction's output, in every shape that models use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from replicate_stream import _errors
from replicate_stream._response.output import CompletionReader, extract_text


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (None, None),
        ([], None),
        ("whole", "whole"),
        ("", ""),
        (["", "a", "\n", "b"], "a\nb"),
        ({"text": "hi", "json_output": None}, "hi"),
        ({"json_output": {"a": "é"}, "text": None}, '{"a": "é"}'),
        ({"choices": [{"message": {"content": "hi"}}]}, "hi"),
        ([{"generated_text": "hi"}], "hi"),
        ({"text": ""}, ""),
        ("https://example.com is a good start.", "https://example.com is a good start."),
    ],
)
def test_the_text_is_found_in_every_shape(output: Any, text: str | None) -> None:
    assert extract_text(output) == text


def test_the_first_of_several_alternatives_is_the_text() -> None:
    assert extract_text(["one", "two"], kind="alternatives") == "one"
    assert extract_text([], kind="alternatives") is None


def test_an_output_without_text_is_an_error() -> None:
    with pytest.raises(_errors.ResponseError, match="file, not a text"):
        extract_text("https://replicate.delivery/pbxt/abc/out.png")
    with pytest.raises(_errors.ResponseError, match="without a text"):
        extract_text({"score": 1})


def read(text: str, size: int, *, has_tools: bool = False) -> str:
    reader = CompletionReader(has_tools=has_tools)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return "".join([each for piece in pieces for each in reader.feed([piece])] + [*reader.flush()])


CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def completion(**message: Any) -> str:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]})


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_answer_that_is_one_chat_completion_is_read(size: int) -> None:
    assert read(completion(content="Hi\n", tool_calls=[]), size) == "Hi\n"
    assert read(completion(content="Hi", tool_calls=[]).replace(": ", ":"), size) == "Hi"
    calling = read(completion(content=None, tool_calls=[CALL]), size, has_tools=True)
    assert json.loads(calling.partition("\n")[2].rpartition("\n")[0]) == CALL


CHOICES = json.loads(completion(content="Hi"))["choices"]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "value",
    [
        {"id": "3f-9", "created": 1, "model": "a b", "object": "chat.completion"},
        {"object": "chat.completion", "id": "chatcmpl-1"},
        {"system_fingerprint": None, "service_tier": "x", "object": "chat.completion"},
        {"choices": CHOICES, "created": 1, "object": "chat.completion"},
    ],
)
def test_a_chat_completion_is_known_by_its_type_whatever_its_id(
    value: dict[str, Any], indent: int | None, size: int
) -> None:
    text = json.dumps({**value, "choices": CHOICES}, indent=indent)
    assert read(text, size) == "Hi"


def test_a_completion_of_a_text_is_read() -> None:
    value = {"id": "x", "object": "text_completion", "choices": [{"text": "Hi", "index": 0}]}
    assert read(json.dumps(value), 7) == "Hi"


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hi",
        "{",
        " " * 200,
        '{"id": "chat"}',
        '{"id": "chatcmpl-1", "object": "other"}',
        '{"id": "chatcmpl-1", "obj',
        'See {"id": "chatcmpl-1", "object": "chat.completion"}',
        '{"id": "x", "object": "chat.completion.chunk", "choices": []}',
        '{"id": "x", "model": "y"}',
        '{"id": "x", "model": "' + "y" * 500,
        '{"choices": ["a", "b"]}',
        completion(content=None, tool_calls=[CALL]),
    ],
)
def test_any_other_text_is_passed_on_unchanged(text: str, size: int) -> None:
    assert read(text, size) == text


def test_text_that_is_no_completion_is_not_held_back() -> None:
    assert CompletionReader().feed(["Hi"]) == ["Hi"]


def test_json_that_is_nested_too_deeply_to_be_parsed_is_text() -> None:
    text = '{"a":' * 100_000
    reader = CompletionReader()
    assert "".join([*reader.feed([text]), *reader.flush()]) == text
    assert CompletionReader().feed(['{"id": 7']) == ['{"id": 7']

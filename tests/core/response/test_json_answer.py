"""JSON is extracted from an answer while it streams."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicate_stream._response.json_answer import JsonAnswerReader
from replicate_stream._types.response_format import ResponseFormat, parse_response_format


def make_format(schema: dict[str, Any]) -> ResponseFormat:
    parsed = parse_response_format(schema)
    assert parsed is not None
    return parsed


OBJECT = make_format({"type": "json_object"})
CITY = make_format(
    {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
)
FORMATS = {
    "an object": OBJECT,
    "a city": CITY,
    "a list": make_format({"type": "array", "items": {"type": "string"}}),
    "anything": make_format({"anyOf": [{"type": "object"}, {"type": "array"}]}),
}


def extract(
    pieces: Iterable[str], response_format: ResponseFormat = OBJECT, *, is_buffered: bool = False
) -> str:
    reader = JsonAnswerReader(response_format, is_buffered=is_buffered)
    return "".join(reader.feed(piece) for piece in pieces) + reader.flush()


@pytest.mark.parametrize(
    ("answer", "json_text"),
    [
        ('{"name": "Rome"}', '{"name": "Rome"}'),
        ('Sure!\n```json\n{"name": "Rome"}\n```\nAnything else?', '{"name": "Rome"}'),
        ("{'name': 'Rome',}", '{"name": "Rome"}'),
        ("In {braces}, then: {}", "{}"),
        ("In {'a set'}: {\"name\": 1}", '{"name": 1}'),
        ("only words", "only words"),
        ('{"name": "Ro', '{"name": "Ro'),
        ('{"name": oops}', '{"name": oops}'),
    ],
)
def test_json_is_extracted_from_the_words_around_it(answer: str, json_text: str) -> None:
    assert extract([answer]) == json_text
    assert extract(answer) == json_text


@pytest.mark.parametrize(
    ("answer", "json_text"),
    [
        ('For example {"name": 1}. So: {"name": "Rome"} it is.', '{"name": "Rome"}'),
        ('Its schema is {"type": "object"}\n```json\n{"name": "Rome"}\n```', '{"name": "Rome"}'),
        ('Not {"name": oops} but {"name": "Rome"}', '{"name": "Rome"}'),
        ('First {"name": 1}, then {"name": 2}', '{"name": 1}'),
        ('I think {"name": "Ro', '{"name": "Ro'),
    ],
)
def test_of_several_json_texts_behind_words_the_one_that_fits_counts(
    answer: str, json_text: str
) -> None:
    assert extract([answer], CITY) == extract(answer, CITY) == json_text


def test_the_first_json_may_be_an_example_where_nothing_has_to_be_emitted_early() -> None:
    answer = '{"name": 1}\n{"name": "Rome"}'
    assert extract([answer], CITY, is_buffered=True) == '{"name": "Rome"}'


def test_one_bracket_too_many_is_no_text() -> None:
    reader = JsonAnswerReader(CITY)
    assert reader.feed('{"name": "Rome"}}\n```') == '{"name": "Rome"}'
    assert not reader.is_stopped


@given(
    st.text("{}[]\"':, \nab1", max_size=25),
    st.integers(1, 5),
    st.sampled_from(sorted(FORMATS)),
    st.booleans(),
)
def test_every_chunking_has_the_same_result(
    text: str, size: int, name: str, is_buffered: bool
) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    whole = extract([text], FORMATS[name], is_buffered=is_buffered)
    assert extract(pieces, FORMATS[name], is_buffered=is_buffered) == whole


@pytest.mark.parametrize("response_format", [OBJECT, CITY])
def test_json_at_the_start_is_emitted_while_it_streams(response_format: ResponseFormat) -> None:
    reader = JsonAnswerReader(response_format)
    assert reader.feed('```json\n{"na') == ""
    assert reader.feed('me": "Ro') == '{"name": "Ro'
    assert reader.feed('me"} and') == 'me"}'
    assert reader.is_stopped


def test_json_of_any_form_behind_words_is_emitted_while_it_streams() -> None:
    reader = JsonAnswerReader(OBJECT)
    assert reader.feed('Well: {"name": "Ro') == '{"name": "Ro'

"""JSON is extracted from an answer while it streams."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicate_stream._response.json_answer import JsonAnswerReader


def extract(pieces: Iterable[str], first_characters: str = "{") -> str:
    reader = JsonAnswerReader(first_characters)
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


@given(
    st.text("{}[]\"':, \nab1", max_size=25), st.integers(1, 5), st.sampled_from(["{", "[", "{["])
)
def test_every_chunking_has_the_same_result(text: str, size: int, first_characters: str) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert extract(pieces, first_characters) == extract([text], first_characters)


def test_json_is_emitted_while_it_streams() -> None:
    reader = JsonAnswerReader("{")
    assert reader.feed('Well: {"na') == ""
    assert reader.feed('me": "Ro') == '{"name": "Ro'
    assert reader.feed('me"} and') == 'me"}'
    assert reader.is_stopped

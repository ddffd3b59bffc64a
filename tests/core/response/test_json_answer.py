"""The form of an answer: told, taken out, held against."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicate_stream import InvalidInputError, prepare_input
from replicate_stream._response.json_answer import JsonAnswerReader
from replicate_stream._types.response_format import parse_response_format

CITY = {
    "title": "City",
    "type": "object",
    "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
    "required": ["name"],
}
OPENAI = {"type": "json_schema", "json_schema": {"name": "City", "schema": CITY, "strict": True}}


def read(pieces: Any, beginnings: str = "{") -> str:
    reader = JsonAnswerReader(beginnings)
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
def test_the_json_is_taken_out_of_the_words_around_it(answer: str, json_text: str) -> None:
    assert read([answer]) == json_text
    assert read(answer) == json_text


@given(
    st.text("{}[]\"':, \nab1", max_size=25), st.integers(1, 5), st.sampled_from(["{", "[", "{["])
)
def test_any_pieces_give_the_same(text: str, size: int, beginnings: str) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert read(pieces, beginnings) == read([text], beginnings)


def test_json_goes_on_as_it_comes() -> None:
    reader = JsonAnswerReader("{")
    assert reader.feed('Well: {"na') == ""
    assert reader.feed('me": "Ro') == '{"name": "Ro'
    assert reader.feed('me"} and') == 'me"}'
    assert reader.is_ended


@pytest.mark.parametrize(
    ("form", "text", "problem"),
    [
        (CITY, '{"name": "Rome", "size": 3}', None),
        (CITY, "", "it holds no JSON"),
        (CITY, "I know none.", "it holds no JSON"),
        ({"type": "json_object"}, "[1]", "it holds no JSON"),
        (CITY, '{"name": "Ro', "malformed, or breaks off"),
        (CITY, '{"name": 7}', r"\['name'\] does not fit the schema \(type\)"),
        (CITY, "{}", r"does not fit the schema \(required\)"),
        ({"type": "json_object"}, '{"any": 1}', None),
        (OPENAI, '{"size": "secret words"}', "does not fit"),
    ],
)
def test_an_answer_is_held_against_its_form(form: Any, text: str, problem: str | None) -> None:
    wanted = parse_response_format(form)
    assert wanted is not None
    found = wanted.problem(text)
    assert (found is None) == (problem is None)
    assert found is None or (re.search(problem or "", found) and "secret" not in found)


@pytest.mark.parametrize("form", [None, {"type": "text"}])
def test_plain_text_is_no_form(form: Any) -> None:
    assert parse_response_format(form) is None


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("json", "response_format is of type str"),
        ({"type": "json_schema"}, "no json_schema.schema"),
        ({"type": "no such type"}, "is no JSON schema"),
    ],
)
def test_what_is_no_form_is_refused(form: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        parse_response_format(form)


def test_a_form_goes_into_the_models_own_input_or_else_into_words() -> None:
    def sent(**properties: Any) -> dict[str, Any]:
        text = {"type": "string"}
        schema = {"type": "object", "properties": {"prompt": text, **properties}}
        return prepare_input("hi", model="a/b", schema=schema, response_format=OPENAI).input

    assert sent(response_format={"type": "object"})["response_format"] == OPENAI
    assert json.loads(sent(json_schema={"type": "string"})["json_schema"]) == CITY
    told = sent()["prompt"]
    assert json.dumps(CITY) in told
    assert told.endswith("\n\nhi")

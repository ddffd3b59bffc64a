"""Vectors, journals, prices, lists of models, containers of Cog: a result, or an error of ours."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replicate_stream import InvalidInputError
from replicate_stream._api.cog.api import _join_streamed
from replicate_stream._api.cog.request import _hide_input
from replicate_stream._api.model_list import parse_summary
from replicate_stream._api.responses import Response, to_response_error
from replicate_stream._batch.journal import _parse_line
from replicate_stream._batch.requests import digest_input
from replicate_stream._batch.results import decode_result, encode_result
from replicate_stream._metering import Meter, describe
from replicate_stream._model.input_schema import makes_files
from replicate_stream._response.vectors import check_dimensions, read_vectors
from replicate_stream._types.prediction import parse_prediction
from tests.reliability.fuzzing import (
    DEPTHS,
    RECORD_KEYS,
    SCHEMA_KEYS,
    SPECS,
    TEXT,
    fuzz,
    json_objects,
    json_values,
    only_our_errors,
    to_body,
    words,
)

pytestmark = pytest.mark.timeout(0)  # the length of a run is the profile's

VECTOR_KEYS = words("embedding embeddings vector data output result index dense_vecs score")
RESULT_KEYS = [*RECORD_KEYS, *words("completion reasoning finish_reason usage prediction key at")]


@fuzz
@given(output=json_values(VECTOR_KEYS), count=st.integers(1, 3))
def test_any_output_is_a_vector_for_each_text_or_an_error(output: Any, count: int) -> None:
    with only_our_errors():
        vectors = read_vectors(output, count)
        check_dimensions(vectors)
        assert len(vectors) == count
        assert all(math.isfinite(number) for vector in vectors for number in vector)


@fuzz
@given(value=json_objects(RESULT_KEYS), depth=DEPTHS)
def test_any_line_of_a_journal_is_an_entry_or_damaged(value: dict[str, Any], depth: int) -> None:
    line = to_body({"key": "a", "request": "r", "at": 1.0, **value}, depth)
    try:
        fields = _parse_line(Path("journal"), 1, line)
    except InvalidInputError as error:
        assert error.fields == ("journal",)
    else:
        assert isinstance(fields["key"], (str, int))
        assert isinstance(fields.get("result", {}), dict)


@fuzz
@given(value=json_objects(RESULT_KEYS) | json_values(RESULT_KEYS).map(lambda v: {"completion": v}))
def test_any_result_of_a_journal_is_read_or_named(value: dict[str, Any]) -> None:
    with only_our_errors():
        result = decode_result("a", value)
        repr(result)
        encode_result(result)


PRICES = words("input output second money tokens seconds a/b")
NUMBERED = st.dictionaries(st.sampled_from(PRICES), json_values(PRICES), max_size=3)


@fuzz
@given(price=NUMBERED, budget=NUMBERED | json_values(PRICES), metrics=json_objects(RECORD_KEYS))
def test_any_prices_count_any_record_or_are_refused(
    price: Any, budget: Any, metrics: dict[str, Any]
) -> None:
    told: list[str] = []
    with only_our_errors():
        meter = Meter({"a/b": price}, budget, lambda report: told.append(describe(report)))
        prediction = parse_prediction({"id": "p", "metrics": metrics, "logs": metrics.get("logs")})
        for _ in range(2):
            meter.observe("a/b", 0.0).end(prediction)
        assert len(told) == 2
        meter.check_budget("a/b")


@fuzz
@given(record=json_objects([*RECORD_KEYS, "owner", "run_count", "url", "is_official"]))
def test_any_record_of_a_list_is_a_summary_or_passed_over(record: dict[str, Any]) -> None:
    summary = parse_summary({"owner": "a", "name": "b", **record})
    assert summary is None or "/" in summary.name
    digest_input(record)


@fuzz
@given(schema=json_objects([*SCHEMA_KEYS, "components", "schemas", "paths", "Output"]), spec=SPECS)
def test_any_schema_of_a_container_is_read(schema: dict[str, Any], spec: Any) -> None:
    post = {"paths": {"/predictions": {"post": spec}}, "components": {"schemas": {"Output": spec}}}
    for each in (schema, post):
        makes_files(_join_streamed(each))


@fuzz
@example(body={"loc": True}, input_={})
@example(body=float("inf"), input_={})
@given(body=json_values(RECORD_KEYS), input_=st.dictionaries(TEXT, json_values(["a"]), max_size=3))
def test_any_refusal_of_a_container_is_an_error_without_the_input(body: Any, input_: Any) -> None:
    secret = "a secret of many characters"
    echoed = {"detail": [{"loc": ["body"], "msg": f"bad: {secret}"}, body]}
    for data in (json.dumps(echoed), json.dumps([echoed]), f"<html>{secret}", f'"{secret}"'):
        response = Response(422, {}, data.encode())
        hidden = _hide_input(response, {**input_, "messages": [{"content": secret}]})
        error = to_response_error(hidden, "PUT /predictions")
        assert secret not in f"{error} {vars(error)}"

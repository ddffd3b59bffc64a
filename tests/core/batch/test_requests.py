"""Every form of a request, the digests that recognize it, and results as JSON and back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import (
    AnswerFormatError,
    BatchRequest,
    BatchResult,
    Completion,
    InvalidInputError,
    Message,
    Prediction,
    PredictionFailedError,
    ReplicateError,
    ResponseError,
    ToolCall,
    ToolSpec,
    Usage,
)
from replicate_stream._batch.requests import digest_input, digest_request, to_batch_request
from replicate_stream._batch.results import decode_result, encode_result
from replicate_stream._types.request import build_request


def test_the_forms_of_a_request_mean_the_same() -> None:
    expected = BatchRequest("a", "Why?")
    assert to_batch_request(("a", "Why?")) == expected
    assert to_batch_request({"key": "a", "messages": "Why?"}) == expected
    assert to_batch_request(expected) is expected
    assert to_batch_request(
        {"key": 5, "messages": "Why?", "model": "a/b", "max_tokens": 3}
    ) == BatchRequest(5, "Why?", {"max_tokens": 3}, "a/b")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("Why?", "a request"),
        (("a", "b", "c"), "a request"),
        (None, "a request"),
        ({"messages": "Why?"}, "key"),
        ({"key": "a"}, "messages"),
        ({"key": None, "messages": "Why?"}, "key"),
        ({"key": True, "messages": "Why?"}, "key"),
        ((1.5, "Why?"), "key"),
    ],
    ids=str,
)
def test_another_value_is_refused_without_its_text(value: Any, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        to_batch_request(value)
    assert caught.value.fields == (field,)
    assert "Why" not in str(caught.value)


def test_no_repr_shows_text() -> None:
    request = BatchRequest("a", "secret", {"system_prompt": "secret"})
    completion = Completion("secret", "", (), "stop", None, Prediction("p", "succeeded"))
    assert "secret" not in repr(request) + repr(BatchResult("a", completion))


CHANGES: dict[str, dict[str, Any]] = {
    "model": {"model": "c/d"},
    "text": {"messages": "How?"},
    "role": {"messages": [Message("assistant", "Why?")]},
    "image": {"messages": [Message("user", [{"type": "image", "path": Path("b.png")}])]},
    "system": {"system_prompt": "s"},
    "number": {"temperature": 0.5},
    "stop": {"stop": ["END"]},
    "tools": {"tools": [ToolSpec("add")]},
    "tool's schema": {"tools": [ToolSpec("add", parameters={"type": "object", "title": "t"})]},
    "format": {"response_format": {"type": "object"}},
    "extra": {"extra_input": {"x": 1}},
    "bytes": {"extra_input": {"x": b"1"}},
    "other bytes": {"extra_input": {"x": b"2"}},
}


def test_digests_differ_where_answers_may() -> None:
    asked: dict[str, Any] = {"model": "a/b", "messages": "Why?"}
    requests = [build_request(**(asked | change)) for change in [{}, *CHANGES.values()]]
    assert len({digest_request(request) for request in requests}) == len(requests)


def test_digests_are_the_same_for_equal_requests() -> None:
    first = build_request("a/b", "Why?", extra_input={"x": 1, "y": {"b": 1, "a": 2}})
    second = build_request(
        "a/b",
        iter([Message("user", "Why?")]),
        extra_input={"y": {"a": 2, "b": 1}, "x": 1},
        validator=print,
        max_repairs=5,
        coalesce=True,
        include_usage=False,
    )
    assert digest_request(first) == digest_request(second)


def test_an_input_is_recognized_in_its_record() -> None:
    sent = {"prompt": "é\ud800"[:1], "temperature": 1.0, "n": [1, 2.5, {"x": 0.0}], "flag": True}
    recorded = json.loads(json.dumps({"flag": True, "n": [1, 2.5, {"x": 0}], "temperature": 1}))
    assert digest_input(sent) == digest_input({**recorded, "prompt": "é"})
    assert digest_input(sent) != digest_input({**recorded, "prompt": "e"})


PREDICTION = Prediction(
    "p1",
    "succeeded",
    model="a/b",
    output=["Yes", "."],
    logs="the prompt",
    metrics={"predict_time": 0.5},
    created_at="2025-01-01T00:00:00Z",
    urls={"get": "https://api/p1", "stream": "https://stream/secret"},
)
COMPLETION = Completion(
    "Yes.", "Hm.", (ToolCall("c1", "add", {"a": 1}),), "stop", Usage(1, 2), PREDICTION
)


def to_json_and_back(result: BatchResult) -> BatchResult:
    text = json.dumps(encode_result(result))
    assert "secret" not in text
    assert "the prompt" not in text
    return decode_result(result.key, json.loads(text))


def test_a_completion_survives_without_the_logs_and_the_streams_url() -> None:
    found = to_json_and_back(BatchResult("a", COMPLETION)).completion
    prediction = dataclasses.replace(PREDICTION.without_stream(), logs=None, output=["Yes."])
    assert found == dataclasses.replace(COMPLETION, prediction=prediction)


@pytest.mark.parametrize("output", [{"text": "Yes."}, ["Yes.", "No."], None, "Yes. "])
def test_an_output_that_is_not_the_text_is_kept(output: Any) -> None:
    prediction = dataclasses.replace(PREDICTION, output=output)
    completion = dataclasses.replace(COMPLETION, prediction=prediction, usage=None)
    found = to_json_and_back(BatchResult("a", completion)).completion
    assert found is not None
    assert found.prediction.output == output
    assert found.usage is None


def test_errors_survive_with_their_attributes() -> None:
    failed = PredictionFailedError("m", prediction_id="p1", error="E1001")
    refused = InvalidInputError("m", fields=("a", "b"), status=422, headers={"x": "secret"})
    malformed = AnswerFormatError("no JSON", completion=COMPLETION)
    malformed.has_unknown_outcome = True
    for error in (failed, refused, malformed):
        found = to_json_and_back(BatchResult("a", error=error)).error
        assert type(found) is type(error)
        assert str(found) == str(error)
        for name in set(vars(error)) - {"headers", "completion"}:
            assert getattr(found, name) == getattr(error, name)
    assert isinstance(found, AnswerFormatError)
    assert found.completion.text == "Yes."
    again = to_json_and_back(BatchResult("a", error=refused)).error
    assert isinstance(again, ResponseError)
    assert again.headers is None


@pytest.mark.parametrize(
    "value",
    [
        {}, {"completion": {}}, {"completion": 5}, {"completion": {"text": "a"}}, {"error": 5},
        {"error": {}}, {"error": {"type": "x"}}, {"error": {"type": [], "message": "m"}},
    ],
    ids=str,
)  # fmt: skip
def test_a_result_of_something_else_is_an_error_that_names_the_request(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="request 'a' cannot be read") as caught:
        decode_result("a", value)
    assert caught.value.fields == ("journal",)


def test_an_error_of_a_newer_version_is_read_too() -> None:
    result = decode_result("a", {"error": {"type": "NewError", "message": "m", "field": 1}})
    assert type(result.error) is ReplicateError
    assert decode_result("a", {"error": {"type": "Any", "message": "m"}}).error is not None

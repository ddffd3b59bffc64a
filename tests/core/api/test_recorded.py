"""Real responses of Replicate, recorded in 2023 and 2024, are parsed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import ResponseError
from replicate_stream._api.responses import Response, parse_json_object, to_response_error
from replicate_stream._api.resume import DeliveredText, StreamEnd
from replicate_stream._api.sse import Decoder
from replicate_stream._types.prediction import parse_prediction

STREAMS = ("llm_stream_1_sse_200", "llm_stream_2_sse_200")


@pytest.fixture
def recording(shared: Path) -> Callable[[str], dict[str, Any]]:
    """Returns the recorded response of an exchange by the name of its file."""

    def read(name: str) -> dict[str, Any]:
        recorded: dict[str, Any] = json.loads((shared / "recorded" / f"{name}.json").read_text())[
            "response"
        ]
        return recorded

    return read


def get_names(shared: Path) -> list[str]:
    return sorted(path.stem for path in (shared / "recorded").glob("*.json"))


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_yields_its_text_and_its_end(
    name: str, recording: Callable[[str], dict[str, Any]]
) -> None:
    body = recording(name)["body"]
    decoder, delivered = Decoder(), DeliveredText()
    texts = delivered.add_events(decoder.feed(body.encode()))
    # The text after each `data: ` of an output; lines of one event are joined with LF.
    blocks = [block.split("\n") for block in body.split("\n\n") if "event: output" in block]
    expected = ["\n".join(line[6:] for line in lines if line[:6] == "data: ") for lines in blocks]
    assert texts == expected
    assert texts[0] == ""
    assert "Why" in "".join(texts)
    assert delivered.end == StreamEnd("{}")
    assert decoder.last_comment == "408: 408 Request Timeout"


def test_recorded_responses_are_parsed_and_refusals_become_errors(
    shared: Path, recording: Callable[[str], dict[str, Any]]
) -> None:
    counts = {"prediction": 0, "other": 0, "refusal": 0}
    for name in get_names(shared):
        if name in STREAMS:
            continue
        recorded = recording(name)
        response = Response(recorded["status"], recorded["headers"], recorded["body"].encode())
        if response.status >= 400:
            error = to_response_error(response, name)
            assert isinstance(error, ResponseError)
            assert error.detail == json.loads(response.body)["detail"]
            counts["refusal"] += 1
            continue
        body = parse_json_object(response, name)
        if "urls" in body and "input" in body:
            prediction = parse_prediction(body)
            assert (prediction.id, prediction.status) == (body["id"], body["status"])
            assert prediction.urls == body["urls"]
            assert prediction.output == body.get("output")
            counts["prediction"] += 1
        else:
            counts["other"] += 1
    assert counts == {"prediction": 26, "other": 5, "refusal": 2}

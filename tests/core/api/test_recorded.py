"""Real exchanges with Replicate, recorded from 2023 to 2024, are all understood."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import ResponseError
from replicate_stream._api.responses import Response, parse_json_object, to_response_error
from replicate_stream._api.resume import DeliveredText
from replicate_stream._api.sse import Decoder
from replicate_stream._types.prediction import parse_prediction

STREAMS = ("llm_stream_1_sse_200", "llm_stream_2_sse_200")


@pytest.fixture
def recording(shared: Path) -> Callable[[str], dict[str, Any]]:
    """The recorded response of an exchange, by its file's name."""

    def read(name: str) -> dict[str, Any]:
        response: dict[str, Any] = json.loads((shared / "recorded" / f"{name}.json").read_text())[
            "response"
        ]
        return response

    return read


def names(shared: Path) -> list[str]:
    return sorted(path.stem for path in (shared / "recorded").glob("*.json"))


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_gives_its_text_and_its_end(
    name: str, recording: Callable[[str], dict[str, Any]]
) -> None:
    body = recording(name)["body"]
    decoder, transcript = Decoder(), DeliveredText()
    texts, ending = transcript.add_events(decoder.feed(body.encode()))
    # By hand: what stands behind each `data: ` of an output, lines of one event joined with LF.
    blocks = [block.split("\n") for block in body.split("\n\n") if "event: output" in block]
    by_hand = ["\n".join(line[6:] for line in lines if line[:6] == "data: ") for lines in blocks]
    assert texts == by_hand
    assert texts[0] == ""
    assert "Why" in "".join(texts)
    assert ending is not None
    assert ending.done_data == "{}"
    assert decoder.last_comment == "408: 408 Request Timeout"


def test_every_recorded_success_is_read_and_every_refusal_becomes_an_error(
    shared: Path, recording: Callable[[str], dict[str, Any]]
) -> None:
    seen = {"prediction": 0, "other": 0, "refusal": 0}
    for name in names(shared):
        if name in STREAMS:
            continue
        response = recording(name)
        reply = Response(response["status"], response["headers"], response["body"].encode())
        if reply.status >= 400:
            error = to_response_error(reply, name)
            assert isinstance(error, ResponseError)
            assert error.detail == json.loads(reply.body)["detail"]
            seen["refusal"] += 1
            continue
        body = parse_json_object(reply, name)
        if "urls" in body and "input" in body:
            prediction = parse_prediction(body)
            assert (prediction.id, prediction.status) == (body["id"], body["status"])
            assert prediction.urls == body["urls"]
            assert prediction.output == body.get("output")
            seen["prediction"] += 1
        else:
            seen["other"] += 1
    assert seen == {"prediction": 26, "other": 5, "refusal": 2}

"""Creation of predictions, and the errors of those that do not succeed."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream import (
    Client,
    InvalidInputError,
    Prediction,
    PredictionCanceledError,
    PredictionFailedError,
    ReplicateConnectionError,
    ReplicateError,
)
from replicate_stream._api.predictions import (
    build_stream_error,
    parse_done_reason,
    raise_for_status,
)
from replicate_stream._secrets import Redactor
from replicate_stream.testing import Emulator, Fault


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("{}", None),
        ("", None),
        (" ", None),
        ('{"reason": null}', None),
        ('{"reason": "canceled"}', "canceled"),
        ('{"reason": "error"}', "error"),
        ('{"reason": "evicted"}', "evicted"),
        ('{"reason": 7}', "7"),
        ('["evicted"]', '["evicted"]'),
        ("evicted", "evicted"),
    ],
)
def test_a_done_event_is_a_success_only_without_a_reason(data: str, reason: str | None) -> None:
    assert parse_done_reason(data) == reason


@pytest.mark.parametrize(
    ("error_data", "text"),
    [
        ('{"detail": "boom"}', "boom"),
        ("boom", "boom"),
        ('"boom"', '"boom"'),
        ('{"code": 7}', '{"code": 7}'),
        ('{"detail": ""}', '{"detail": ""}'),
        ("", "the stream ended with reason 'error'"),
        (None, "the stream ended with reason 'error'"),
    ],
)
def test_the_error_of_a_stream_has_the_text_of_its_error_event(
    error_data: str | None, text: str
) -> None:
    error = build_stream_error(Prediction("abc", "processing"), "error", error_data, Redactor())
    assert isinstance(error, PredictionFailedError)
    assert (error.prediction_id, error.error) == ("abc", text)
    assert str(error) == f"prediction abc failed: {text}"


def test_the_error_of_a_stream_prefers_the_text_of_the_record() -> None:
    error = build_stream_error(
        Prediction("abc", "failed", error="E1001"), "error", "boom", Redactor()
    )
    assert str(error) == "prediction abc failed: E1001"


@pytest.mark.parametrize(("status", "reason"), [("processing", "canceled"), ("canceled", "error")])
def test_a_canceled_stream_is_known_from_its_reason_or_its_record(status: str, reason: str) -> None:
    error = build_stream_error(Prediction("abc", status), reason, None, Redactor())
    assert isinstance(error, PredictionCanceledError)
    assert error.status == "canceled"


def test_a_record_that_did_not_succeed_raises() -> None:
    raise_for_status(Prediction("abc", "succeeded"))
    with pytest.raises(PredictionFailedError, match="no error text"):
        raise_for_status(Prediction("abc", "failed"))
    with pytest.raises(PredictionCanceledError, match=r"canceled \(not by this caller\)"):
        raise_for_status(Prediction("abc", "canceled"))
    with pytest.raises(
        PredictionCanceledError, match="deadline passed before it started"
    ) as caught:
        raise_for_status(Prediction("abc", "aborted"))
    assert caught.value.status == "aborted"


async def test_an_input_that_json_cannot_express_is_refused_before_anything_is_created(
    client: Client, replicate_emulator: Emulator
) -> None:
    properties = {"prompt": {"type": "string"}, "x": {"type": "number"}}
    replicate_emulator.add_model("some/open", {"properties": properties}, official=True)
    with pytest.raises(InvalidInputError, match="cannot be written as JSON"):
        await client.complete("some/open", "Hi", extra_input={"x": float("nan")})
    assert replicate_emulator.predictions == {}


async def test_a_model_that_is_not_official_is_run_by_version_after_a_404(
    client: Client, replicate_emulator: Emulator
) -> None:
    version = replicate_emulator.add_model("some/community")
    record = {"owner": "some", "name": "community", "latest_version": {"id": version}}
    replicate_emulator.fault(Fault(on="model", status=200, body=record))
    for _ in range(2):
        assert (await client.complete("some/community", "Hi")).text
    creations = [r.path for r in replicate_emulator.requests if r.kind == "create"]
    by_version = "/v1/predictions"
    assert creations == ["/v1/models/some/community/predictions", by_version, by_version]


@pytest.mark.parametrize(
    ("fault", "is_unknown"),
    [
        (Fault(on="create", lose_reply=True), True),
        (Fault(on="create", cut_after=20), True),
        (Fault(on="create", body="<html>", status=201), True),
        (Fault(on="create", delay=5), True),
        (Fault(on="create", status=500), True),
        (Fault(on="create", status=502, body="<html>"), True),
        (Fault(on="create", status=503), True),
        (Fault(on="create", status=503, headers={"retry-after": "900"}), False),
        (Fault(on="create", status=504), True),
        (Fault(on="create", status=422), False),
        (Fault(on="create", status=429, headers={"retry-after": "900"}), False),
        (Fault(on="model", status=500), False),
        (Fault(on="create", garbage=b"\x16\x03\x01 no http"), True),
    ],
    ids=str,
)
async def test_an_error_tells_whether_a_prediction_may_exist_without_a_response(
    replicate_emulator: Emulator, fault: Fault, is_unknown: bool
) -> None:
    replicate_emulator.fault(fault)
    settings: Any = {"timeout": 0.3, "deadline": 60, "max_retries": 0}
    async with Client(base_url=replicate_emulator.base_url, **settings) as client:
        with pytest.raises(ReplicateError) as caught:
            await client.complete(replicate_emulator.model, "Hi")
    assert caught.value.has_unknown_outcome is is_unknown


async def test_nothing_is_unknown_where_no_server_can_be_reached() -> None:
    async with Client("r8_fake", base_url="http://127.0.0.1:1", max_retries=0) as client:
        with pytest.raises(ReplicateConnectionError) as caught:
            await client.complete("deployments/acme/model", "Hi")
    assert not caught.value.has_unknown_outcome

"""The log tells operators what was repeated, reopened and canceled, and why, without any text."""

from __future__ import annotations

import logging

import pytest

from replicate_stream import Client, TextDelta
from replicate_stream.testing import Emulator, Fault

SECRET = "a question that nobody may log"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "replicate_stream")
    return caplog


def get_lines(log: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in log.records if each.name == "replicate_stream"]


async def test_a_repeated_request_has_a_line_with_its_reason(
    replicate_emulator: Emulator, log: pytest.LogCaptureFixture
) -> None:
    replicate_emulator.fault(Fault(on="model", status=503))
    async with Client() as client:
        await client.complete(replicate_emulator.model, SECRET)
    repeated, ended = get_lines(log)
    assert repeated.startswith("repeated in ")
    assert "503" in repeated
    assert "succeeded" in ended
    assert SECRET not in log.text
    assert replicate_emulator.token not in log.text


async def test_a_stream_that_broke_has_a_line(
    replicate_emulator: Emulator, log: pytest.LogCaptureFixture
) -> None:
    replicate_emulator.reply = ["Hello", ", ", "world"]
    replicate_emulator.fault(Fault(on="stream", cut_after=50))
    replicate_emulator.behaviour.finish_lag = 5  # the record does not show the end yet
    async with Client() as client:
        completion = await client.complete(replicate_emulator.model, SECRET)
    assert completion.text == "Hello, world"
    (prediction_id,) = replicate_emulator.predictions
    assert get_lines(log)[0] == (
        f"prediction {prediction_id}: its stream broke, and is opened again"
    )


async def test_a_text_of_the_service_cannot_forge_a_line(
    replicate_emulator: Emulator, log: pytest.LogCaptureFixture
) -> None:
    replicate_emulator.fault(
        Fault(on="model", status=503, body={"detail": "a\nb\r\x1b[31m\u2028ä"})
    )
    async with Client() as client:
        await client.complete(replicate_emulator.model, SECRET)
    assert get_lines(log)[0].endswith(r"a\nb\r\x1b[31m\u2028ä")


async def test_a_cancel_has_a_line(log: pytest.LogCaptureFixture) -> None:
    with Emulator(["word "] * 1000, token_delay=0.01) as emulator:
        client = Client(emulator.token, base_url=emulator.base_url)
        async with client, client.stream(emulator.model, SECRET) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
        (prediction_id,) = emulator.predictions
    canceled, ended = get_lines(log)
    assert canceled == f"prediction {prediction_id} is canceled: it is not read any more"
    assert ended.startswith(f"prediction {prediction_id} of {emulator.model}: canceled")

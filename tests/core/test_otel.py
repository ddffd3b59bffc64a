"""Each prediction is a span and metrics by the conventions, a child of whatever asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from opentelemetry.trace import StatusCode

from langchain_replicate_stream import ChatReplicate
from llama_index_replicate_stream import Replicate
from replicate_stream import (
    Client,
    InvalidInputError,
    PredictionFailedError,
    Price,
    ReplicateConnectionError,
    ResponseError,
    UnsupportedParameterError,
    otel,
)
from replicate_stream.testing import Emulator, Fault, Reply
from tests.cog_server import CogServer
from tests.telemetry import Telemetry


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    uninstrument = otel.instrument(telemetry.tracer_provider, telemetry.meter_provider)
    yield telemetry
    uninstrument()


async def ask_core(emulator: Emulator) -> None:
    async with Client(emulator.token, base_url=emulator.base_url) as client:
        await client.complete(emulator.model, "Hi")


async def ask_langchain(emulator: Emulator) -> None:
    async for _ in ChatReplicate(model=emulator.model).astream("Hi"):
        pass


async def ask_langchain_blocking(emulator: Emulator) -> None:
    await asyncio.to_thread(ChatReplicate(model=emulator.model).invoke, "Hi")


async def ask_llama_index(emulator: Emulator) -> None:
    await Replicate(emulator.model).acomplete("Hi")


async def ask_llama_index_blocking(emulator: Emulator) -> None:
    for _ in Replicate(emulator.model).stream_complete("Hi"):
        pass


@pytest.mark.parametrize(
    "ask",
    [
        ask_core,
        ask_langchain,
        ask_langchain_blocking,
        ask_llama_index,
        ask_llama_index_blocking,
    ],
)
async def test_a_span_is_a_child_of_what_asked_for_it_also_across_threads(
    ask: Any, telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["Hello", " world"]
    with telemetry.tracer.start_as_current_span("the user's") as parent:
        await ask(replicate_emulator)
    span = telemetry.spans[f"chat {replicate_emulator.model}"]
    assert span.parent is not None
    assert span.parent.span_id == parent.get_span_context().span_id
    (prediction_id,) = replicate_emulator.predictions
    attributes = dict(span.attributes or {})
    assert attributes.pop("gen_ai.response.time_to_first_chunk") > 0  # type: ignore[operator]
    assert attributes.pop("replicate.prediction.predict_time") >= 0  # type: ignore[operator]
    assert attributes.pop("gen_ai.usage.input_tokens") > 0  # type: ignore[operator]
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "replicate",
        "gen_ai.request.model": replicate_emulator.model,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.id": prediction_id,
        "gen_ai.usage.output_tokens": 2,
        "replicate.prediction.status": "succeeded",
    }
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time < span.end_time


async def test_metrics_have_duration_first_chunk_and_tokens(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["Hello", " world"]
    await ask_core(replicate_emulator)
    common = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "replicate",
        "gen_ai.request.model": replicate_emulator.model,
    }
    for name in ("duration", "time_to_first_chunk"):
        (point,) = telemetry.get_points(f"gen_ai.client.operation.{name}")
        assert (point.count, dict(point.attributes)) == (1, common)
        assert point.sum > 0
    sums = {
        point.attributes["gen_ai.token.type"]: point.sum
        for point in telemetry.get_points("gen_ai.client.token.usage")
    }
    assert sums["output"] == 2
    assert sums["input"] > 0


async def test_a_failure_is_an_error_of_its_class_without_the_models_words(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["Hel"], error="a secret text")
    with pytest.raises(PredictionFailedError):
        await ask_core(replicate_emulator)
    span = telemetry.spans[f"chat {replicate_emulator.model}"]
    assert (span.attributes or {})["error.type"] == "PredictionFailedError"
    assert span.status.description == "PredictionFailedError"
    assert "secret" not in span.to_json()
    (point,) = telemetry.get_points("gen_ai.client.operation.duration")
    assert point.attributes["error.type"] == "PredictionFailedError"


def refuse(emulator: Emulator, on: Literal["model", "create"]) -> None:
    emulator.fault(Fault(on=on, status=402, body={"detail": "a secret text"}), times=None)


@pytest.mark.parametrize(
    "ask",
    [ask_core, ask_langchain, ask_langchain_blocking, ask_llama_index, ask_llama_index_blocking],
)
@pytest.mark.parametrize("on", ["model", "create"])
async def test_a_request_that_is_refused_is_an_error_without_a_prediction(
    ask: Any, on: Literal["model", "create"], telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    refuse(replicate_emulator, on)
    with (
        telemetry.tracer.start_as_current_span("the user's") as parent,
        pytest.raises(ResponseError),
    ):
        await ask(replicate_emulator)
    span = telemetry.spans[f"chat {replicate_emulator.model}"]
    assert span.parent is not None
    assert span.parent.span_id == parent.get_span_context().span_id
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "replicate",
        "gen_ai.request.model": replicate_emulator.model,
        "error.type": "ResponseError",
    }
    assert span.status.status_code == StatusCode.ERROR
    (point,) = telemetry.get_points("gen_ai.client.operation.duration")
    assert (point.count, point.attributes["error.type"]) == (1, "ResponseError")
    assert "secret" not in telemetry.to_text()


@pytest.mark.parametrize("ask", [ask_core, ask_langchain, ask_llama_index])
@pytest.mark.parametrize("on", ["model", "create"])
async def test_a_request_that_is_cancelled_before_its_reply_is_an_error(
    ask: Any, on: Literal["model", "create"], telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on=on, stall_after=0))
    task = asyncio.create_task(ask(replicate_emulator))
    await replicate_emulator.wait_for_async(lambda e: any(r.kind == on for r in e.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    span = telemetry.spans[f"chat {replicate_emulator.model}"]
    assert (span.attributes or {})["error.type"] == "CancelledError"
    assert span.status.status_code == StatusCode.ERROR


@pytest.mark.parametrize("on", ["model", "create"])
async def test_a_refused_embedding_is_an_error_too(
    on: Literal["model", "create"], telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    refuse(replicate_emulator, on)
    model = replicate_emulator.embedding_model
    async with Client(replicate_emulator.token, base_url=replicate_emulator.base_url) as client:
        with pytest.raises(ResponseError):
            await client.embed(model, ["Hello"])
    attributes = telemetry.spans[f"embeddings {model}"].attributes or {}
    assert attributes["error.type"] == "ResponseError"


async def test_a_container_that_cannot_be_reached_is_an_error(
    telemetry: Telemetry,
) -> None:
    async with Client(base_url="http://127.0.0.1:1", dialect="cog", max_retries=0) as client:
        with pytest.raises(ReplicateConnectionError):
            await client.complete("own/model", "Hi")
    attributes = telemetry.spans["chat own/model"].attributes or {}
    assert attributes["error.type"] == "ReplicateConnectionError"


async def test_a_container_whose_model_cannot_boot_is_an_error(telemetry: Telemetry) -> None:
    server = CogServer(health=["STARTING", "SETUP_FAILED"])
    async with server.listen(), Client(base_url=server.base_url, dialect="cog") as client:
        with pytest.raises(ResponseError):
            await client.complete("own/model", "Hi")
    attributes = telemetry.spans["chat own/model"].attributes or {}
    assert attributes["error.type"] == "ResponseError"


async def test_a_prediction_that_takes_the_place_of_a_refused_one_is_a_span_of_its_own(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on="create", status=429, headers={"Retry-After": "0"}))
    await ask_core(replicate_emulator)
    (point,) = telemetry.get_points("gen_ai.client.operation.duration")
    assert (point.count, "error.type" in point.attributes) == (1, False)


@pytest.mark.parametrize("model", ["r8_a_token_by_mistake", "../x"])
async def test_an_invalid_argument_is_no_request_and_no_span(
    model: str, telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    async with client:
        with pytest.raises(InvalidInputError):
            await client.complete(model, "Hi")
        with pytest.raises(UnsupportedParameterError):
            await client.complete(replicate_emulator.model, "Hi", extra_input={"nothing": 1})
    assert telemetry.spans == {}


async def test_an_embedding_is_an_operation_of_its_own(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    model = replicate_emulator.embedding_model
    token, base_url = replicate_emulator.token, replicate_emulator.base_url
    prices = {model: Price(second=1.0)}
    async with Client(token, base_url=base_url, prices=prices) as client:
        await client.embed(model, ["Hello"])
    attributes = telemetry.spans[f"embeddings {model}"].attributes or {}
    assert attributes["gen_ai.operation.name"] == "embeddings"
    assert attributes["replicate.prediction.cost"] == pytest.approx(client.spent.cost)


async def test_nothing_is_written_after_the_end_of_the_instrumentation(
    replicate_emulator: Emulator,
) -> None:
    telemetry = Telemetry()
    otel.instrument(telemetry.tracer_provider, telemetry.meter_provider)()
    await ask_core(replicate_emulator)
    assert telemetry.spans == {}

"""What observers see of predictions: reports, spans, journals, vectors, containers, the pool."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from replicate_stream import Client, PredictionReport, Price, ReplicateError, otel
from replicate_stream._api import sessions
from replicate_stream.testing import Emulator, Fault, HashingEmbedder, Reply
from tests.cog_server import CogServer
from tests.reliability.observers import (
    ECHO,
    FAULTS,
    HEADERS,
    KEY,
    MESSAGES,
    PROMPT,
    TOKEN,
    Seen,
    logs_of_everything,
    make_client,
    show_error,
    show_frames,
)

EMBEDDER = "acme/embedder"
TEXTS = {"texts": {"type": "array", "items": {"type": "string"}}}


async def collect_reports(emulator: Emulator) -> Seen:
    """Reports, sums, spans and metrics, of answers, vectors and failures."""
    reports: list[PredictionReport] = []
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    uninstrument = otel.instrument(provider, MeterProvider([reader]))
    settings: dict[str, Any] = {
        "prices": {emulator.model: Price(1.0, 1.0)},
        "budget": {"tokens": 9**9},
    }
    client = make_client(emulator, on_prediction=reports.append, max_retries=0, **settings)
    try:
        async with client:
            await client.complete(emulator.model, MESSAGES)
            emulator.reply = Reply(["an "], error=ECHO)
            for fault in (None, *FAULTS):
                if fault is not None:
                    emulator.fault(fault)
                with suppress(ReplicateError):
                    await client.complete(emulator.model, MESSAGES)
                emulator.clear_faults()
    finally:
        uninstrument()
    assert {report.error for report in reports} >= {None, "PredictionFailedError"}
    spans = [span.to_json() for span in exporter.get_finished_spans()]
    # A request that no prediction came of is a span, and its error is the caller's.
    assert sum("gen_ai.response.id" in span for span in spans) == len(reports) < len(spans)
    values: list[Any] = [*reports, client, client.spent, vars(client), reader.get_metrics_data()]
    pickles = [pickle.dumps(make_client(emulator, **settings)), *map(pickle.dumps, reports)]
    return [*map(repr, values), *spans, *(each.decode("latin1") for each in pickles)]


async def collect_journal(emulator: Emulator) -> Seen:
    """Journal and results of a batch, whose requests fail in every way, and a run that goes on."""
    seen: Seen = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        for fault in (None, *FAULTS, None):
            if fault is not None:
                emulator.fault(fault)
            async with make_client(emulator, max_retries=0) as client:
                requests = dict.fromkeys(range(len(seen) + 2), MESSAGES).items()
                with suppress(ReplicateError):  # a refused token ends a batch
                    async for result in client.batch(emulator.model, requests, journal=path):
                        seen += [repr(result), *show_error(result.error)]
            emulator.clear_faults()
        seen.append(path.read_text())
    assert "unknown" in seen[-1] or "error" in seen[-1]
    return seen


async def collect_batch_files(emulator: Emulator) -> Seen:
    """Output, journal and messages of the command line's batch."""
    environment = {
        **os.environ,
        "REPLICATE_API_TOKEN": TOKEN,
        "REPLICATE_BASE_URL": emulator.base_url,
    }
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        (folder / "in.jsonl").write_text(json.dumps({"key": "a", "prompt": PROMPT}))

        def list_outputs() -> list[Path]:
            return list(folder.glob("out.*"))

        seen: Seen = []
        for fault in (*FAULTS, None):
            if fault is not None:
                emulator.fault(fault)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-X", "dev", "-m", "replicate_stream", "batch", "in.jsonl"),
                *("-o", "out.jsonl", "-m", emulator.model, "--retry-failed"),
                cwd=folder,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            seen += [each.decode() for each in await process.communicate()]
            seen += [each.read_text() for each in await asyncio.to_thread(list_outputs)]
            emulator.clear_faults()
        assert '"text": "an answer"' in (folder / "out.jsonl").read_text()
    # The command line sends no headers but its own, so the key comes from the server alone.
    return [each.replace(KEY, "") for each in seen]


async def _call_each(
    emulator: Emulator, show: Callable[[ReplicateError], Any], outputs: Sequence[Any] = ()
) -> Seen:
    """The errors of embeddings, resumed predictions and lists of models."""
    emulator.add_model(
        EMBEDDER,
        {"type": "object", "properties": TEXTS},
        output_schema={"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        official=True,
        reply=HashingEmbedder(8),
    )
    seen: Seen = []
    replies = [*(Reply(output=output) for output in outputs), Reply(error=ECHO)]
    for fault in (None, *FAULTS):
        async with make_client(emulator, max_retries=0) as client:
            done = await client.complete(emulator.model, MESSAGES)
            calls: list[Callable[[], Awaitable[Any]]] = [
                lambda client=client: client.embed(EMBEDDER, [PROMPT]),  # type: ignore[misc]  # bound at once
                lambda client=client: client.models("x"),  # type: ignore[misc]
                lambda client=client, done=done: _resume(client, done.prediction.id),  # type: ignore[misc]
            ]
            for call in calls:
                if fault is not None:
                    emulator.fault(fault)
                    for kind in ("get", "list", "other"):
                        emulator.fault(Fault(on=kind, status=500, body={"detail": ECHO}))
                try:
                    await call()
                except ReplicateError as error:
                    seen += show(error)
                emulator.clear_faults()
    for reply in replies:
        emulator.add_model(
            EMBEDDER, {"type": "object", "properties": TEXTS}, official=True, reply=reply
        )
        async with make_client(emulator, max_retries=0) as client:
            try:
                await client.embed(EMBEDDER, [PROMPT])
            except ReplicateError as error:
                seen += show(error)
    assert seen
    return seen


async def _resume(client: Client, prediction_id: str) -> None:
    async with client.resume(prediction_id) as events:
        async for _ in events:
            pass


async def collect_other_errors(emulator: Emulator) -> Seen:
    outputs = [{PROMPT: [1.0]}, [{PROMPT: 1}], {TOKEN: 1}, TOKEN, [TOKEN]]
    return await _call_each(emulator, lambda error: list(show_error(error)), outputs)


async def collect_other_frames(emulator: Emulator) -> Seen:
    return await _call_each(emulator, lambda error: list(show_frames(error)))


async def collect_cog(_: Emulator) -> Seen:
    """A container that sends back what it was sent, in each of its replies."""
    echo = f"{KEY}, {PROMPT}"
    refusal = {"detail": [{"loc": ["body", "input", "prompt"], "msg": echo, "input": PROMPT}]}
    event = b'event: error\ndata: {"error": "%b"}\n\n' % KEY.encode()
    servers: list[CogServer] = [
        CogServer(),
        CogServer(refusals=[(422, refusal)] * 2),
        CogServer(refusals=[(500, {"error": echo})] * 3),
        CogServer(end={"status": "failed", "error": KEY, "logs": KEY}),
        CogServer(extra_events=event),
        CogServer(health=["SETUP_FAILED"]),
    ]
    seen: Seen = []
    with logs_of_everything() as logged:
        for server in servers:
            async with server.listen():
                settings: Mapping[str, Any] = {"headers": HEADERS, "max_retries": 0}
                client = Client(base_url=server.base_url, dialect="cog", **settings)
                async with client:
                    try:
                        answer = await client.complete("a/b", MESSAGES)
                        seen += [repr(answer), repr(client)]
                    except ReplicateError as error:
                        seen += show_error(error)
                seen.append(pickle.dumps(client).decode("latin1"))
            assert server.requests[-1].headers["x-gateway-key"] == KEY
    assert seen
    return [*seen, *logged]


async def collect_pool(emulator: Emulator) -> Seen:
    """The sessions that clients share, while two of them are in use."""
    async with make_client(emulator) as one, make_client(emulator) as two:
        await one.complete(emulator.model, MESSAGES)
        async with two.stream(emulator.model, MESSAGES) as events:
            await events.__anext__()
            pools = list(sessions._pools.values())
            assert pools
            values: list[Any] = [sessions._pools]
            for pool in pools:
                hosts = list(pool._stream_hosts.values())
                values += [vars(pool), dict(pool.session.headers), vars(pool.session.connector)]
                values += [vars(host) for host in hosts]
    return [*map(repr, values), *map(str, values)]

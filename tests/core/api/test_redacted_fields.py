"""A server that sends the token back in any field of any reply: nothing that is kept shows it."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

import replicate_stream
from replicate_stream import Client, ReplicateError
from replicate_stream.testing import Emulator, Fault
from tests.cog_server import SCHEMA, CogServer

TOKEN = "r8_Fake_marked_token"
KEY = "Fake_marked_key"
MODEL = "a" * 64
PACKAGE = str(Path(replicate_stream.__file__).parent)
SCHEMAS = SCHEMA["components"]["schemas"]
Seen = list[object]


def set_field(record: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Copy JSON with the value in a field, which is named by its path."""
    name, _, rest = path.partition("/")
    inner = record.get(name)
    nested = inner if isinstance(inner, Mapping) else {}
    return {**record, name: set_field(nested, rest, value) if rest else value}


def show_error(error: BaseException | None) -> Iterator[str]:
    """Everything of an exception and its causes that a log, a tracker or a pickle may keep."""
    if error is None:
        return
    yield from (
        str(error),
        repr(error),
        repr(vars(error)),
        "".join(traceback.format_exception(error)),
    )
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(PACKAGE):
            yield from map(repr, frame.f_locals.values())
    yield from show_error(error.__cause__)
    yield from show_error(error.__context__)


async def observe(client: Client, seen: Seen, **parameters: Any) -> None:
    """Stream an answer, and keep all that a program may keep of it."""
    try:
        async with client.stream(MODEL, "Hi", **parameters) as events:
            async for event in events:
                seen.append(event)
            seen.append(events.prediction)
    except ReplicateError as error:
        seen.append(error)
    else:
        seen += [events.prediction, events.usage]


def assert_hidden(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    shown = [each.getMessage() for each in caplog.records if each.name == "replicate_stream"]
    for each in seen:
        shown += [repr(each), str(each), str(pickle.dumps(each))]
        shown += show_error(each) if isinstance(each, BaseException) else ()
    text = "\n".join(shown).lower()
    for mark in (TOKEN, KEY):
        assert mark[: len(mark) // 2].lower() not in text
        assert mark[len(mark) // 2 :].lower() not in text


def make(client_of: Callable[..., Client], seen: Seen, **settings: Any) -> Client:
    headers = {"X-Gateway-Key": KEY}
    settings = {"api_key": TOKEN, "timeout": 0.4, "max_retries": 1, **settings}
    return client_of(headers=headers, on_prediction=seen.append, **settings)


# The record of a prediction, in the reply to its creation, a look-up and a cancel request

FIELDS = [
    "id", "status", "model", "version", "error", "logs", "created_at", "started_at",
    "completed_at", "source", "detail", "metrics/note", f"metrics/{TOKEN}", "metrics/a/b",
    "urls/get", "urls/cancel", "urls/web", "urls/other", "urls/stream", "data_removed",
]  # fmt: skip
FORMS = {"text": "Bearer {}", "path": "$URL/predictions/{}", "host": "http://{}/x"}
STAGES: tuple[Literal["create", "get", "cancel"], ...] = ("create", "get", "cancel")


def list_forms(field: str) -> list[str]:
    return ["path", "host"] if field.startswith("urls") else ["text"]


@pytest.mark.parametrize("status", ["failed", "processing"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("field", "form"), [(field, form) for field in FIELDS for form in list_forms(field)]
)
async def test_no_field_of_a_record_is_kept_with_the_token(
    make_client: Callable[..., Client],
    replicate_emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    stage: Any,
    status: str,
    field: str,
    form: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    url, seen = replicate_emulator.base_url, Seen()
    urls = {"get": f"{url}/predictions/p1", "cancel": f"{url}/predictions/p1/cancel"}
    record = {"id": "p1", "status": "processing", "urls": urls}
    value = FORMS[form].replace("$URL", url).format(TOKEN)
    last = set_field({**record, "status": status, "output": "an answer"}, field, value)
    for kind in STAGES[STAGES.index(stage) :]:
        replicate_emulator.fault(Fault(on=kind, status=200, body=last), times=None)
    for kind in STAGES[: STAGES.index(stage)]:
        replicate_emulator.fault(Fault(on=kind, status=200, body=record), times=None)
    await observe(make(make_client, seen, deadline=0.3), seen)
    assert seen
    assert_hidden(seen, caplog)


# Other replies


def fault(on: Any, body: Any = None, status: int = 200, **headers: str) -> Fault:
    return Fault(on=on, status=status, body=body, headers=headers)


async def list_models(client: Client, seen: Seen) -> None:
    seen += [*await client.models("llama")]


async def describe(client: Client, seen: Seen) -> None:
    await client.describe("acme/text")


async def send_file(client: Client, seen: Seen) -> None:
    image = {"type": "image", "data": b"\x89PNG\r\n\x1a\n" + bytes(300_000)}
    await client.complete("acme/eye", [{"role": "user", "content": [image]}])


async def ask(client: Client, seen: Seen) -> None:
    await observe(client, seen)


async def ask_for_more(client: Client, seen: Seen) -> None:
    await observe(client, seen, top_k=5, extra_input={"mood": "x"})


async def ask_deployment(client: Client, seen: Seen) -> None:
    seen.append(await client.complete("deployments/acme/text", "Hi"))


def build_model(**fields: Any) -> dict[str, Any]:
    version = {"id": "b" * 64, "openapi_schema": SCHEMA}
    return {
        "owner": "acme",
        "name": "text",
        "is_official": True,
        "latest_version": version,
    } | fields


def build_schema(properties: Any) -> dict[str, Any]:
    schemas = {**SCHEMAS, "Input": {"type": "object", "properties": properties}}
    return {"openapi_schema": {"components": {"schemas": schemas}}}


PROMPT = {"prompt": {"type": "string"}}
REDIRECTS = (f"/v1/{TOKEN}", f"http://127.0.0.1:1/{TOKEN}", f"http://{TOKEN}.localhost:1/x", TOKEN)
REPLIES: dict[str, tuple[Callable[[Client, Seen], Awaitable[None]], list[Fault]]] = {
    **{
        f"a {status}, header {name}": (
            describe,
            [fault("any", {"detail": "no"}, status, **{name: f"Bearer {TOKEN} {KEY}"})],
        )
        for status in (401, 404, 422, 429, 500)
        for name in ("X-Request-Id", "Retry-After", "Location", "WWW-Authenticate", f"X-{TOKEN}")
    },
    **{
        f"a redirect to {place}": (describe, [fault("any", status=307, Location=place)])
        for place in REDIRECTS
    },
    "a redirected creation": (ask, [fault("create", status=307, Location=f"/v1/{TOKEN}")]),
    "a large reply behind a redirect": (
        describe,
        [
            fault("model", {}, 302, Location=f"/v1/models/acme/{TOKEN}?{KEY}"),
            fault("model", " " * 100_001),
        ],
    ),
    **{
        f"a model's {field}": (
            list_models,
            [fault("list", {"models": [{"model": set_field(build_model(), field, TOKEN)}]})],
        )
        for field in ("owner", "name", "description", "url", "latest_version/id")
    },
    "the next page": (
        list_models,
        [
            fault("list", {}, 404),
            fault("list", {"results": [], "next": f"$URL/models/{TOKEN}"}),
            fault("any", {"detail": "no"}, 500),
        ],
    ),
    "the name of an input": (
        ask_for_more,
        [fault("version", build_schema({**PROMPT, TOKEN: {"type": "string"}}))],
    ),
    "the values of an input": (
        ask_for_more,
        [fault("version", build_schema({**PROMPT, "mood": {"enum": [TOKEN, KEY]}}))],
    ),
    "the range of an input": (
        ask_for_more,
        [fault("version", build_schema({**PROMPT, "top_k": {"maximum": TOKEN, "title": TOKEN}}))],
    ),
    **{
        f"a deployment's {field}": (
            ask_deployment,
            [
                fault(
                    "deployment",
                    {"current_release": {"model": "a/b", "version": "c", field: TOKEN}},
                ),
                fault("any", {"detail": "no"}, 500),
            ],
        )
        for field in ("model", "version")
    },
    "the URL of a file": (send_file, [fault("file", {"urls": {"get": f"http://x/{TOKEN}"}})]),
}


@pytest.mark.parametrize("name", REPLIES)
async def test_no_other_reply_is_kept_with_the_token(
    make_client: Callable[..., Client],
    replicate_emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("replicate_stream._api.http.MAX_RESPONSE_BYTES", 100_000)
    seen = Seen()
    replicate_emulator.add_model("acme/eye", {"properties": {**PROMPT, "image": {"format": "uri"}}})
    ask_for, faults = REPLIES[name]
    for each in faults:
        body = json.loads(json.dumps(each.body).replace("$URL", replicate_emulator.base_url))
        times = None if each is faults[-1] else 1
        replicate_emulator.fault(replace(each, body=body), times=times)
    client = make(make_client, seen, timeout=5)
    try:
        await ask_for(client, seen)
    except ReplicateError as error:
        seen.append(error)
    assert seen or name.startswith("a redirect to")
    assert_hidden(seen, caplog)


EVENTS = {
    "a name": f"event: {TOKEN}\ndata: x\n\n",
    "an id": f"event: output\nid: {TOKEN}\ndata: x\n\n",
    "a comment": f": {TOKEN}\n\n: 408 {TOKEN}\n\n",
    "a log": f"event: logs\ndata: {TOKEN}\n\n",
    "a reason": f'event: done\ndata: {{"reason": "{TOKEN}"}}\n\n',
    "a reason that is no text": f'event: done\ndata: {{"reason": ["{TOKEN}"]}}\n\n',
    "a field": f"event: {'x' * 40}{TOKEN}\ndata: {TOKEN}\n{TOKEN}: {TOKEN}\n\n",
    "an error": f"event: error\ndata: {TOKEN}\n\n",
    "an error's detail": f'event: error\ndata: {{"detail": {{"{TOKEN}": ["{KEY}"]}}}}\n\n',
    "another field of an error": f'event: error\ndata: {{"code": "{TOKEN}"}}\n\n',
}


@pytest.mark.parametrize("name", EVENTS)
async def test_no_event_of_a_stream_is_kept_with_the_token(
    make_client: Callable[..., Client],
    replicate_emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    seen, url = Seen(), replicate_emulator.base_url
    record = {"id": "p1", "status": "processing", "urls": {"stream": f"{url}/models/acme/text"}}
    replicate_emulator.fault(fault("create", record), times=None)
    replicate_emulator.fault(fault("get", {**record, "status": "failed"}), times=None)
    reply = Fault(
        on="model", status=200, body=EVENTS[name] + "data", content_type="text/event-stream"
    )
    replicate_emulator.fault(reply, times=None)
    await observe(make(make_client, seen, deadline=1), seen)
    assert_hidden(seen, caplog)


# Containers of Cog


@pytest.fixture
async def cog() -> AsyncIterator[CogServer]:
    async with CogServer().listen() as server:
        yield server


COG_FIELDS = [field.replace(TOKEN, KEY) for field in FIELDS]
COG_ENDS = [set_field({}, field, f"Bearer {KEY}") for field in COG_FIELDS]
COG_EVENTS = ("error", "log", "metric", "start", KEY, "output")
COG_EVENT = json.dumps({"error": KEY, "status": KEY})
COG: dict[str, dict[str, Any]] = {
    **{
        f"the record's {field}": {"end": end}
        for field, end in zip(COG_FIELDS, COG_ENDS, strict=True)
    },
    **{
        f"an event {name}": {"extra_events": f"event: {name}\ndata: {COG_EVENT}\n\n".encode()}
        for name in COG_EVENTS
    },
    **{
        f"a refusal {status}, {field}": {"refusals": [(status, {field: f"no {KEY}"})] * 5}
        for status in (400, 404, 406, 409, 422, 429, 500, 503)
        for field in ("detail", "error", "status", "title", KEY)
    },
    "the health": {"health": [KEY, "READY"]},
    "the status of a dead model": {"health": ["SETUP_FAILED"], "logs": f"{'x' * 280}{KEY}"},
    "the schema": {
        "schema": {"components": {"schemas": {**SCHEMAS, "Input": {"properties": {KEY: {}}}}}}
    },
}


@pytest.mark.parametrize("name", COG)
async def test_no_reply_of_a_container_is_kept_with_a_secret(
    make_client: Callable[..., Client],
    cog: CogServer,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    for field, value in COG[name].items():
        setattr(cog, field, value)
    seen = Seen()
    client = make(make_client, seen, base_url=cog.base_url, dialect="cog", deadline=1)
    if name == "the schema":
        await ask_for_more(client, seen)
    else:
        await observe(client, seen)
    assert_hidden(seen, caplog)

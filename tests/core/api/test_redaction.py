"""A server that sends the token back, and failures on the way: the token is in no error of ours."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import replicate_stream
from replicate_stream import (
    Client,
    InvalidInputError,
    PredictionFailedError,
    Replicate,
    ReplicateError,
)
from replicate_stream.testing import Emulator, Fault

TOKEN = "r8_fake_marked_token"
KEY = "fake_marked_key"
PACKAGE = str(Path(replicate_stream.__file__).parent)
MakeClient = Callable[..., Client]


def show(error: BaseException | None) -> Iterator[str]:
    """Everything of an exception and its causes that a log, a tracker or a pickle may keep."""
    if error is None:
        return
    yield from (str(error), repr(error), repr(vars(error)), repr(error.args))
    yield "".join(traceback.format_exception(error))
    yield repr(pickle.dumps(error)) if isinstance(error, ReplicateError) else ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(PACKAGE):
            for value in frame.f_locals.values():
                yield value if isinstance(value, str) else repr(value)
                if isinstance(value, Mapping):  # a tracker walks through it
                    yield repr(dict(value.items()))
    yield from show(error.__cause__)
    yield from show(error.__context__)


def assert_hidden(error: BaseException, *others: str) -> None:
    shown = "\n".join([*show(error), *others])
    for secret in (TOKEN, KEY):
        assert secret not in shown
        assert secret[: len(secret) // 2] not in shown


BODIES: list[Any] = [
    {"detail": f"invalid header: Authorization: Bearer {TOKEN}"},
    {"title": f"Bearer {TOKEN}", "detail": f"{KEY} is no key"},
    {"detail": [{"loc": ["header", TOKEN], "msg": f"Bearer {TOKEN}"}]},
    {"detail": {f"Bearer {TOKEN}": [KEY]}},
    {"error": f"Bearer {TOKEN}"},
    {"detail": "no", "invalid_fields": [{"field": f"input.{TOKEN}", "description": KEY}]},
    {"detail": "no", "invalid_fields": [{"field": "", "description": f"{TOKEN} is required"}]},
    f"<html><body><pre>Authorization: Bearer {TOKEN}\nX-Gateway-Key: {KEY}</pre></body></html>",
    f"{'x' * 290} {TOKEN}",
    f"{'<i></i>' * 1_170}   {TOKEN}",
    json.dumps(f"Bearer {TOKEN}"),
    json.dumps([f"Bearer {TOKEN}", KEY]),
]


@pytest.mark.parametrize("status", [200, 400, 401, 404, 422, 500])
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_secrets_that_a_reply_sends_back_are_redacted(
    make_client: MakeClient, replicate_emulator: Emulator, body: Any, status: int
) -> None:
    client = make_client(api_key=TOKEN, max_retries=0, headers={"X-Gateway-Key": KEY})
    replicate_emulator.fault(Fault(on="any", status=status, body=body), times=None)
    with pytest.raises(ReplicateError) as caught:
        await client.complete("a" * 64, "Hi")
    assert_hidden(caught.value)


FAILED = {"id": "p1", "status": "failed", "error": f"Bearer {TOKEN}", "logs": f"got {TOKEN} {KEY}"}
DONE = 'event: done\ndata: {"reason": "error"}\n\n'
EVENTS = [
    f'event: error\ndata: {{"detail": "Bearer {TOKEN}"}}\n\n{DONE}',
    f"event: error\ndata: Bearer {TOKEN}\n\n{DONE}",
    f'event: done\ndata: {{"reason": "{TOKEN}"}}\n\n',
    f"event: done\ndata: Bearer {TOKEN}\n\n",
]


async def test_secrets_in_a_failed_predictions_record_are_redacted(
    make_client: MakeClient, replicate_emulator: Emulator
) -> None:
    client = make_client(api_key=TOKEN, headers={"X-Gateway-Key": KEY})
    replicate_emulator.fault(Fault(on="create", status=201, body=FAILED))
    with pytest.raises(PredictionFailedError, match="redacted") as caught:
        await client.complete("a" * 64, "Hi")
    assert_hidden(caught.value)


@pytest.mark.parametrize("events", EVENTS)
async def test_secrets_in_a_streams_events_are_redacted(
    make_client: MakeClient, replicate_emulator: Emulator, events: str
) -> None:
    stream = f"{replicate_emulator.base_url}/models/{replicate_emulator.model}"
    record = {"id": "p1", "status": "processing", "urls": {"stream": stream}}
    client = make_client(api_key=TOKEN, timeout=5)
    replicate_emulator.fault(Fault(on="create", status=201, body=record))
    reply = Fault(on="model", status=200, body=events, content_type="text/event-stream")
    replicate_emulator.fault(reply)
    with pytest.raises(ReplicateError) as caught:
        await client.complete("a" * 64, "Hi")
    assert_hidden(caught.value)


async def return_token() -> str:
    return TOKEN


@pytest.mark.parametrize("key", [TOKEN, lambda: TOKEN, return_token])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="any", status=401, body={"detail": f"Bearer {TOKEN}"}),
        Fault(on="any", drop=True),
        Fault(on="any", garbage=b"SSH-2.0-OpenSSH_9.6\r\n"),
        Fault(on="any", status=307, headers={"Location": "http://127.0.0.1:9/x"}),
        Fault(on="any", status=307, headers={"Location": "http://[x"}),
        Fault(on="any", delay=20),
    ],
    ids=["401", "dropped", "no HTTP", "redirect", "invalid redirect", "time-out"],
)
async def test_no_frame_of_ours_and_no_cause_holds_the_token(
    make_client: MakeClient,
    replicate_emulator: Emulator,
    fault: Fault,
    key: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    client = make_client(api_key=key, max_retries=0, timeout=0.5, headers={"X-Gateway-Key": KEY})
    replicate_emulator.fault(fault, times=None)
    with pytest.raises(ReplicateError) as caught:
        await client.complete("a" * 64, "Hi")
    assert_hidden(caught.value, caplog.text)


async def test_an_unreachable_proxys_password_is_in_no_cause(make_client: MakeClient) -> None:
    client = make_client(api_key=TOKEN, max_retries=0, proxy=f"http://user:{KEY}@127.0.0.1:9")
    with pytest.raises(ReplicateError) as caught:
        await client.complete("a" * 64, "Hi")
    assert_hidden(caught.value)


@pytest.mark.parametrize("body", [KEY, b64encode(f"us:{KEY}".encode()).decode()])
async def test_a_proxys_password_that_it_sends_back_is_redacted(
    make_client: MakeClient, replicate_emulator: Emulator, body: str
) -> None:
    proxy = replicate_emulator.base_url.removesuffix("/v1").replace("//", f"//us:{KEY}@")
    client = make_client(api_key=TOKEN, base_url="http://localhost:9", proxy=proxy)
    replicate_emulator.fault(Fault(on="any", status=407, body=body, headers={"X-Echo": body}))
    with pytest.raises(ReplicateError, match=r"407.*\[redacted") as caught:
        await client.complete("a" * 64, "Hi")
    assert_hidden(caught.value)
    assert body not in str(vars(caught.value))


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": f"{TOKEN}\nX-Evil: 1"},
        {"api_key": lambda: f"{TOKEN} é"},
        {"api_key": TOKEN.encode()},
        {"timeout": -1},
        {"timeout": "5"},
        {"proxy": "x:1"},
        {"proxy": f"http://user:{KEY}@x:99999"},
        {"proxy": f"http://user:{KEY}@[x"},
        {"base_url": f"https://user:{KEY}@x"},
        {"base_url": f"https://user:{KEY}@x:99999"},
        {"headers": {"X-Gateway-Key": f"{KEY}\n"}},
        {"headers": {"X-Gateway-Key": [KEY]}},
        {"headers": [("X-Gateway-Key", KEY)]},
        {"headers": f"X-Gateway-Key: {KEY}"},
        {"headers": {f"X-Gateway-Key: {KEY}": ""}},
    ],
    ids=range(15),
)
async def test_the_frames_of_a_refused_setting_hold_no_secret(settings: Any) -> None:
    given = {"api_key": TOKEN, "headers": {"X-Gateway-Key": KEY}, **settings}
    makers: list[Callable[[], Awaitable[object]]] = [
        lambda: Client(**given).complete("a" * 64, "Hi"),
        lambda: anext(aiter(Replicate.create_async_generator("a" * 64, [], **given))),
    ]
    for make in makers:
        with pytest.raises(InvalidInputError) as caught:
            await make()
        assert_hidden(caught.value)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_the_frames_of_a_refused_proxy_of_the_environment_hold_no_password(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"socks5://user:{KEY}@x:1")
    with pytest.raises(InvalidInputError) as caught:
        Client(TOKEN)
    assert_hidden(caught.value)


async def test_a_redirect_keeps_the_spelling_of_headers_and_the_callers_choice(
    make_client: MakeClient, replicate_emulator: Emulator
) -> None:
    client = make_client(headers={"accept": "text/x", "X-Team": "blue", "authorization": "no"})
    await client.complete(replicate_emulator.model, "Hi")
    for request in replicate_emulator.requests:
        if request.server != "stream":
            assert request.headers["accept"] == "text/x"
            assert request.headers["x-team"] == "blue"
            assert request.headers["authorization"] == f"Bearer {replicate_emulator.token}"

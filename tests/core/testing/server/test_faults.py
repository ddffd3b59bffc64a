"""Faults that a test asks for: the exact effect of each, at the exact byte."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from replicate_stream.testing import Emulator, Fault, Reply

Fixture = Callable[..., Any]

PATH = "/models/meta/meta-llama-3-70b-instruct/predictions"
BODY = {"input": {"prompt": "Hi"}}
STREAM = {"Accept": "text/event-stream"}
INSUFFICIENT_CREDIT = (
    '{"title":"Insufficient credit","detail":"You have insufficient credit to run this model. '
    "Go to https://replicate.com/account/billing#billing to purchase credit. Once you purchase "
    'credit, please wait a few minutes before trying again.","status":402}\n'
)


def exchange(url: str, request: str, *, body: str = "", timeout: float = 5.0) -> tuple[bytes, str]:
    """Send one request over a raw socket.

    Returns:
        All received bytes, and the end of the connection: `closed`, `reset` or `silent`.
    """
    parts = urlsplit(url)
    received = b""
    with socket.create_connection(
        (parts.hostname or "", parts.port or 0), timeout=timeout
    ) as connection:
        head = f"{request} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        token = "Authorization: Bearer r8_FAKE_TOKEN_FOR_TESTS\r\n"
        connection.sendall(f"{head}{token}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        try:
            while portion := connection.recv(65536):
                received += portion
        except ConnectionResetError:
            return received, "reset"
        except TimeoutError:
            return received, "silent"
    return received, "closed"


def exchange_create(emulator: Emulator, timeout: float = 5.0) -> tuple[bytes, str]:
    request = f"POST /v1{PATH}"
    return exchange(emulator.base_url, request, body=json.dumps(BODY), timeout=timeout)


def read_stream(url: str, timeout: float = 5.0) -> tuple[bytes, str]:
    """Return a stream's body, and the end of its connection as `exchange` does."""
    received, end = exchange(url, f"GET {urlsplit(url).path}", timeout=timeout)
    return received.partition(b"\r\n\r\n")[2], end


def run_stream(send: Fixture, emulator: Emulator) -> tuple[str, bytes]:
    """Run a prediction to its end; return the URL and the whole body of its stream."""
    emulator.behaviour.idle_timeout = 0.02
    emulator.reply = ["a", "é\n"]
    url = send("POST", PATH, BODY).json["urls"]["stream"]
    emulator.wait_for(lambda e: all(p.is_terminal for p in e.predictions.values()))
    return url, send("GET", url, headers=STREAM).body


@pytest.mark.parametrize("reset", [False, True], ids=["cleanly", "by a reset"])
def test_a_stream_is_cut_at_any_byte(
    reset: bool, send: Fixture, replicate_emulator: Emulator
) -> None:
    url, whole = run_stream(send, replicate_emulator)
    for at in range(len(whole) + 1):
        replicate_emulator.fault(Fault("stream", cut_after=at, reset=reset))
        body, end = read_stream(url)
        assert body == whole[:at]
        assert end == ("reset" if reset else "closed")
    assert read_stream(url) == (whole, "closed")


def test_a_stream_is_cut_within_later_events(send: Fixture, replicate_emulator: Emulator) -> None:
    _, whole = run_stream(send, replicate_emulator)
    replicate_emulator.behaviour.token_delay = 0.02
    replicate_emulator.behaviour.idle_timeout = 0.5
    at = len(whole) // 2
    replicate_emulator.fault(Fault("stream", cut_after=at))
    body, _ = read_stream(send("POST", PATH, BODY).json["urls"]["stream"])
    ids = re.compile(rb"id: \d+:\d+")
    assert len(body) == at
    assert ids.sub(b"", whole).startswith(ids.sub(b"", body[: body.rindex(b"\n")]))


def test_a_cut_between_two_events_does_not_wait_for_the_second(
    send: Fixture, replicate_emulator: Emulator
) -> None:
    _, whole = run_stream(send, replicate_emulator)
    first = whole.index(b"\n\n", whole.index(b"data: a")) + 2
    replicate_emulator.behaviour.idle_timeout = 60.0
    replicate_emulator.reply = Reply(["a", "never created"], delays=[0.0, 60.0])
    replicate_emulator.fault(Fault("stream", cut_after=first))
    body, end = read_stream(send("POST", PATH, BODY).json["urls"]["stream"])
    assert (body[-9:], end) == (b"data: a\n\n", "closed")


def test_a_stream_stalls_with_its_connection_open(
    send: Fixture, replicate_emulator: Emulator
) -> None:
    url, whole = run_stream(send, replicate_emulator)
    replicate_emulator.fault(Fault("stream", stall_after=10))
    assert read_stream(url, timeout=0.8) == (whole[:10], "silent")
    replicate_emulator.wait_for(lambda e: e.streams_open == 0)


def test_a_fault_happens_the_requested_number_of_times(
    send: Fixture, replicate_emulator: Emulator
) -> None:
    url, whole = run_stream(send, replicate_emulator)
    replicate_emulator.fault(Fault("stream", cut_after=7), times=2)
    assert [len(read_stream(url)[0]) for _ in range(3)] == [7, 7, len(whole)]


def test_a_fault_can_last_until_it_is_cleared(send: Fixture, replicate_emulator: Emulator) -> None:
    replicate_emulator.fault(Fault("model", status=503), times=None)
    path = f"/models/{replicate_emulator.model}"
    assert [send("GET", path).status for _ in range(4)] == [503] * 4
    replicate_emulator.clear_faults()
    assert send("GET", path).status == 200


def test_faults_of_a_kind_happen_in_order(send: Fixture, replicate_emulator: Emulator) -> None:
    for status in (500, 502):
        replicate_emulator.fault(Fault("create", status=status))
    replicate_emulator.fault(Fault("any", status=503))
    model = send("GET", f"/models/{replicate_emulator.model}").status
    created = [send("POST", PATH, BODY).status for _ in range(3)]
    assert (model, created) == (503, [500, 502, 201])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on": "nothing"}, "on is 'nothing'; it must be one of create, get"),
        ({"on": "stream", "cut_after": -1}, "cut_after is -1"),
        ({"on": "stream", "stall_after": -1}, "stall_after is -1"),
        ({"on": "stream", "stall_after": 1, "cut_after": 1}, "exclude each other"),
    ],
)
def test_a_contradictory_fault_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fault(**arguments)


def test_a_fault_must_happen_at_least_once() -> None:
    with pytest.raises(ValueError, match="times is 0"):
        Emulator().fault(Fault("any"), times=0)


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "body"),
    [
        (
            Fault("create", status=429),
            429,
            "application/problem+json",
            b'{"detail":"Request was throttled. Your rate limit resets in ~1s."}\n',
        ),
        (
            Fault("create", status=402),
            402,
            "application/problem+json",
            INSUFFICIENT_CREDIT.encode(),
        ),
        (
            Fault("create", status=504),
            504,
            "application/problem+json",
            b'{"detail":"Something went wrong.","status":504}\n',
        ),
        (
            Fault("create", status=502, body="<html>Bad gateway</html>"),
            502,
            "text/html",
            b"<html>Bad gateway</html>",
        ),
        (Fault("create", body={"status": "starting"}), 200, "application/json", None),
        (Fault("create", status=500, body=b"\xff\x00"), 500, "text/plain", b"\xff\x00"),
        (Fault("create", status=500, body='"text"'), 500, "application/json", b'"text"'),
        (
            Fault("create", status=418, body="x", content_type="text/x"),
            418,
            "text/x",
            b"x",
        ),
        (Fault("create", status=599, body=""), 599, "text/plain", b""),
        (Fault("create", status=204, headers={"content-type": "text/x"}), 204, "text/x", b""),
    ],
)
def test_any_status_can_have_any_body(
    fault: Fault,
    status: int,
    content_type: str,
    body: bytes | None,
    send: Fixture,
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.fault(fault)
    reply = send("POST", PATH, BODY)
    assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (status, content_type)
    assert body is None or reply.body == body
    assert not replicate_emulator.predictions, "the request had no other effect"


def test_headers_and_content_type_edit_the_right_reply(
    send: Fixture, replicate_emulator: Emulator
) -> None:
    headers = {"Retry-After": "3", "SERVER": "other"}
    replicate_emulator.fault(Fault("create", headers=headers, content_type="text/x"))
    created = send("POST", PATH, BODY)
    assert (created.status, created.headers["retry-after"]) == (201, "3")
    assert (created.headers["content-type"], created.headers["server"]) == ("text/x", "other")
    replicate_emulator.behaviour.idle_timeout = 0.02
    replicate_emulator.fault(Fault("stream", content_type="application/json"))
    stream = send("GET", created.json["urls"]["stream"], headers=STREAM)
    assert stream.headers["content-type"] == "application/json"
    assert b"event: done" in stream.body


def test_a_delay_comes_after_the_effect(send: Fixture, replicate_emulator: Emulator) -> None:
    replicate_emulator.fault(Fault("create", delay=0.2))
    started = time.monotonic()
    assert send("POST", PATH, BODY).status == 201
    [prediction] = replicate_emulator.predictions.values()
    assert time.monotonic() - started >= 0.2
    assert prediction.created < time.time_ns() - 0.15e9


def test_a_lost_reply_keeps_the_effect(replicate_emulator: Emulator) -> None:
    replicate_emulator.fault(Fault("create", lose_reply=True))
    replicate_emulator.fault(Fault("create", lose_reply=True, reset=True))
    assert exchange_create(replicate_emulator) == (b"", "closed")
    assert exchange_create(replicate_emulator) == (b"", "reset")
    assert len(replicate_emulator.predictions) == 2


def test_a_dropped_request_is_recorded_and_has_no_effect(replicate_emulator: Emulator) -> None:
    replicate_emulator.fault(Fault("create", drop=True))
    replicate_emulator.fault(Fault("create", drop=True, reset=True))
    assert exchange_create(replicate_emulator) == (b"", "closed")
    assert exchange_create(replicate_emulator) == (b"", "reset")
    assert [request.kind for request in replicate_emulator.requests] == ["create", "create"]
    assert not replicate_emulator.predictions


def test_garbage_replaces_the_reply(replicate_emulator: Emulator) -> None:
    replicate_emulator.fault(Fault("create", garbage=b"\x00\x01 what?"))
    assert exchange_create(replicate_emulator) == (b"\x00\x01 what?", "closed")
    assert not replicate_emulator.predictions


def test_a_reply_of_the_api_can_be_cut_or_stall_too(replicate_emulator: Emulator) -> None:
    replicate_emulator.fault(Fault("create", cut_after=12))
    replicate_emulator.fault(Fault("create", cut_after=12, reset=True))
    replicate_emulator.fault(Fault("create", stall_after=12))
    replies = [exchange_create(replicate_emulator, timeout=0.8) for _ in range(3)]
    assert [end for _, end in replies] == ["closed", "reset", "silent"]
    for received, _ in replies:
        assert len(received.partition(b"\r\n\r\n")[2]) == 12
    assert len(replicate_emulator.predictions) == 3


def test_a_fault_does_not_affect_other_connections(
    send: Fixture, replicate_emulator: Emulator
) -> None:
    url = urlsplit(replicate_emulator.base_url)
    token = {"Authorization": f"Bearer {replicate_emulator.token}"}
    kept = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
    path = f"/v1/models/{replicate_emulator.model}"
    kept.request("GET", path, headers=token)
    assert kept.getresponse().read()
    replicate_emulator.fault(Fault("create", drop=True))
    assert exchange_create(replicate_emulator) == (b"", "closed")
    kept.request("GET", path, headers=token)
    assert kept.getresponse().read()
    kept.close()
    assert [r.connection for r in replicate_emulator.requests] == [1, 2, 1]

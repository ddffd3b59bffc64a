"""The event streams, byte for byte (docs/replicate-api.md 3)."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from replicate_stream.testing import Emulator, Event, Reply
from replicate_stream.testing.server.events import HI, TIMEOUT, EventLog

Fixture = Callable[..., Any]

PATH = "/models/meta/meta-llama-3-70b-instruct/predictions"
BODY = {"input": {"prompt": "Hi"}}
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def quick_emulator(replicate_emulator: Emulator) -> Emulator:
    """An emulator with an idle timeout of 0.05 seconds."""
    replicate_emulator.behaviour.idle_timeout = 0.05
    return replicate_emulator


def read_stream(send: Fixture, url: str, **headers: str) -> str:
    """Read a stream until the server closes it, and return the body."""
    reply = send("GET", url, headers={**STREAM, **headers}, token="")
    assert reply.status == 200
    body: bytes = reply.body
    return body.decode()


def create_stream(send: Fixture) -> str:
    """Create a prediction and return the URL of its stream."""
    url: str = send("POST", PATH, BODY).json["urls"]["stream"]
    return url


def parse_events(body: str) -> list[tuple[str, str]]:
    """Parse the name and data of each event, in the framing of the recordings."""
    pattern = re.compile(r"event: (\w+)\nid: \d+:\d+\n((?:data: [^\n]*\n)+)\n")
    return [
        (match[1], "\n".join(line[6:] for line in match[2].splitlines()))
        for match in pattern.finditer(body)
    ]


@pytest.mark.parametrize("name", ["llm_stream_1_sse_200", "llm_stream_2_sse_200"])
def test_an_event_log_renders_a_recorded_stream_byte_for_byte(name: str, shared: Path) -> None:
    recorded = json.loads((shared / "recorded" / f"{name}.json").read_text())["response"]["body"]
    seconds = [float(second) for second in re.findall(r"^id: (\d+):", recorded, re.MULTILINE)]
    clock = iter(seconds)
    log = EventLog(lambda: next(clock))
    for event, data in parse_events(recorded):
        log.publish(Event(event, data))
    assert HI + log.render(after=None) + TIMEOUT == recorded.encode()


@pytest.mark.parametrize("name", ["llm_stream_1_sse_200", "llm_stream_2_sse_200"])
def test_recorded_tokens_are_sent_byte_for_byte_with_the_recorded_headers(
    name: str, shared: Path, send: Fixture, quick_emulator: Emulator
) -> None:
    recorded = json.loads((shared / "recorded" / f"{name}.json").read_text())["response"]
    quick_emulator.reply = [
        data for event, data in parse_events(recorded["body"]) if event == "output"
    ]
    reply = send("GET", create_stream(send), headers=STREAM, token="")
    ids = re.compile(rb"^id: \d+:\d+$", re.MULTILINE)
    assert ids.sub(b"id:", reply.body) == ids.sub(b"id:", recorded["body"].encode())
    date = {"date": reply.headers["date"]}
    assert reply.headers == {k.lower(): v for k, v in recorded["headers"].items()} | date


def test_ids_count_within_the_second() -> None:
    clock = iter([100.9, 100.95, 101.0, 101.2, 100.1, 102.0])
    log = EventLog(lambda: next(clock))
    for _ in range(6):
        log.publish(Event("output", "x"))
    ids = re.findall(r"id: (\S+)", log.render(after=None).decode())
    assert ids == ["100:0", "100:1", "101:0", "101:1", "101:2", "102:0"]


@pytest.mark.parametrize(
    ("token", "lines"),
    [
        ("", "data: \n"),
        (" a", "data:  a\n"),
        ("\n", "data: \ndata: \n"),
        ("a\n\nb\n", "data: a\ndata: \ndata: b\ndata: \n"),
        ("a\rb", "data: a\rb\n"),
        ("a\r\nb", "data: a\r\ndata: b\n"),
        ("\u2028é日😀", "data: \u2028é日😀\n"),
        ("data: x", "data: data: x\n"),
    ],
)
def test_a_token_is_framed_without_escaping(
    token: str, lines: str, send: Fixture, quick_emulator: Emulator
) -> None:
    quick_emulator.reply = [token]
    frame = re.compile(rf"\nevent: output\nid: \d+:0\n{re.escape(lines)}\nevent: done\n")
    assert frame.search(read_stream(send, create_stream(send)))


def test_a_stream_stays_open_until_the_idle_timeout(
    send: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.idle_timeout = 0.5
    # Three pauses: together longer than the timer, but each one shorter.
    replicate_emulator.reply = Reply(["a", "b", "c"], delays=0.2)
    started = time.monotonic()
    body = read_stream(send, create_stream(send))
    assert [name for name, _ in parse_events(body)] == ["output"] * 3 + ["done"]
    assert body.endswith("\ndata: {}\n\n:408: 408 Request Timeout\n\n")
    assert time.monotonic() - started >= 1.1


def test_the_idle_timer_also_runs_while_the_model_boots(
    send: Fixture, quick_emulator: Emulator
) -> None:
    quick_emulator.behaviour.boot_time = 60.0
    assert read_stream(send, create_stream(send)) == ": hi\n\n:408: 408 Request Timeout\n\n"


def test_a_late_subscriber_receives_all_events(send: Fixture, quick_emulator: Emulator) -> None:
    quick_emulator.reply = ["a", "b"]
    url = create_stream(send)
    quick_emulator.wait_for(lambda e: all(p.is_terminal for p in e.predictions.values()))
    expected = [("output", "a"), ("output", "b"), ("done", "{}")]
    assert [parse_events(read_stream(send, url)) for _ in range(2)] == [expected, expected]


@pytest.mark.parametrize("index", range(5))
def test_a_stream_resumes_after_the_last_event_id(
    index: int, send: Fixture, quick_emulator: Emulator
) -> None:
    quick_emulator.reply = ["a", "b\nb", "c", "d"]
    url = create_stream(send)
    whole = read_stream(send, url)
    last_id = re.findall(r"id: (\S+)", whole)[index]
    rest = read_stream(send, url, **{"Last-Event-ID": last_id})
    assert parse_events(rest) == parse_events(whole)[index + 1 :]
    assert read_stream(send, f"{url}?last_event_id={last_id}") == rest


@pytest.mark.parametrize(
    ("last_id", "is_sent"), [("1000:0", True), ("99999999999:0", False), ("nonsense", True)]
)
def test_an_unknown_id_is_ordered_by_its_time(
    last_id: str, is_sent: bool, send: Fixture, quick_emulator: Emulator
) -> None:
    quick_emulator.reply = ["a"]
    url = create_stream(send)
    quick_emulator.wait_for(lambda e: all(p.is_terminal for p in e.predictions.values()))
    assert ("output" in read_stream(send, url, **{"Last-Event-ID": last_id})) is is_sent


def test_without_replay_earlier_events_are_lost(send: Fixture, quick_emulator: Emulator) -> None:
    quick_emulator.behaviour.replay = False
    quick_emulator.behaviour.idle_timeout = 1.0
    go_on = threading.Event()

    def reply(_: dict[str, Any]) -> Iterator[str]:
        yield "missed"
        go_on.wait(5)
        yield "received"

    quick_emulator.reply = reply
    url = create_stream(send)
    quick_emulator.wait_for(lambda e: [p.tokens for p in e.predictions.values()] == [["missed"]])
    bodies: list[str] = []
    thread = threading.Thread(target=lambda: bodies.append(read_stream(send, url)))
    thread.start()
    quick_emulator.wait_for(lambda e: e.streams_open == 1)
    go_on.set()
    thread.join(10)
    assert parse_events(bodies[0]) == [("output", "received"), ("done", "{}")]
    quick_emulator.behaviour.idle_timeout = 0.05
    # All events are in the past now, whatever the last id.
    assert (
        read_stream(send, url, **{"Last-Event-ID": "1:0"})
        == ": hi\n\n:408: 408 Request Timeout\n\n"
    )


def test_an_unknown_stream_is_silent_and_not_a_404(send: Fixture, quick_emulator: Emulator) -> None:
    url = f"{quick_emulator.stream_origin}/v1/streams/{'a' * 52}"
    assert read_stream(send, url) == ": hi\n\n:408: 408 Request Timeout\n\n"


def test_without_accept_of_events_the_reply_is_one_message_without_framing(
    send: Fixture, quick_emulator: Emulator
) -> None:
    quick_emulator.reply = Reply(["a\nb", "c"], delays=[0.02, 0.0])
    url = create_stream(send)
    for _ in ("while the message is awaited", "after it"):
        reply = send("GET", url, headers={"Accept": "*/*"}, token="")
        assert (reply.status, reply.body) == (200, b"a\nb")
        assert reply.headers["content-type"] == "text/plain"
    quick_emulator.behaviour.boot_time = 60.0
    assert send("GET", create_stream(send), token="").status == 408


def test_the_stream_server_answers_get_of_streams_only(
    send: Fixture, quick_emulator: Emulator
) -> None:
    assert send("POST", create_stream(send), token="").status == 403
    assert (
        send("GET", f"{quick_emulator.stream_origin}/v1/models/a/b", headers=STREAM).status == 404
    )


@pytest.mark.parametrize(
    ("reply", "end"),
    [
        (Reply(["a"]), [("done", "{}")]),
        (
            Reply(["a"], error="E1001: out of memory"),
            [("error", '{"detail": "E1001: out of memory"}'), ("done", '{"reason":"error"}')],
        ),
        (
            Reply(["a"], error="plain", plain_error=True),
            [("error", "plain"), ("done", '{"reason":"error"}')],
        ),
        (Reply(["a"], status="canceled"), [("done", '{"reason":"canceled"}')]),
        (Reply(["a"], status="failed"), [("done", '{"reason":"error"}')]),
        (Reply(["a"], reason="length"), [("done", '{"reason":"length"}')]),
        (Reply(["a"], sends_done=False), []),
    ],
)
def test_a_stream_ends_with(
    reply: Reply, end: list[tuple[str, str]], send: Fixture, quick_emulator: Emulator
) -> None:
    quick_emulator.reply = reply
    assert parse_events(read_stream(send, create_stream(send))) == [("output", "a"), *end]


def test_canceling_ends_the_stream_with_its_reason(send: Fixture, quick_emulator: Emulator) -> None:
    quick_emulator.reply = Reply(["a", "b"], delays=[0.0, 60.0])
    prediction = send("POST", PATH, BODY).json
    quick_emulator.wait_for(lambda e: e.predictions[prediction["id"]].tokens)
    send("POST", prediction["urls"]["cancel"])
    body = read_stream(send, prediction["urls"]["stream"])
    assert parse_events(body) == [("output", "a"), ("done", '{"reason":"canceled"}')]


def test_open_streams_are_counted(send: Fixture, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = Reply(["a", "b"], delays=[0.0, 60.0])
    url = urlsplit(create_stream(send))
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
    connection.request("GET", url.path, headers=STREAM)
    reply = connection.getresponse()
    assert reply.read(6) == b": hi\n\n"
    assert replicate_emulator.streams_open == 1
    reply.close()
    connection.close()
    replicate_emulator.wait_for(lambda e: e.streams_open == 0)
    [prediction] = replicate_emulator.predictions.values()
    assert prediction.status == "processing", "disconnecting does not cancel"

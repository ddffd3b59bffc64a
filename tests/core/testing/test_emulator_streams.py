"""The emulator's event streams, byte for byte (replicate-api.md 3)."""

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

Ask = Callable[..., Any]

PATH = "/models/meta/meta-llama-3-70b-instruct/predictions"
BODY = {"input": {"prompt": "Hi"}}
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def emulator(replicate_emulator: Emulator) -> Emulator:
    """One that closes a stream after a twentieth of a second without an event."""
    replicate_emulator.behaviour.idle_timeout = 0.05
    return replicate_emulator


def listen(ask: Ask, url: str, **headers: str) -> str:
    """The body of a stream, from connecting to the server's closing."""
    reply = ask("GET", url, headers={**STREAM, **headers}, token="")
    assert reply.status == 200
    body: bytes = reply.body
    return body.decode()


def create(ask: Ask) -> str:
    """The URL of a new prediction's stream."""
    url: str = ask("POST", PATH, BODY).json["urls"]["stream"]
    return url


def events_in(body: str) -> list[tuple[str, str]]:
    """Each event's name and data, as the recordings' framing is read."""
    pattern = re.compile(r"event: (\w+)\nid: \d+:\d+\n((?:data: [^\n]*\n)+)\n")
    return [
        (match[1], "\n".join(line[6:] for line in match[2].splitlines()))
        for match in pattern.finditer(body)
    ]


@pytest.mark.parametrize("name", ["llm_stream_1_sse_200", "llm_stream_2_sse_200"])
def test_a_recorded_stream_is_made_again_byte_for_byte(name: str, shared: Path) -> None:
    recorded = json.loads((shared / "recorded" / f"{name}.json").read_text())["response"]["body"]
    seconds = [float(second) for second in re.findall(r"^id: (\d+):", recorded, re.MULTILINE)]
    clock = iter(seconds)
    log = EventLog(lambda: next(clock))
    for event, data in events_in(recorded):
        log.publish(Event(event, data))
    assert HI + log.render(after=None) + TIMEOUT == recorded.encode()


@pytest.mark.parametrize("name", ["llm_stream_1_sse_200", "llm_stream_2_sse_200"])
def test_recorded_tokens_go_over_the_wire_as_recorded(
    name: str, shared: Path, ask: Ask, emulator: Emulator
) -> None:
    recorded = json.loads((shared / "recorded" / f"{name}.json").read_text())["response"]
    emulator.reply = [data for event, data in events_in(recorded["body"]) if event == "output"]
    reply = ask("GET", create(ask), headers=STREAM, token="")
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
def test_a_token_is_framed_raw(token: str, lines: str, ask: Ask, emulator: Emulator) -> None:
    emulator.reply = [token]
    frame = re.compile(rf"\nevent: output\nid: \d+:0\n{re.escape(lines)}\nevent: done\n")
    assert frame.search(listen(ask, create(ask)))


def test_a_stream_is_open_until_nothing_has_come_for_a_while(
    ask: Ask, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.idle_timeout = 0.5
    # Three pauses that are together longer than the timer, and none of them is.
    replicate_emulator.reply = Reply(["a", "b", "c"], delays=0.2)
    started = time.monotonic()
    body = listen(ask, create(ask))
    assert [name for name, _ in events_in(body)] == ["output"] * 3 + ["done"]
    assert body.endswith("\ndata: {}\n\n:408: 408 Request Timeout\n\n")
    assert time.monotonic() - started >= 1.1


def test_the_timer_also_runs_while_the_model_boots(ask: Ask, emulator: Emulator) -> None:
    emulator.behaviour.boot_time = 60.0
    assert listen(ask, create(ask)) == ": hi\n\n:408: 408 Request Timeout\n\n"


def test_a_late_listener_gets_everything(ask: Ask, emulator: Emulator) -> None:
    emulator.reply = ["a", "b"]
    url = create(ask)
    emulator.wait_for(lambda e: all(p.is_terminal for p in e.predictions.values()))
    expected = [("output", "a"), ("output", "b"), ("done", "{}")]
    assert [events_in(listen(ask, url)) for _ in range(2)] == [expected, expected]


@pytest.mark.parametrize("seen", range(5))
def test_a_stream_goes_on_after_the_last_id(seen: int, ask: Ask, emulator: Emulator) -> None:
    emulator.reply = ["a", "b\nb", "c", "d"]
    url = create(ask)
    whole = listen(ask, url)
    last = re.findall(r"id: (\S+)", whole)[seen]
    rest = listen(ask, url, **{"Last-Event-ID": last})
    assert events_in(rest) == events_in(whole)[seen + 1 :]
    assert listen(ask, f"{url}?last_event_id={last}") == rest


@pytest.mark.parametrize(
    ("last", "is_sent"), [("1000:0", True), ("99999999999:0", False), ("nonsense", True)]
)
def test_an_id_that_does_not_exist_is_placed_by_its_time(
    last: str, is_sent: bool, ask: Ask, emulator: Emulator
) -> None:
    emulator.reply = ["a"]
    url = create(ask)
    emulator.wait_for(lambda e: all(p.is_terminal for p in e.predictions.values()))
    assert ("output" in listen(ask, url, **{"Last-Event-ID": last})) is is_sent


def test_without_replay_what_was_missed_is_lost(ask: Ask, emulator: Emulator) -> None:
    emulator.behaviour.replay = False
    emulator.behaviour.idle_timeout = 1.0
    go_on = threading.Event()

    def reply(_: dict[str, Any]) -> Iterator[str]:
        yield "missed"
        go_on.wait(5)
        yield "heard"

    emulator.reply = reply
    url = create(ask)
    emulator.wait_for(lambda e: [p.tokens for p in e.predictions.values()] == [["missed"]])
    heard: list[str] = []
    thread = threading.Thread(target=lambda: heard.append(listen(ask, url)))
    thread.start()
    emulator.wait_for(lambda e: e.streams_open == 1)
    go_on.set()
    thread.join(10)
    assert events_in(heard[0]) == [("output", "heard"), ("done", "{}")]
    emulator.behaviour.idle_timeout = 0.05
    # Too late for anything, whatever id is named.
    assert listen(ask, url, **{"Last-Event-ID": "1:0"}) == ": hi\n\n:408: 408 Request Timeout\n\n"


def test_a_stream_that_nobody_knows_is_silent_and_no_404(ask: Ask, emulator: Emulator) -> None:
    url = f"{emulator.stream_origin}/v1/streams/{'a' * 52}"
    assert listen(ask, url) == ": hi\n\n:408: 408 Request Timeout\n\n"


def test_without_the_right_accept_there_is_one_message_and_no_framing(
    ask: Ask, emulator: Emulator
) -> None:
    emulator.reply = Reply(["a\nb", "c"], delays=[0.02, 0.0])
    url = create(ask)
    for _ in ("while it is waited for", "afterwards"):
        reply = ask("GET", url, headers={"Accept": "*/*"}, token="")
        assert (reply.status, reply.body) == (200, b"a\nb")
        assert reply.headers["content-type"] == "text/plain"
    emulator.behaviour.boot_time = 60.0
    assert ask("GET", create(ask), token="").status == 408


def test_only_get_is_allowed_and_only_streams_are_there(ask: Ask, emulator: Emulator) -> None:
    assert ask("POST", create(ask), token="").status == 403
    assert ask("GET", f"{emulator.stream_origin}/v1/models/a/b", headers=STREAM).status == 404


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
    reply: Reply, end: list[tuple[str, str]], ask: Ask, emulator: Emulator
) -> None:
    emulator.reply = reply
    assert events_in(listen(ask, create(ask))) == [("output", "a"), *end]


def test_cancelling_ends_the_stream_with_its_reason(ask: Ask, emulator: Emulator) -> None:
    emulator.reply = Reply(["a", "b"], delays=[0.0, 60.0])
    made = ask("POST", PATH, BODY).json
    emulator.wait_for(lambda e: e.predictions[made["id"]].tokens)
    ask("POST", made["urls"]["cancel"])
    body = listen(ask, made["urls"]["stream"])
    assert events_in(body) == [("output", "a"), ("done", '{"reason":"canceled"}')]


def test_open_streams_are_counted(ask: Ask, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = Reply(["a", "b"], delays=[0.0, 60.0])
    url = urlsplit(create(ask))
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
    connection.request("GET", url.path, headers=STREAM)
    reply = connection.getresponse()
    assert reply.read(6) == b": hi\n\n"
    assert replicate_emulator.streams_open == 1
    reply.close()
    connection.close()
    replicate_emulator.wait_for(lambda e: e.streams_open == 0)
    [prediction] = replicate_emulator.predictions.values()
    assert prediction.status == "processing", "who stops listening has not cancelled"

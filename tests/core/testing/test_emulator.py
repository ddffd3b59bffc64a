"""The emulator's own life, what it answers, and what it remembers."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from replicate_stream.testing import Emulator, Event, Reply

Ask = Callable[..., Any]
STREAM = {"Accept": "text/event-stream"}


def create(ask: Ask, emulator: Emulator, prompt: str = "Hi") -> Any:
    reply = ask("POST", f"/models/{emulator.model}/predictions", {"input": {"prompt": prompt}})
    assert reply.status == 201, reply.body
    return reply.json


def finish(ask: Ask, emulator: Emulator, prompt: str = "Hi") -> Any:
    """Create a prediction and get its record when it is over."""
    made = create(ask, emulator, prompt)
    emulator.wait_for(lambda e: e.predictions[made["id"]].is_terminal)
    return ask("GET", made["urls"]["get"]).json


def counting(_: dict[str, Any]) -> Iterator[str]:
    yield from ("one ", "two")


async def counting_async(_: dict[str, Any]) -> AsyncIterator[str]:
    yield "one "
    yield "two"


async def told_async(_: dict[str, Any]) -> str:
    return "one two"


@pytest.mark.parametrize(
    "reply",
    [
        ["one ", "two"],
        "one two",
        counting,
        counting_async,
        told_async,
        lambda _: ["one ", "two"],
        lambda _: "one two",
        lambda _: Reply(["one ", "two"]),
        Reply(["one ", "two"]),
        Reply(counting({})),
    ],
    ids=[
        "a list",
        "a text",
        "a generator function",
        "an async generator function",
        "an async function",
        "a function that gives a list",
        "a function that gives a text",
        "a function that gives a Reply",
        "a Reply",
        "a Reply of an iterator",
    ],
)
def test_a_reply_may_be(reply: Any, ask: Ask, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = reply
    record = finish(ask, replicate_emulator)
    assert record["status"] == "succeeded"
    assert "".join(record["output"]) == "one two"


def test_a_function_gets_the_input(ask: Ask, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = lambda input_: [input_["prompt"].upper()]
    assert finish(ask, replicate_emulator, "hello")["output"] == ["HELLO"]


def test_a_function_that_blocks_blocks_nobody_else(ask: Ask, replicate_emulator: Emulator) -> None:
    release = threading.Event()

    def blocked(_: dict[str, Any]) -> Iterator[str]:
        yield "at last" if release.wait(10) else "given up"

    replicate_emulator.enqueue(blocked)
    replicate_emulator.enqueue(["at once"])
    first = create(ask, replicate_emulator)
    assert finish(ask, replicate_emulator)["output"] == ["at once"]
    release.set()
    replicate_emulator.wait_for(lambda e: e.predictions[first["id"]].is_terminal)
    assert replicate_emulator.predictions[first["id"]].tokens == ["at last"]


def test_a_function_that_raises_is_a_failed_prediction(
    ask: Ask, replicate_emulator: Emulator
) -> None:
    def broken(_: dict[str, Any]) -> Iterator[str]:
        yield "so far"
        raise RuntimeError("CUDA out of memory")

    replicate_emulator.reply = broken
    record = finish(ask, replicate_emulator)
    assert (record["status"], record["error"]) == ("failed", "CUDA out of memory")
    assert record["output"] == ["so far"]


def test_the_default_reply_says_what_it_is_and_repeats_the_last_words(
    ask: Ask, replicate_emulator: Emulator
) -> None:
    prompt = "<|start_header_id|>user<|end_header_id|>\n\nWhy is the sky blue?<|eot_id|>\nassistant"
    output = "".join(finish(ask, replicate_emulator, prompt)["output"])
    assert output.startswith("You asked: Why is the sky blue?\n\n")
    assert "scripted" in output


def test_enqueued_replies_come_first_and_in_order(ask: Ask, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = ["always"]
    assert replicate_emulator.reply == ["always"]
    replicate_emulator.enqueue(["first"])
    replicate_emulator.enqueue(["second"])
    outputs = [finish(ask, replicate_emulator)["output"] for _ in range(3)]
    assert outputs == [["first"], ["second"], ["always"]]


def test_a_prediction_runs_although_nobody_reads_its_stream(
    ask: Ask, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["a", "b"]
    assert finish(ask, replicate_emulator)["output"] == ["a", "b"]
    assert not [r for r in replicate_emulator.requests if r.kind == "stream"]


@pytest.mark.parametrize("is_async", [False, True], ids=["in a thread", "async"])
def test_cancelling_closes_the_function_where_it_is(
    is_async: bool, ask: Ask, replicate_emulator: Emulator
) -> None:
    closed = threading.Event()

    def endless(_: dict[str, Any]) -> Iterator[str]:
        try:
            while True:
                yield "on "
        finally:
            closed.set()

    async def endless_async(_: dict[str, Any]) -> AsyncIterator[str]:
        try:
            while True:
                yield "on "
        finally:
            closed.set()

    replicate_emulator.behaviour.token_delay = 0.001
    replicate_emulator.reply = endless_async if is_async else endless
    made = create(ask, replicate_emulator)
    replicate_emulator.wait_for(lambda e: len(e.predictions[made["id"]].tokens) > 3)
    reply = ask("POST", made["urls"]["cancel"])
    assert (reply.status, reply.json["status"]) == (200, "canceled")
    assert closed.wait(5)
    tokens = replicate_emulator.predictions[made["id"]].tokens
    assert tokens == ask("GET", made["urls"]["get"]).json["output"]


def test_cancels_are_counted_and_one_after_the_end_changes_nothing(
    ask: Ask, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["done"]
    record = finish(ask, replicate_emulator)
    for _ in range(2):
        assert ask("POST", record["urls"]["cancel"]).json == record
    assert replicate_emulator.cancels == [record["id"]] * 2
    assert replicate_emulator.predictions[record["id"]].cancels == 2


def test_requests_are_remembered_as_they_came(ask: Ask, replicate_emulator: Emulator) -> None:
    body = {"input": {"prompt": "Hi"}}
    path = f"/models/{replicate_emulator.model}/predictions"
    made = ask("POST", f"{path}?a=1&b=", body, headers={"X-Own": "yes"}).json
    replicate_emulator.wait_for(lambda e: e.predictions[made["id"]].is_terminal)
    first = replicate_emulator.requests[0]
    assert (first.method, first.path, first.server, first.kind) == (
        "POST",
        f"/v1{path}",
        "api",
        "create",
    )
    assert first.query == {"a": "1", "b": ""}
    assert first.headers["x-own"] == "yes"
    assert first.headers["authorization"] == f"Bearer {replicate_emulator.token}"
    assert first.json == body == json.loads(first.body)


def test_seeding_does_not_repeat_the_names_of_predictions(
    ask: Ask, replicate_emulator: Emulator
) -> None:
    for _ in range(2):
        random.seed(0)
        create(ask, replicate_emulator)
    assert len(replicate_emulator.predictions) == 2


def test_no_repr_shows_a_token_or_a_prompt(ask: Ask, replicate_emulator: Emulator) -> None:
    finish(ask, replicate_emulator, "a secret wish")
    shown = repr([replicate_emulator.requests, replicate_emulator.predictions, replicate_emulator])
    assert "create" in shown
    assert "succeeded" in shown
    assert replicate_emulator.token not in shown
    assert "secret" not in shown


def test_what_is_public_is_loaded_at_first_use() -> None:
    code = (
        "import sys, replicate_stream.testing.pytest_plugin as plugin\n"
        "assert 'replicate_stream.testing.emulator' not in sys.modules\n"
        "import replicate_stream.testing as kit\n"
        "found = [getattr(kit, name) for name in dir(kit)]\n"
        "assert {each.__module__ for each in found} == {'replicate_stream.testing'}\n"
        "assert dir(kit) == sorted(kit.__all__)\n"
        "assert not hasattr(kit, 'Manager')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_requests_tell_which_connection_they_shared(replicate_emulator: Emulator) -> None:
    url = urlsplit(replicate_emulator.base_url)
    token = {"Authorization": f"Bearer {replicate_emulator.token}"}
    for requests in (2, 1):
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
        for _ in range(requests):
            connection.request("GET", f"/v1/models/{replicate_emulator.model}", headers=token)
            connection.getresponse().read()
        connection.close()
    assert [request.connection for request in replicate_emulator.requests] == [1, 1, 2]


def test_a_chunked_body_is_read(replicate_emulator: Emulator) -> None:
    url = urlsplit(replicate_emulator.base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
    body = b'{"input": {"prompt": "in two chunks"}}'
    connection.request(
        "POST",
        f"/v1/models/{replicate_emulator.model}/predictions",
        iter([body[:9], body[9:]]),
        {"Authorization": f"Bearer {replicate_emulator.token}"},
        encode_chunked=True,
    )
    assert connection.getresponse().status == 201
    connection.close()
    assert replicate_emulator.requests[0].body == body


def test_a_chunked_body_may_have_trailers_and_wait_for_leave(replicate_emulator: Emulator) -> None:
    url = urlsplit(replicate_emulator.base_url)
    head = (
        f"POST /v1/models/{replicate_emulator.model}/predictions HTTP/1.1\r\n"
        f"Authorization: Bearer {replicate_emulator.token}\r\n"
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    )
    body = b'{"input": {"prompt": "Hi"}}'
    with socket.create_connection((url.hostname, url.port), timeout=5) as connection:
        connection.sendall(head.encode())
        assert connection.recv(64) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"%x;own=1\r\n%s\r\n0\r\nX-Sum: 5\r\n\r\n" % (len(body), body))
        assert connection.recv(64).startswith(b"HTTP/1.1 201 Created\r\n")
    assert replicate_emulator.requests[0].body == body


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 hello\r\n\r\n",
        b"GET / SPDY/3\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["TLS", "another protocol", "a bad header", "a bad length", "too long a head"],
)
def test_what_is_not_http_is_a_bad_request(sent: bytes, replicate_emulator: Emulator) -> None:
    url = urlsplit(replicate_emulator.base_url)
    with socket.create_connection((url.hostname, url.port), timeout=5) as connection:
        connection.sendall(sent)
        assert connection.recv(64).startswith(b"HTTP/1.1 400 ")
    assert not replicate_emulator.requests


def test_a_client_that_breaks_off_does_no_harm(ask: Ask, replicate_emulator: Emulator) -> None:
    url = urlsplit(replicate_emulator.base_url)
    with socket.create_connection((url.hostname, url.port), timeout=5) as connection:
        connection.sendall(b"POST /v1/predictions HTTP/1.1\r\nContent-Length: 99\r\n\r\n{")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert finish(ask, replicate_emulator)["status"] == "succeeded"


def test_waiting_ends_as_soon_as_it_is_true(ask: Ask, replicate_emulator: Emulator) -> None:
    replicate_emulator.behaviour.boot_time = 0.1
    create(ask, replicate_emulator)
    replicate_emulator.wait_for(lambda e: all(p.is_terminal for p in e.predictions.values()))
    [prediction] = replicate_emulator.predictions.values()
    assert prediction.status == "succeeded"


def test_waiting_in_vain_says_what_there_was_instead(
    ask: Ask, replicate_emulator: Emulator
) -> None:
    finish(ask, replicate_emulator)
    with pytest.raises(AssertionError, match=r"within 0\.01 s.*2 requests.*succeeded"):
        replicate_emulator.wait_for(lambda e: e.cancels, timeout=0.01)


async def test_waiting_in_a_coroutine_leaves_its_loop_free(
    ask: Ask, replicate_emulator: Emulator
) -> None:
    async def create_later() -> None:
        await asyncio.to_thread(create, ask, replicate_emulator)

    later = asyncio.create_task(create_later())
    await replicate_emulator.wait_for_async(lambda e: e.predictions)
    await later
    with pytest.raises(AssertionError, match="within"):
        await replicate_emulator.wait_for_async(lambda e: e.cancels, timeout=0.01)


def test_the_fixture_points_the_environment_at_itself(replicate_emulator: Emulator) -> None:
    assert os.environ["REPLICATE_BASE_URL"] == replicate_emulator.base_url
    assert os.environ["REPLICATE_API_TOKEN"] == replicate_emulator.token


def test_the_streams_have_a_port_of_their_own_unless_told_otherwise(ask: Ask) -> None:
    with Emulator() as two, Emulator(one_port=True) as one:
        assert two.base_url != f"{two.stream_origin}/v1"
        assert one.base_url == f"{one.stream_origin}/v1"
        made = ask(
            "POST", f"{one.base_url}/models/{one.model}/predictions", {"input": {"prompt": ""}}
        )
        assert made.json["urls"]["stream"].startswith(one.base_url)
        one.behaviour.idle_timeout = 0.05
        assert b"event: done" in ask("GET", made.json["urls"]["stream"], headers=STREAM).body
        # The real API's host serves no streams.
        path = urlsplit(made.json["urls"]["stream"]).path
        assert ask("GET", two.base_url.removesuffix("/v1") + path, headers=STREAM).status == 404


def test_a_port_can_be_chosen_and_one_that_is_taken_is_an_error() -> None:
    with Emulator() as emulator:
        port = urlsplit(emulator.base_url).port
        with pytest.raises(OSError, match="in use"), Emulator(port=port or 0):
            pass
    with Emulator(port=port or 0) as again:
        assert urlsplit(again.base_url).port == port


def test_it_has_no_address_before_it_is_started_and_starts_once() -> None:
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="with Emulator"):
        _ = emulator.base_url
    emulator.stop()
    with emulator, pytest.raises(RuntimeError, match="once"):
        emulator.start()
    with pytest.raises(RuntimeError, match="once"):
        emulator.start()


async def test_it_is_an_async_context_manager_too(ask: Ask) -> None:
    async with Emulator() as emulator:
        url = f"{emulator.base_url}/models/{emulator.model}"
        assert (await asyncio.to_thread(ask, "GET", url)).status == 200


def test_stopping_ends_what_still_runs(replicate_emulator: Emulator) -> None:
    closed = threading.Event()

    async def endless(_: dict[str, Any]) -> AsyncIterator[str]:
        try:
            while True:
                yield "more than a socket holds " * 4000
                await asyncio.sleep(0)
        finally:
            closed.set()

    with Emulator(endless, token="") as emulator:
        url = urlsplit(emulator.base_url)
        api = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
        body = json.dumps({"input": {"prompt": "Hi"}})
        api.request("POST", f"/v1/models/{emulator.model}/predictions", body)
        stream = urlsplit(json.loads(api.getresponse().read())["urls"]["stream"])
        listener = socket.create_connection((stream.hostname, stream.port), timeout=5)
        listener.sendall(
            f"GET {stream.path} HTTP/1.1\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        emulator.wait_for(lambda e: e.streams_open == 1)
        # A client that never reads must not hold the emulator up.
        emulator.wait_for(lambda e: len(next(iter(e.predictions.values())).tokens) > 100)
    assert closed.is_set()
    listener.close()
    api.close()
    running = [t.name for t in threading.enumerate() if t.name.startswith("replicate-emulator")]
    assert running == ["replicate-emulator"], "only the fixture's own is left"


def test_models_can_be_given_with_their_schemas(ask: Ask) -> None:
    own = {"type": "object", "properties": {"text": {"type": "string"}}}
    with Emulator(models={"me/mine": own, "me/usual": None}) as emulator:
        for name, field in (
            ("me/mine", "text"),
            ("me/usual", "prompt"),
            (emulator.model, "prompt"),
        ):
            model = ask("GET", f"{emulator.base_url}/models/{name}").json
            schema = model["latest_version"]["openapi_schema"]["components"]["schemas"]["Input"]
            assert field in schema["properties"]
            assert model["is_official"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "no-owner"}, "owner/name"),
        ({"name": "a/b", "version": "12"}, "64"),
    ],
)
def test_a_model_of_another_form_is_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Emulator().add_model(**arguments)  # type: ignore[arg-type]  # all of them are texts


def test_events_other_than_output_can_be_scripted(ask: Ask, replicate_emulator: Emulator) -> None:
    replicate_emulator.behaviour.idle_timeout = 0.05
    replicate_emulator.reply = [Event("logs", "loading weights"), "hi"]
    made = create(ask, replicate_emulator)
    body = ask("GET", made["urls"]["stream"], headers=STREAM).body.decode()
    assert body.index("event: logs\n") < body.index("event: output\n") < body.index("event: done\n")
    assert ask("GET", made["urls"]["get"]).json["output"] == ["hi"]


@pytest.mark.parametrize(
    ("host", "named"), [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("localhost", "localhost")]
)
def test_its_addresses_can_be_connected_to_whatever_it_listens_on(
    host: str, named: str, ask: Ask
) -> None:
    try:
        emulator = Emulator(host=host).start()
    except OSError as error:
        pytest.skip(f"cannot listen on {host} here: {error}")
    try:
        assert emulator.base_url.startswith(f"http://{named}:")
        assert ask("GET", f"{emulator.base_url}/models/{emulator.model}").status == 200
    finally:
        emulator.stop()


def test_an_iterator_that_blocks_blocks_nobody_else(ask: Ask, replicate_emulator: Emulator) -> None:
    release = threading.Event()
    replicate_emulator.enqueue(str(release.wait(10)) for _ in range(1))
    first = create(ask, replicate_emulator)
    assert finish(ask, replicate_emulator)["status"] == "succeeded"
    release.set()
    replicate_emulator.wait_for(lambda e: e.predictions[first["id"]].is_terminal)

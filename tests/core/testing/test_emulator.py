"""The public class `Emulator`: start and stop, addresses, models, records of what happened."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from replicate_stream.testing import Emulator

Fixture = Callable[..., Any]
STREAM = {"Accept": "text/event-stream"}


def test_the_fixture_sets_the_environment_to_the_emulator(replicate_emulator: Emulator) -> None:
    assert os.environ["REPLICATE_BASE_URL"] == replicate_emulator.base_url
    assert os.environ["REPLICATE_API_TOKEN"] == replicate_emulator.token


def test_public_names_are_loaded_at_first_use() -> None:
    code = (
        "import sys, replicate_stream.testing.pytest_plugin as plugin\n"
        "assert 'replicate_stream.testing.emulator' not in sys.modules\n"
        "import replicate_stream.testing as testing\n"
        "values = [getattr(testing, name) for name in dir(testing)]\n"
        "assert {each.__module__ for each in values} == {'replicate_stream.testing'}\n"
        "assert dir(testing) == sorted(testing.__all__)\n"
        "assert not hasattr(testing, 'Manager')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_has_no_address_before_its_start_and_starts_once() -> None:
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="with Emulator"):
        _ = emulator.base_url
    emulator.stop()
    with emulator, pytest.raises(RuntimeError, match="once"):
        emulator.start()
    with pytest.raises(RuntimeError, match="once"):
        emulator.start()


async def test_it_is_an_async_context_manager_too(send: Fixture) -> None:
    async with Emulator() as emulator:
        url = f"{emulator.base_url}/models/{emulator.model}"
        assert (await asyncio.to_thread(send, "GET", url)).status == 200


def test_streams_have_their_own_port_by_default(send: Fixture) -> None:
    with Emulator() as two, Emulator(one_port=True) as one:
        assert two.base_url != f"{two.stream_origin}/v1"
        assert one.base_url == f"{one.stream_origin}/v1"
        url = f"{one.base_url}/models/{one.model}/predictions"
        stream = send("POST", url, {"input": {"prompt": ""}}).json["urls"]["stream"]
        assert stream.startswith(one.base_url)
        one.behaviour.idle_timeout = 0.05
        assert b"event: done" in send("GET", stream, headers=STREAM).body
        # The real API's host does not serve streams.
        path = urlsplit(stream).path
        assert send("GET", two.base_url.removesuffix("/v1") + path, headers=STREAM).status == 404


def test_the_port_can_be_set_and_a_port_in_use_is_an_error() -> None:
    with Emulator() as emulator:
        port = urlsplit(emulator.base_url).port
        with pytest.raises(OSError, match="in use"), Emulator(port=port or 0):
            pass
    with Emulator(port=port or 0) as again:
        assert urlsplit(again.base_url).port == port


@pytest.mark.parametrize(
    ("host", "name"), [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("localhost", "localhost")]
)
def test_clients_can_connect_to_its_address_for_any_host(
    host: str, name: str, send: Fixture
) -> None:
    try:
        emulator = Emulator(host=host).start()
    except OSError as error:
        pytest.skip(f"cannot listen on {host} here: {error}")
    try:
        assert emulator.base_url.startswith(f"http://{name}:")
        assert send("GET", f"{emulator.base_url}/models/{emulator.model}").status == 200
    finally:
        emulator.stop()


def test_stopping_ends_running_predictions_and_threads(replicate_emulator: Emulator) -> None:
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
        subscriber = socket.create_connection((stream.hostname or "", stream.port or 0), timeout=5)
        subscriber.sendall(
            f"GET {stream.path} HTTP/1.1\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        emulator.wait_for(lambda e: e.streams_open == 1)
        # A client that never reads must not hold the emulator up.
        emulator.wait_for(lambda e: len(next(iter(e.predictions.values())).tokens) > 100)
    assert closed.is_set()
    subscriber.close()
    api.close()
    running = [t.name for t in threading.enumerate() if t.name.startswith("replicate-emulator")]
    assert running == ["replicate-emulator"], "only the fixture's own is left"


def test_models_can_be_added_with_their_schemas(send: Fixture) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    with Emulator(models={"me/mine": schema, "me/usual": None}) as emulator:
        for name, field in (
            ("me/mine", "text"),
            ("me/usual", "prompt"),
            (emulator.model, "prompt"),
        ):
            model = send("GET", f"{emulator.base_url}/models/{name}").json
            schemas = model["latest_version"]["openapi_schema"]["components"]["schemas"]
            assert field in schemas["Input"]["properties"]
            assert model["is_official"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "no-owner"}, "owner/name"),
        ({"name": "a/b", "version": "12"}, "64"),
    ],
)
def test_a_wrong_name_or_version_is_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Emulator().add_model(**arguments)  # type: ignore[arg-type]  # all values are strings


def test_a_deployment_needs_a_known_model() -> None:
    with pytest.raises(ValueError, match="no/body"):
        Emulator().add_deployment("me/deployed", "no/body")


def test_requests_are_recorded_unchanged(send: Fixture, replicate_emulator: Emulator) -> None:
    body = {"input": {"prompt": "Hi"}}
    path = f"/models/{replicate_emulator.model}/predictions"
    prediction = send("POST", f"{path}?a=1&b=", body, headers={"X-Own": "yes"}).json
    replicate_emulator.wait_for(lambda e: e.predictions[prediction["id"]].is_terminal)
    first = replicate_emulator.requests[0]
    assert (first.method, first.path) == ("POST", f"/v1{path}")
    assert (first.server, first.kind) == ("api", "create")
    assert first.query == {"a": "1", "b": ""}
    assert first.headers["x-own"] == "yes"
    assert first.headers["authorization"] == f"Bearer {replicate_emulator.token}"
    assert first.json == body == json.loads(first.body)


def test_cancels_are_counted_and_a_cancel_after_the_end_changes_nothing(
    send: Fixture, run_prediction: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["done"]
    record = run_prediction()
    for _ in range(2):
        assert send("POST", record["urls"]["cancel"]).json == record
    assert replicate_emulator.cancels == [record["id"]] * 2
    assert replicate_emulator.predictions[record["id"]].cancels == 2


def test_a_seeded_random_module_does_not_repeat_prediction_ids(
    create: Fixture, replicate_emulator: Emulator
) -> None:
    for _ in range(2):
        random.seed(0)
        create()
    assert len(replicate_emulator.predictions) == 2


def test_no_repr_shows_a_token_or_a_prompt(
    run_prediction: Fixture, replicate_emulator: Emulator
) -> None:
    run_prediction("a secret wish")
    shown = repr([replicate_emulator.requests, replicate_emulator.predictions, replicate_emulator])
    assert "create" in shown
    assert "succeeded" in shown
    assert replicate_emulator.token not in shown
    assert "secret" not in shown


def test_waiting_ends_as_soon_as_the_predicate_is_true(
    create: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.boot_time = 0.1
    create()
    replicate_emulator.wait_for(lambda e: all(p.is_terminal for p in e.predictions.values()))
    [prediction] = replicate_emulator.predictions.values()
    assert prediction.status == "succeeded"


def test_a_timeout_of_waiting_describes_the_state(
    run_prediction: Fixture, replicate_emulator: Emulator
) -> None:
    run_prediction()
    with pytest.raises(AssertionError, match=r"within 0\.01 s.*2 requests.*succeeded"):
        replicate_emulator.wait_for(lambda e: e.cancels, timeout=0.01)


async def test_waiting_in_a_coroutine_does_not_block_its_loop(
    create: Fixture, replicate_emulator: Emulator
) -> None:
    async def create_later() -> None:
        await asyncio.to_thread(create)

    later = asyncio.create_task(create_later())
    await replicate_emulator.wait_for_async(lambda e: e.predictions)
    await later
    with pytest.raises(AssertionError, match="within"):
        await replicate_emulator.wait_for_async(lambda e: e.cancels, timeout=0.01)


@pytest.mark.parametrize("port", [-1, 65536, 99999])
@pytest.mark.parametrize("name", ["port", "stream_port"])
def test_a_port_that_is_none_is_refused_at_once(name: str, port: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is {port}; it must be 0 to 65535"):
        Emulator(**{name: port})  # type: ignore[arg-type]  # one of several


@pytest.mark.parametrize("host", ["a" * 100, "no.such.host.invalid", "a..b"])
def test_a_host_that_is_none_is_an_error_and_no_hang(host: str) -> None:
    with pytest.raises((OSError, UnicodeError)):
        Emulator(host=host).start()

"""A connection to the stream host is opened while the prediction is created, and not kept long."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from replicate_stream import Client, ReplicateError
from replicate_stream._api import dial_ahead, sessions
from replicate_stream._api.models import forget_models
from tests.holding_server import MODEL, TEXT, HoldingServer

TOKEN = "r8_FAKE_TOKEN"
CREATE = ["connected 0", "created", "streamed 0"]
"""A creation whose stream finds its connection open."""
LATE = ["created", "connected 0", "streamed 0"]
"""A creation whose stream has to connect."""


@pytest.fixture
def server() -> Iterator[HoldingServer]:
    """A server whose stream host keeps each connection."""
    with HoldingServer() as server:
        yield server


def make_client(server: HoldingServer, token: str = TOKEN, **settings: Any) -> Client:
    return Client(token, base_url=server.base_url, max_retries=0, **settings)


async def ask(client: Client) -> None:
    assert (await client.complete(MODEL, "Hi")).text == TEXT


def get_steps(server: HoldingServer) -> list[str]:
    return [entry for entry in server.log if not entry.startswith("disconnected")]


# --- What is dialled


async def test_a_stream_finds_its_connection_open_when_the_prediction_is_created(
    server: HoldingServer,
) -> None:
    async with make_client(server) as client:
        server.waits_for = "a connection"
        for _ in range(5):
            await ask(client)
    assert get_steps(server) == LATE + CREATE * 4


BY_HAND = """
import asyncio, sys, aiohttp

async def main(base_url):
    async with aiohttp.ClientSession() as session:
        for _ in range(5):
            async with session.post(base_url + "/models/acme/text/predictions", data="{}") as reply:
                url = (await reply.json())["urls"]["stream"]
            async with session.get(url) as reply:
                while b"done" not in await reply.content.readany(): pass
                reply.close()

asyncio.run(main(sys.argv[1]))
"""
BY_CLIENT = """
import asyncio, sys
from replicate_stream import Client

async def main(base_url):
    async with Client("r8_FAKE", base_url=base_url) as client:
        for _ in range(5):
            assert (await client.complete("acme/text", "Hi")).text == "Hello"

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("program", [BY_HAND, BY_CLIENT], ids=["aiohttp by hand", "the client"])
def test_over_tls_only_the_first_handshake_is_after_the_reply(tmp_path: Path, program: str) -> None:
    authority = trustme.CA()
    certificate = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(certificate)
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    # A context is made when aiohttp is imported, so the program is another process.
    with HoldingServer(certificate) as server:
        server.waits_for = None if program is BY_HAND else "a connection"
        # By hand, aiohttp leaves connections behind that are still being closed.
        options = [] if program is BY_HAND else ["-W", "always::ResourceWarning"]
        with start(server, program, *options, SSL_CERT_FILE=str(path)) as process:
            _, errors = process.communicate(timeout=30)
    assert (errors, process.returncode) == ("", 0)
    assert get_steps(server) == (LATE * 5 if program is BY_HAND else LATE + CREATE * 4)


async def test_only_the_host_of_the_last_prediction_is_dialled(server: HoldingServer) -> None:
    async with make_client(server) as client:
        await ask(client)
        server.waits_for = "a connection"
        await ask(client)
        server.host = 1  # named in the next reply only
        await ask(client)
        await ask(client)
    assert get_steps(server) == [
        *(*LATE, *CREATE),
        *("connected 0", "created", "connected 1", "streamed 1"),
        *("connected 1", "created", "streamed 1"),
    ]
    server.wait_for("disconnected 0", 3)


async def test_clients_of_the_same_token_know_the_host_and_those_of_another_do_not(
    server: HoldingServer,
) -> None:
    async with make_client(server) as client:
        await ask(client)
        server.waits_for = "a connection"
        await ask(make_client(server))
        server.waits_for = None
        await ask(make_client(server, "r8_OTHER"))
    assert get_steps(server) == LATE + CREATE + LATE


async def test_a_connection_waits_for_each_creation_that_is_under_way_and_no_further_one(
    server: HoldingServer,
) -> None:
    async with make_client(server) as client:
        await ask(client)
        server.waits_for, server.group = "a connection", 5
        await asyncio.gather(*(ask(client) for _ in range(5)))
    steps = get_steps(server)[len(LATE) :]
    assert steps[:5] == ["connected 0"] * 5
    assert sorted(steps[5:]) == ["created"] * 5 + ["streamed 0"] * 5


async def test_a_model_without_streams_dials_nothing(server: HoldingServer) -> None:
    async with make_client(server) as client:
        await ask(client)
        server.output = "object"
        forget_models(server.base_url)
        for _ in range(2):
            await ask(client)
    assert get_steps(server) == [*LATE, "created", "created"]


async def test_nothing_is_dialled_through_a_proxy(server: HoldingServer) -> None:
    proxy = server.base_url.removesuffix("/v1")  # it takes a proxy's requests, too
    async with make_client(server, proxy=proxy) as client:
        for _ in range(2):
            await ask(client)
    assert server.log == ["created"] * 2


async def test_nothing_is_dialled_where_connections_are_not_kept_because_of_a_proxy(
    server: HoldingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.base_url.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", server.stream_origins[0].removeprefix("http://"))
    async with make_client(server) as client:
        for _ in range(3):
            await ask(client)
    assert get_steps(server) == LATE * 3


async def test_nothing_is_dialled_to_a_host_that_is_reached_through_a_proxy(
    server: HoldingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = server.base_url.removesuffix("/v1")
    monkeypatch.setenv("http_proxy", origin)
    monkeypatch.setenv("no_proxy", origin.removeprefix("http://"))
    async with make_client(server) as client:
        for _ in range(3):
            await ask(client)
    assert server.log == ["created"] * 3


async def test_a_version_of_aiohttp_that_cannot_dial_is_no_error(
    server: HoldingServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(aiohttp, "ClientRequest", None)
    async with make_client(server) as client:
        for _ in range(5):
            await ask(client)
    assert get_steps(server) == LATE * 5
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_host_that_cannot_be_reached_is_no_error(
    server: HoldingServer, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        server.stream_origins[0] = f"http://127.0.0.1:{closed.getsockname()[1]}"
    async with make_client(server) as client:
        for _ in range(3):
            await ask(client)  # from the record
    assert server.log == ["created"] * 3
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_the_hosts_of_many_tokens_are_forgotten(
    server: HoldingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_STREAM_HOSTS", 2)
    clients = [make_client(server, f"r8_{number}") for number in range(3)]
    for client in clients:
        await ask(client)
    await ask(clients[0])
    server.waits_for = "a connection"
    await ask(clients[0])
    for client in clients:
        await client.aclose()
    assert get_steps(server) == LATE * 4 + CREATE


# --- What is not used is closed, and bounded


@pytest.mark.parametrize("status", [401, 422, 429, 500])
async def test_a_creation_that_fails_closes_its_connection(
    server: HoldingServer, status: int
) -> None:
    async with make_client(server, deadline=0.5 if status == 429 else None) as client:
        await ask(client)
        server.waits_for, server.statuses = "a connection", [status] * 9
        with pytest.raises(ReplicateError):
            await client.complete(MODEL, "Hi")
        await asyncio.to_thread(server.wait_for, "disconnected 0", 2)


async def test_a_creation_that_is_cancelled_closes_its_connection_before_the_reply(
    server: HoldingServer,
) -> None:
    async with make_client(server) as client:
        await ask(client)
        server.waits_for = "its end"
        creating = asyncio.ensure_future(client.complete(MODEL, "Hi"))
        await asyncio.to_thread(server.wait_for, "connected 0", 2)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        await asyncio.to_thread(server.wait_for, "created", 2)
    assert server.log[-3:] == ["connected 0", "disconnected 0", "created"]


async def test_a_stream_that_is_left_unread_closes_its_connection(server: HoldingServer) -> None:
    async with make_client(server) as client:
        await ask(client)
        server.waits_for = "a connection"
        async with client.stream(MODEL, "Hi"):
            pass
        await asyncio.to_thread(server.wait_for, "disconnected 0", 2)


async def test_a_connection_that_waits_too_long_is_closed(
    server: HoldingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial_ahead, "MAX_SECONDS", 0.2)
    async with make_client(server) as client:
        await ask(client)
        server.waits_for = "its end"
        await ask(client)
    assert get_steps(server)[3:] == ["connected 0", *LATE]
    assert server.log.index("disconnected 0") < server.log.index("created", 2)


async def test_after_three_unused_connections_in_a_row_there_is_a_pause(
    server: HoldingServer,
) -> None:
    async with make_client(server) as client:
        await ask(client)
        server.waits_for, server.statuses = "a connection", [422] * 8
        for _ in range(3):
            await fail(client, server)
        server.waits_for = None
        for _ in range(5):
            await fail(client, server)
        for _ in range(2):
            await ask(client)
    failures = ["connected 0", "created"] * 3 + ["created"] * 5
    assert get_steps(server) == LATE + failures + LATE * 2


async def test_after_the_pause_a_connection_that_is_used_ends_the_pauses(
    server: HoldingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial_ahead, "PAUSE", 0.0)
    async with make_client(server) as client:
        await ask(client)
        server.waits_for, server.statuses = "a connection", [422] * 4
        for _ in range(4):
            await fail(client, server)
        monkeypatch.undo()
        await ask(client)  # with the connection that follows the fourth pause
        server.statuses = [422] * 2
        for _ in range(2):
            await fail(client, server)
        await ask(client)
    assert get_steps(server)[-8:] == [*CREATE, *["connected 0", "created"] * 2, *CREATE][-8:]


async def fail(client: Client, server: HoldingServer) -> None:
    with pytest.raises(ReplicateError):
        await client.complete(MODEL, "Hi")
    # One that is still being closed would be taken for the connection of the next creation.
    opened = server.log.count("connected 0")
    await asyncio.to_thread(server.wait_for, "disconnected 0", opened)


async def test_a_host_that_closes_unused_connections_costs_no_answer(
    server: HoldingServer,
) -> None:
    server.hangs_up = True
    async with make_client(server) as client:
        await ask(client)
        server.waits_for = "its end"
        for _ in range(2):
            await ask(client)
    assert server.log.count("created") == server.log.count("streamed 0") == 3


# --- Nothing is left behind

PRELUDE = """
import asyncio, sys
from replicate_stream import Client, ReplicateError

client = Client("r8_FAKE", base_url=sys.argv[1], max_retries=0)

async def ask():
    try:
        await client.complete("acme/text", "Hi")
    except ReplicateError:
        print("failed")

async def enter():
    opening = client.stream("acme/text", "Hi")
    return opening, await opening.__aenter__()

loop = asyncio.new_event_loop()
loop.run_until_complete(ask())
"""
LEFT = {
    "a stream that nobody reads": "left = loop.run_until_complete(enter())",
    "a stream that nobody reads, in a closed loop": """
        left = loop.run_until_complete(enter())
        loop.close()
    """,
    "a creation that failed, in a closed loop": """
        loop.run_until_complete(ask())
        loop.close()
    """,
    "a creation under way, in a closed loop": """
        loop.run_until_complete(ask())
        left = loop.create_task(enter())
        left._log_destroy_pending = False  # it is the caller's own
        async def wait_for_dial():
            while "StreamHost._connect" not in repr(asyncio.all_tasks()):
                await asyncio.sleep(0)
        loop.run_until_complete(wait_for_dial())
        loop.close()
        del left
    """,
    "a stream that nobody reads, in asyncio.run": """
        loop.close()
        async def main():
            global left
            await ask()
            left = await enter()
        asyncio.run(main())
    """,
}


@pytest.mark.parametrize("name", LEFT)
def test_a_process_exits_at_once_and_silently(server: HoldingServer, name: str) -> None:
    server.waits_for = "a connection" if "asyncio.run" not in name else None
    server.statuses = [201, 422] if "failed" in name else []
    with start(server, PRELUDE + textwrap.dedent(LEFT[name])) as process:
        output, errors = process.communicate(timeout=30)
    assert (errors, process.returncode) == ("", 0)
    assert output == ("failed\n" if "failed" in name else "")
    # The last one was dialled ahead.
    assert server.log.count("connected 0") == server.log.count("streamed 0") + 1


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT")
def test_ctrl_c_during_a_creation_closes_its_connection_first(server: HoldingServer) -> None:
    server.waits_for = "its end"
    program = "async def main():\n    await ask()\n    await ask()\nasyncio.run(main())"
    with start(server, PRELUDE.rpartition("loop = ")[0] + program) as process:
        server.wait_for("connected 0", 2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert not any(each in errors for each in ("never retrieved", "nclosed", "destroyed"))
    assert server.log[-3:] == ["connected 0", "disconnected 0", "created"]


def test_an_interrupt_of_the_dial_itself_does_not_keep_a_creation_from_cancelling(
    server: HoldingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt  # as Python 3.10 does in any task, and `asyncio.run` in none

    client = make_client(server)
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(ask(client))
        monkeypatch.setattr(aiohttp, "ClientRequest", interrupt)
        creating = loop.create_task(ask(client))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(creating)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(creating)
        loop.run_until_complete(client.aclose())
    assert server.cancels == 1


def start(
    server: HoldingServer, program: str, *options: str, **environment: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *options, "-c", program, server.base_url],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

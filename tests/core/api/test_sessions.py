"""Clients with equal connection settings share their connections, and leave none behind."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from replicate_stream import Client, ModelNotFoundError, TextDelta
from replicate_stream._api import sessions
from replicate_stream.adapters import run_blocking
from replicate_stream.testing import Emulator
from tests.reliability.faulty_server import MODEL, TEXT, FaultyServer, Script

CountConnections = Callable[[], int]


async def ask(emulator: Emulator, **settings: Any) -> str:
    """Complete with a client of its own, which is collected instead of closed."""
    client = Client(settings.pop("api_key", emulator.token), base_url=emulator.base_url, **settings)
    return (await client.complete(emulator.model, "Hi")).text


async def test_clients_made_for_each_request_open_no_further_connection(
    keeping_emulator: Emulator, count_connections: CountConnections
) -> None:
    for number in range(5):
        # The settings that change the requests, and not their connections.
        settings: dict[str, Any] = {"timeout": 60 + number, "max_retries": number}
        settings["headers"] = {"X-Number": str(number)}
        assert await ask(keeping_emulator, **settings) == "Hello"
    assert count_connections() == 2  # to the API, and to the stream host


def test_blocking_calls_of_clients_made_for_each_request_open_no_further_connection(
    keeping_emulator: Emulator, count_connections: CountConnections
) -> None:
    for _ in range(5):
        assert run_blocking(lambda: ask(keeping_emulator)) == "Hello"
    assert count_connections() == 2


async def test_each_client_sends_its_own_token_and_headers_over_shared_connections() -> None:
    with Emulator(token="") as emulator:  # which takes any token
        clients = {
            name: Client(f"r8_FAKE_{name}", base_url=emulator.base_url, headers={"X-N": name})
            for name in "abc"
        }
        for _ in range(3):
            for name, client in clients.items():
                async with client.stream(emulator.model, name) as events:
                    async for _event in events:
                        pass
        requests = [r for r in emulator.requests if r.server == "api" and r.kind != "model"]
        assert {r.connection for r in requests} == {1}
        owners = dict(zip(emulator.predictions, "abc" * 3, strict=True))
    assert len(requests) == 18  # for each answer, its creation and its record
    for request in requests:
        prediction_id = request.path.rpartition("/")[2]
        name = request.json["input"]["prompt"][0] if request.json else owners[prediction_id]
        assert request.headers["authorization"] == f"Bearer r8_FAKE_{name}"
        assert request.headers["x-n"] == name


async def test_clients_of_other_settings_share_no_connection(
    keeping_emulator: Emulator, count_connections: CountConnections
) -> None:
    await ask(keeping_emulator)
    proxy = keeping_emulator.base_url.removesuffix("/v1")  # it takes a proxy's requests, too
    token, base_url = keeping_emulator.token, keeping_emulator.base_url
    async with Client(token, base_url=base_url, proxy=proxy) as client:
        with pytest.raises(ModelNotFoundError):
            await client.describe("no/such")
    assert count_connections() == 3


async def test_closing_a_client_leaves_the_stream_of_another_one_undisturbed(
    replicate_emulator: Emulator, make_client: Callable[..., Client]
) -> None:
    replicate_emulator.behaviour.token_delay = 0.01
    replicate_emulator.reply = ["a"] * 30
    reading, other = make_client(), make_client(api_key=replicate_emulator.token)
    text = ""
    async with reading.stream(replicate_emulator.model, "Hi") as events:
        async for event in events:
            if isinstance(event, TextDelta):
                if not text:
                    await other.complete(replicate_emulator.model, "Hi")
                    await other.aclose()
                text += event.text
    assert text == "a" * 30
    assert [r.kind for r in replicate_emulator.requests].count("stream") == 2


async def test_a_client_that_was_closed_can_be_used_again(
    keeping_emulator: Emulator, make_client: Callable[..., Client]
) -> None:
    client = make_client()
    for _ in range(2):
        assert (await client.complete(keeping_emulator.model, "Hi")).text == "Hello"
        await client.aclose()


async def read_all(server: FaultyServer) -> None:
    """Complete with a client that is collected."""
    client = Client("r8_FAKE", base_url=server.base_url)
    assert (await client.complete(MODEL, "Hi")).text == TEXT


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    """A server that counts its open connections."""
    with FaultyServer(Script("")) as server:
        yield server


async def test_the_last_client_that_is_closed_closes_the_connections(server: FaultyServer) -> None:
    first, last = (Client("r8_FAKE", base_url=server.base_url) for _ in range(2))
    for client in (first, last):
        await client.complete(MODEL, "Hi")
    await first.aclose()
    assert await asyncio.to_thread(server.wait_until_idle)
    assert len(server.connections) == 1
    await last.aclose()
    assert await asyncio.to_thread(server.wait_until_closed)


async def test_closing_a_client_closes_what_collected_ones_have_left(server: FaultyServer) -> None:
    await read_all(server)
    gc.collect()
    await asyncio.sleep(0)
    assert len(server.connections) == 1
    await Client("r8_OTHER", base_url=server.base_url).aclose()
    assert await asyncio.to_thread(server.wait_until_closed)


async def test_connections_that_no_client_uses_are_closed_in_time(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "KEEP_UNUSED", 0.05)
    await read_all(server)
    gc.collect()
    assert await asyncio.to_thread(server.wait_until_closed)
    assert get_pools() == set()


async def test_settings_that_are_used_once_each_keep_few_connections(
    replicate_emulator: Emulator,
) -> None:
    origin = replicate_emulator.base_url.removesuffix("/v1")
    seen: set[sessions._Pool] = set()
    for number in range(60):
        client = Client(replicate_emulator.token, base_url=f"{origin}/{number}")
        with pytest.raises(ModelNotFoundError):
            await client.describe("a/b")
        seen |= get_pools()
        del client
        gc.collect()
        await asyncio.sleep(0)
        assert len(get_pools()) <= sessions.MAX_UNUSED
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    assert len(seen) == 60
    assert {pool for pool in seen if pool.is_open} == get_pools()


def get_pools() -> set[sessions._Pool]:
    loop = asyncio.get_running_loop()
    return {pool for pool in sessions._pools.values() if pool.loop is loop}


def test_clients_made_for_each_request_in_many_threads_and_loops(
    keeping_emulator: Emulator,
) -> None:
    async def ask_twice(_: int) -> list[str]:
        return [await ask(keeping_emulator) for _ in range(2)]

    with ThreadPoolExecutor(8) as pool:
        texts = [*pool.map(lambda number: asyncio.run(ask_twice(number)), range(40))]
    assert texts == [["Hello", "Hello"]] * 40
    assert [p for p in sessions._pools.values() if p.loop.is_closed()] == []


def test_threads_that_forget_the_same_closed_loop_at_once_get_their_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = Client("r8_FAKE_token")
    shared = sessions.Sessions(owner, "settings")
    closed = asyncio.new_event_loop()
    closed.run_until_complete(shared.get())
    closed.run_until_complete(closed.shutdown_asyncgens())  # it closes the session
    closed.close()
    both_see_it = threading.Barrier(2)

    def is_closed() -> bool:
        both_see_it.wait(10)
        return True

    monkeypatch.setattr(closed, "is_closed", is_closed)
    with ThreadPoolExecutor(2) as executor:
        opened = list(executor.map(asyncio.run, [shared.get(), shared.get()]))
    assert len(set(opened)) == 2


def test_a_client_that_another_thread_drops_leaves_its_connections_to_the_next(
    keeping_emulator: Emulator, count_connections: CountConnections
) -> None:
    async def main() -> None:
        clients = [Client(keeping_emulator.token, base_url=keeping_emulator.base_url)]
        await clients[0].complete(keeping_emulator.model, "Hi")
        thread = threading.Thread(target=clients.clear)
        thread.start()
        await asyncio.to_thread(thread.join)
        await ask(keeping_emulator)

    asyncio.run(main())
    assert count_connections() == 2


async def test_a_client_from_a_pickle_shares_the_connections(
    keeping_emulator: Emulator, count_connections: CountConnections
) -> None:
    client = Client(keeping_emulator.token, base_url=keeping_emulator.base_url)
    for each in (client, pickle.loads(pickle.dumps(client))):
        assert (await each.complete(keeping_emulator.model, "Hi")).text == "Hello"
    assert count_connections() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_that_drops_its_clients_leaves_the_parents_connections_alone(
    keeping_emulator: Emulator, count_connections: CountConnections
) -> None:
    program = f"""
        import asyncio, gc, os, sys, warnings
        from replicate_stream import Client
        warnings.simplefilter("ignore", DeprecationWarning)

        async def ask():
            client = Client({keeping_emulator.token!r}, base_url={keeping_emulator.base_url!r})
            return (await client.complete({keeping_emulator.model!r}, "Hi")).text

        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(ask()) == "Hello"
        child = os.fork()
        if not child:
            gc.collect()
            assert asyncio.run(ask()) == "Hello"
            gc.collect()
            sys.exit()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert loop.run_until_complete(ask()) == "Hello"
        loop.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert count_connections() == 4  # two of each process

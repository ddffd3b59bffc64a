"""Warnings point at the line of user code that called the library."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from replicate_stream import Client, prepare_input
from replicate_stream.adapters import iterate_blocking, run_blocking
from replicate_stream.testing import Emulator

SCHEMA = {"properties": {"prompt": {"type": "string"}}}
Places = Callable[[], list[tuple[str, int]]]


@pytest.fixture
def client(replicate_emulator: Emulator) -> Client:
    """A client that warns, because the emulator's model has no input for `seed`."""
    replicate_emulator.add_model("some/model", SCHEMA, official=True)
    return Client(
        replicate_emulator.token, base_url=replicate_emulator.base_url, on_unsupported="warn"
    )


def first_line(call: Callable[..., object]) -> tuple[str, int]:
    """File and line of the first statement in a function."""
    return call.__code__.co_filename, call.__code__.co_firstlineno + 1


def prepare_directly() -> None:
    prepare_input("Hi", model="a/b", schema=SCHEMA, seed=1, on_unsupported="warn")


def test_prepare_input_warns_where_it_is_called(warned_places: Places) -> None:
    prepare_directly()
    assert warned_places() == [first_line(prepare_directly)]


async def stream(client: Client) -> None:
    async with client.stream("some/model", "Hi", seed=1) as events:
        async for _ in events:
            pass


async def complete(client: Client) -> None:
    await client.complete("some/model", "Hi", seed=1)


async def prepare(client: Client) -> None:
    await client.prepare("some/model", "Hi", seed=1)


async def create_task(client: Client) -> None:
    await asyncio.create_task(client.complete("some/model", "Hi", seed=1))


async def gather(client: Client) -> None:
    await asyncio.gather(client.complete("some/model", "Hi", seed=1))


async def wait_for(client: Client) -> None:
    await asyncio.wait_for(client.complete("some/model", "Hi", seed=1), 10)


async def wait(client: Client) -> None:
    await asyncio.wait([asyncio.create_task(client.complete("some/model", "Hi", seed=1))])


@pytest.mark.parametrize(
    "call",
    [stream, complete, prepare, create_task, gather, wait_for, wait],
    ids=lambda call: call.__name__,
)
async def test_an_async_call_warns_where_it_is_awaited(
    client: Client, call: Callable[[Client], Awaitable[None]], warned_places: Places
) -> None:
    async with client:
        await call(client)
    assert warned_places() == [first_line(call)]


def complete_blocking(client: Client) -> None:
    run_blocking(lambda: client.complete("some/model", "Hi", seed=1))


def stream_blocking(client: Client) -> None:
    for _ in iterate_blocking(lambda: client.stream("some/model", "Hi", seed=1)):
        pass


def complete_in_an_executor(client: Client) -> None:
    with ThreadPoolExecutor() as executor:
        list(executor.map(run_blocking, [lambda: client.complete("some/model", "Hi", seed=1)]))


@pytest.mark.parametrize("call", [complete_blocking, stream_blocking], ids=lambda c: c.__name__)
def test_a_blocking_call_warns_where_it_is_made(
    client: Client, call: Callable[[Client], None], warned_places: Places
) -> None:
    call(client)
    assert warned_places() == [first_line(call)]
    run_blocking(client.aclose)


def test_a_call_in_an_executor_warns_where_the_executor_is_used(
    client: Client, warned_places: Places
) -> None:
    complete_in_an_executor(client)
    ((file, line),) = warned_places()
    expected_file, first = first_line(complete_in_an_executor)
    assert file == expected_file
    assert line in {first, first + 1}  # leaving the block waits for the calls, too
    run_blocking(client.aclose)


def test_without_any_user_code_the_warning_points_at_the_library(
    client: Client, warned_places: Places
) -> None:
    completion: Any = client.complete("some/model", "Hi", seed=1)
    thread = threading.Thread(target=run_blocking, args=(lambda: completion,))
    thread.start()
    thread.join()
    ((file, _),) = warned_places()
    assert "replicate_stream" in file
    run_blocking(client.aclose)


def test_the_default_filter_shows_a_warning_once_for_each_line() -> None:
    script = """
from replicate_stream import prepare_input
def prepare():
    prepare_input("Hi", model="a/b", schema={"properties": {"prompt": {"type": "string"}}},
                  seed=1, on_unsupported="warn")
prepare()
prepare()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr.count("ParameterWarning") == 1
    assert done.stderr.startswith("<string>:4")

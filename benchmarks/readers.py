"""The readers that are compared: hand-written floors, and the client."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from benchmarks.report import Read
from benchmarks.server import Address
from replicate_stream import Client, TextDelta

TOKEN = "r8_FAKE_TOKEN_OF_BENCHMARKS"
END = b"event: done"


async def create_prediction(session: aiohttp.ClientSession, address: Address, model: str) -> str:
    """Create a prediction by hand and return the URL of its stream."""
    url = f"{address.api}/v1/models/bench/{model}/predictions"
    async with session.post(url, data=b'{"input":{"prompt":"x"}}') as reply:
        return str(json.loads(await reply.read())["urls"]["stream"])


@asynccontextmanager
async def sessions() -> AsyncIterator[aiohttp.ClientSession]:
    """An aiohttp session without a limit to its connections."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


def raw_socket(address: Address) -> Read:
    """Read bytes from a socket: the physical floor. Blocking, which only a benchmark may be."""

    async def read(model: str) -> int:
        async with sessions() as session:
            url = urlsplit(await create_prediction(session, address, model))
        tail = b""
        with socket.create_connection((url.hostname, url.port)) as connected:
            connected.sendall(f"GET {url.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            while END not in tail:
                tail = tail[-len(END) :] + connected.recv(65536)
        return _tokens(model)

    return read


def bytes_only(session: aiohttp.ClientSession, address: Address) -> Read:
    """Read bytes with aiohttp and discard them."""

    async def read(model: str) -> int:
        tail = b""
        async with session.get(await create_prediction(session, address, model)) as reply:
            while END not in tail:
                tail = tail[-len(END) :] + await reply.content.readany()
            reply.close()
        return _tokens(model)

    return read


def naive_split(session: aiohttp.ClientSession, address: Address) -> Read:
    """Split aiohttp's bytes at blank lines: the cheapest way to tokens, and not a correct one."""

    async def read(model: str) -> int:
        tokens, rest = 0, b""
        async with session.get(await create_prediction(session, address, model)) as reply:
            while True:
                *events, rest = (rest + await reply.content.readany()).split(b"\n\n")
                for each in events:
                    if each.startswith(END):
                        reply.close()
                        return _check_count(tokens, model)
                    at = each.find(b"data: ")
                    if at >= 0 and each[at + 6 :].decode():
                        tokens += 1

    return read


def core(client: Client) -> Read:
    """`Client.stream`."""

    async def read(model: str) -> int:
        tokens = 0
        async with client.stream(f"bench/{model}", "x", include_usage=False) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    tokens += 1
        return _check_count(tokens, model)

    return read


def async_items(stream: Callable[[str], Any], *, more: int = 2) -> Read:
    """Read a framework's async iterator, or a coroutine that returns one; an item is a token.

    Args:
        stream: Starts the stream of a model.
        more: The most items that the framework adds to the tokens.
    """

    async def read(model: str) -> int:
        items = stream(model)
        if asyncio.iscoroutine(items):
            items = await items
        number = 0
        async for _ in items:
            number += 1
        return _check_count(number, model, more=more)

    return read


def blocking_items(stream: Callable[[str], Any]) -> Read:
    """Read a framework's blocking iterator in another thread."""

    async def read(model: str) -> int:
        number = await asyncio.to_thread(lambda: sum(1 for _ in stream(model)))
        return _check_count(number, model, more=2)

    return read


def _tokens(model: str) -> int:
    return int(model.split("-")[1])


def _check_count(number: int, model: str, more: int = 0) -> int:
    """The number of tokens; a benchmark of a reader that loses tokens is worthless."""
    expected = _tokens(model)
    if not expected <= number <= expected + more:
        raise RuntimeError(f"{model} gave {number} tokens instead of {expected}")
    return expected

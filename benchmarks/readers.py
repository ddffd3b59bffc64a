"""The ways to read a stream that are compared: the floors by hand, and ours."""

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


async def created(session: aiohttp.ClientSession, address: Address, model: str) -> str:
    """Create a prediction by hand; its stream's URL."""
    url = f"{address.api}/v1/models/bench/{model}/predictions"
    async with session.post(url, data=b'{"input":{"prompt":"x"}}') as reply:
        return str(json.loads(await reply.read())["urls"]["stream"])


@asynccontextmanager
async def sessions() -> AsyncIterator[aiohttp.ClientSession]:
    """An aiohttp session without a limit to its connections."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


def raw_socket(address: Address) -> Read:
    """Bytes out of a socket: the physical floor. It blocks, which only a benchmark may."""

    async def read(model: str) -> int:
        async with sessions() as session:
            url = urlsplit(await created(session, address, model))
        tail = b""
        with socket.create_connection((url.hostname, url.port)) as connected:
            connected.sendall(f"GET {url.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            while END not in tail:
                tail = tail[-len(END) :] + connected.recv(65536)
        return _tokens(model)

    return read


def bytes_only(session: aiohttp.ClientSession, address: Address) -> Read:
    """Bytes out of aiohttp, and nothing done with them."""

    async def read(model: str) -> int:
        tail = b""
        async with session.get(await created(session, address, model)) as reply:
            while END not in tail:
                tail = tail[-len(END) :] + await reply.content.readany()
            reply.close()
        return _tokens(model)

    return read


def naive_split(session: aiohttp.ClientSession, address: Address) -> Read:
    """A split at blank lines behind aiohttp: the least that gives tokens, if not the right ones."""

    async def read(model: str) -> int:
        tokens, rest = 0, b""
        async with session.get(await created(session, address, model)) as reply:
            while True:
                *events, rest = (rest + await reply.content.readany()).split(b"\n\n")
                for each in events:
                    if each.startswith(END):
                        reply.close()
                        return _checked(tokens, model)
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
        return _checked(tokens, model)

    return read


def items(stream: Callable[[str], Any]) -> Read:
    """A framework's async iterator, or a coroutine that gives one: a token an item.

    Frameworks add an item or two of their own, at the end.
    """

    async def read(model: str) -> int:
        given = stream(model)
        if asyncio.iscoroutine(given):
            given = await given
        number = 0
        async for _ in given:
            number += 1
        return _checked(number, model, more=2)

    return read


def in_thread(stream: Callable[[str], Any]) -> Read:
    """A framework's sync iterator, read in another thread."""

    async def read(model: str) -> int:
        number = await asyncio.to_thread(lambda: sum(1 for _ in stream(model)))
        return _checked(number, model, more=2)

    return read


def _tokens(model: str) -> int:
    return int(model.split("-")[1])


def _checked(number: int, model: str, more: int = 0) -> int:
    """A benchmark of something that loses tokens would be worth nothing."""
    expected = _tokens(model)
    if not expected <= number <= expected + more:
        raise RuntimeError(f"{model} gave {number} tokens instead of {expected}")
    return expected

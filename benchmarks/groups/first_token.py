"""Requests and time until the first token, if each request, and each new connection, takes 40 ms.

The stream host keeps each connection for one stream, so by hand every stream needs a new one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from urllib.request import urlopen

import aiohttp

from benchmarks import readers
from benchmarks.report import Contender, Row, compare
from benchmarks.server import Address, running
from benchmarks.sizes import Sizes
from replicate_stream import Client, TextDelta

NEEDS = ()
DELAY = 0.04
"""Seconds for each request, and for each new connection."""


async def rows(sizes: Sizes) -> list[Row]:
    """Requests, and milliseconds with a cold and a warm client."""
    with running() as address:
        rows = await _requests(address)
    with running(DELAY) as address:
        return rows + await _waits(address, sizes)


async def _requests(address: Address) -> list[Row]:
    async with Client(readers.TOKEN, base_url=address.api) as client:
        rows = []
        for which, most in (("unknown", 3), ("known", 2)):
            before = count_requests(address)
            async with _first_token(client, "burst-5"):
                sent = count_requests(address) - before
            name = f"requests to the first token, {which} model"
            rows.append(Row(name, sent, "requests", most=most))
    return rows


def count_requests(address: Address) -> int:
    """Number of requests that the server has received. Blocking."""
    # With a connection of its own, so that the measured client's connections stay as they are.
    with urlopen(f"{address.api}/counts") as reply:
        return int(json.load(reply)["requests"])


async def _waits(address: Address, sizes: Sizes) -> list[Row]:
    numbers = count()
    async with (
        readers.sessions() as session,
        Client(readers.TOKEN, base_url=address.api) as client,
    ):

        async def by_hand() -> float:
            return await _wait_by_hand(session, address)

        async def by_hand_cold() -> float:
            async with readers.sessions() as fresh:
                return await _wait_by_hand(fresh, address)

        async def warm() -> float:
            return await _wait(client, "burst-5")

        async def cold(model: str = "burst-5") -> float:
            # In a loop of its own: in this one it would share the connections of the warm client.
            return await asyncio.to_thread(asyncio.run, _wait_cold(address, model))

        async def unknown() -> float:
            return await cold(f"burst-5-{next(numbers)}")

        floor, cold_floor = "warm: aiohttp by hand", "cold: aiohttp by hand"
        return await compare(
            [
                Contender(cold_floor, by_hand_cold),
                Contender("cold, model known: Client.stream", cold, cold_floor, most=166),
                Contender("cold, model unknown: Client.stream", unknown, cold_floor),
                Contender(floor, by_hand),
                Contender("warm, dialled ahead: Client.stream", warm, floor, most_ratio=0.75),
            ],
            rounds=sizes.waits,
            unit="ms",
        )


async def _wait_by_hand(session: aiohttp.ClientSession, address: Address) -> float:
    began = time.perf_counter()
    async with session.get(await readers.create_prediction(session, address, "burst-5")) as reply:
        while b"event: output" not in await reply.content.readany():
            pass
        passed = time.perf_counter() - began
        reply.close()
    return passed * 1e3


async def _wait_cold(address: Address, model: str) -> float:
    async with Client(readers.TOKEN, base_url=address.api) as client:
        return await _wait(client, model)


async def _wait(client: Client, model: str) -> float:
    began = time.perf_counter()
    async with _first_token(client, model) as arrived:
        return (arrived - began) * 1e3


@asynccontextmanager
async def _first_token(client: Client, model: str) -> AsyncIterator[float]:
    """Yield the time of the first token, then read the stream to its end."""
    async with client.stream(f"bench/{model}", "x", include_usage=False) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                yield time.perf_counter()
                break
        async for _ in events:
            pass

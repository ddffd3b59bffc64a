"""Many streams at once, of two paces: complete streams, and the delay of tokens."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import aiohttp

from benchmarks import readers
from benchmarks.report import Contender, Row, take_turns
from benchmarks.server import RATE, SLOW_RATE, Address, running
from benchmarks.sizes import Sizes
from replicate_stream import Client, TextDelta

NEEDS = ()
OPENED_PER_SECOND = 250
"""Streams opened in a second; opening all at once would measure mostly their opening."""

Listen = Callable[[list[float]], Awaitable[None]]
"""Reads a stream, and records the delay of each token in seconds."""


async def rows(sizes: Sizes) -> list[Row]:
    """Aiohttp by hand, and `Client.stream`."""
    slow = await _measure(sizes, "slow", SLOW_RATE)
    return [*slow, *await _measure(sizes, "paced", RATE)]


async def _measure(sizes: Sizes, kind: str, rate: int) -> list[Row]:
    streams, tokens = sizes.crowd, sizes.seconds * rate
    model, whole = f"{kind}-{tokens}", 0
    delays: dict[str, list[float]] = {"aiohttp by hand": [], "Client.stream": []}
    walls: dict[str, list[float]] = {"aiohttp by hand": [], "Client.stream": []}

    def crowd_of(name: str, listen: Listen) -> Contender:
        async def measure() -> float:
            nonlocal whole
            began, began_at = time.process_time(), time.perf_counter()
            measured = await _crowd(listen, streams)
            cost = (time.process_time() - began) / streams / tokens * 1e6
            walls[name].append(time.perf_counter() - began_at)
            delays[name] += [delay for late in measured for delay in late]
            if name == "Client.stream":
                whole += sum(len(late) == tokens for late in measured)
            return cost

        return Contender(name, measure)

    with running() as address:
        async with (
            readers.sessions() as session,
            Client(readers.TOKEN, base_url=address.api) as client,
        ):
            ways = [
                crowd_of("aiohttp by hand", lambda late: _by_hand(session, address, model, late)),
                crowd_of("Client.stream", lambda late: _with_core(client, model, late)),
            ]
            # What a process does once, such as imports, is the subject of `cold-start`.
            await _by_hand(session, address, "paced-1", [])
            await _with_core(client, "paced-1", [])
            costs = await take_turns(ways, rounds=sizes.crowd_rounds, warm_up=False)
    missing = streams * sizes.crowd_rounds - whole
    floor, own = (statistics.median(each) for each in costs.values())
    wall_floor, wall = (statistics.median(each) for each in walls.values())
    # Where the floor alone keeps the processor busy, tokens queue up, and delays show little else.
    busy = floor * streams * tokens / 1e6 / wall_floor
    rows = [
        Row("Client.stream: incomplete", missing, "streams", most=0),
        Row("aiohttp by hand: CPU", floor, "us/token"),
        Row("aiohttp by hand: busy", busy * 100, "% of the time"),
        Row("Client.stream: CPU", own, "us/token", own / floor),
        Row("aiohttp by hand: all streams", wall_floor, "s"),
        Row("Client.stream: all streams", wall, "s", wall / wall_floor, 1.1),
        *_delays(delays),
    ]
    return [replace(row, name=f"{rate} tokens/s, {row.name}") for row in rows]


def _delays(delays: dict[str, list[float]]) -> list[Row]:
    rows: list[Row] = []
    for percent, most_ratio in ((50, None), (99, 1.5)):
        floor, own = (
            statistics.quantiles(each, n=100)[percent - 1] * 1e3 for each in delays.values()
        )
        by_hand, ours = (f"{name}: delay of a token, p{percent}" for name in delays)
        rows.append(Row(by_hand, floor, "ms"))
        rows.append(Row(ours, own, "ms", own / floor, most_ratio))
    return rows


async def _crowd(listen: Listen, streams: int) -> list[list[float]]:
    """Run streams concurrently and return the delays of each; a stream that fails has fewer."""

    async def one(number: int) -> list[float]:
        late: list[float] = []
        await asyncio.sleep(number / OPENED_PER_SECOND)
        await listen(late)
        return late

    return await asyncio.gather(*[one(number) for number in range(streams)])


async def _by_hand(
    session: aiohttp.ClientSession, address: Address, model: str, late: list[float]
) -> None:
    async with session.get(await readers.create_prediction(session, address, model)) as reply:
        rest = b""
        while True:
            *events, rest = (rest + await reply.content.readany()).split(b"\n\n")
            for each in events:
                if each.startswith(readers.END):
                    reply.close()
                    return
                at = each.find(b"data: ")
                if at >= 0:
                    late.append(time.monotonic() - float(each[at + 6 :]))


async def _with_core(client: Client, model: str, late: list[float]) -> None:
    async with client.stream(f"bench/{model}", "x", include_usage=False) as events:
        late.extend(
            [
                time.monotonic() - float(event.text)
                async for event in events
                if isinstance(event, TextDelta)
            ]
        )

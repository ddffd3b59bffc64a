"""CPU time of a short answer: its creation, its stream and its record, compared with aiohttp."""

from __future__ import annotations

import gc
import json
from time import process_time

import aiohttp

from benchmarks import readers
from benchmarks.report import Contender, Measure, Read, Row, compare
from benchmarks.server import Address, running
from benchmarks.sizes import Sizes
from replicate_stream import Client, TextDelta

NEEDS = ()
_MODEL = "burst-20"


async def rows(sizes: Sizes) -> list[Row]:
    """Aiohttp by hand with the same three requests, and `Client.stream`."""
    with running() as address:
        async with (
            readers.sessions() as session,
            Client(readers.TOKEN, base_url=address.api) as client,
        ):
            by_hand = _cpu_per_answer(_by_hand(session, address), sizes.answers)
            streamed = _cpu_per_answer(_stream(client), sizes.answers)
            completed = _cpu_per_answer(_complete(client), sizes.answers)
            floor = "aiohttp by hand"
            return await compare(
                [
                    Contender(floor, by_hand),
                    Contender("Client.stream", streamed, floor, 1.5),
                    Contender("Client.complete", completed, floor, 1.5),
                ],
                rounds=sizes.rounds,
                unit="us/answer",
            )


def _by_hand(session: aiohttp.ClientSession, address: Address) -> Read:
    split = readers.naive_split(session, address)
    headers = {"Authorization": f"Bearer {readers.TOKEN}"}

    async def read(model: str) -> int:
        tokens = await split(model)
        async with session.get(f"{address.api}/v1/predictions/p1", headers=headers) as reply:
            json.loads(await reply.read())
        return tokens

    return read


def _stream(client: Client) -> Read:
    async def read(model: str) -> int:
        async with client.stream(f"bench/{model}", "x") as events:
            return sum([isinstance(event, TextDelta) async for event in events])

    return read


def _complete(client: Client) -> Read:
    async def read(model: str) -> int:
        return len((await client.complete(f"bench/{model}", "x")).text.split())

    return read


def _cpu_per_answer(read: Read, answers: int) -> Measure:
    """Microseconds of this process's CPU time per answer, as `report.cpu_per_token` counts them."""

    async def measure() -> float:
        gc.collect()
        gc.freeze()
        began = process_time()
        for _ in range(answers):
            await read(_MODEL)
        return max(process_time() - began, 1e-9) / answers * 1e6

    return measure

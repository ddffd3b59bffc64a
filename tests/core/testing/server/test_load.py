"""The emulator under the load of the client's own load tests."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from replicate_stream.testing import Emulator

BODY = {"input": {"prompt": "Hi"}}
TOKENS = [f"{number} " for number in range(20)]


async def create(session: aiohttp.ClientSession, emulator: Emulator) -> Any:
    url = f"{emulator.base_url}/models/{emulator.model}/predictions"
    async with session.post(url, json=BODY) as reply:
        assert reply.status == 201
        return await reply.json()


async def read_to_done(session: aiohttp.ClientSession, url: str) -> bytes:
    received = b""
    async with session.get(url, headers={"Accept": "text/event-stream"}) as reply:
        async for chunk in reply.content.iter_any():
            received += chunk
            if b"event: done" in received and received.endswith(b"\n\n"):
                break
    return received


def open_session(emulator: Emulator) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {emulator.token}"},
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
    )


async def test_three_hundred_concurrent_creations_are_all_answered() -> None:
    async with Emulator() as emulator, open_session(emulator) as session:
        records = await asyncio.gather(*(create(session, emulator) for _ in range(300)))
        assert {record["id"] for record in records} == set(emulator.predictions)


async def test_five_hundred_paced_streams_are_complete_and_in_time() -> None:
    async with Emulator(TOKENS, token_delay=0.1) as emulator, open_session(emulator) as session:

        async def read_one() -> bytes:
            record = await create(session, emulator)
            return await read_to_done(session, record["urls"]["stream"])

        started = time.monotonic()
        bodies = await asyncio.gather(*(read_one() for _ in range(500)))
        duration = time.monotonic() - started
        expected_lines = [f"data: {token}".encode() for token in TOKENS]
        for body in bodies:
            lines = body.splitlines()
            assert [line for line in lines if line.startswith(b"data: ")] == [
                *expected_lines,
                b"data: {}",
            ]
        # 2 s of pacing, and a wide margin for slow machines.
        assert duration < 20
        await emulator.wait_for_async(lambda e: e.streams_open == 0)

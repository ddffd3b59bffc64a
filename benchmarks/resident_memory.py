"""Print the kilobytes per open stream: `python -m benchmarks.resident_memory WHAT API N`."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks import readers
from benchmarks.server import Address
from replicate_stream import Client, TextDelta

_WARM_UP = (
    400  # streams, after which caches of parsed URLs are full and the allocator has its pages
)
_PAGE = 4  # KB


async def _open_by_hand(api: str, streams: int) -> float:
    address = Address(api, "")
    async with readers.sessions() as session:
        await readers.bytes_only(session, address)("burst-3")

        async def one(stack: AsyncExitStack) -> None:
            url = await readers.create_prediction(session, address, "held-3")
            reply = await stack.enter_async_context(session.get(url))
            stack.callback(reply.close)
            while b"event: output" not in await reply.content.readany():
                pass

        async with AsyncExitStack() as stack:
            before = _resident()
            for _ in range(streams):
                await one(stack)
            return (_resident() - before) / streams


async def _open(api: str, streams: int) -> float:
    async with Client(readers.TOKEN, base_url=api) as client:
        await readers.core(client)("burst-3")

        async def one(stack: AsyncExitStack) -> None:
            opening = client.stream("bench/held-3", "x", include_usage=False)
            events = await stack.enter_async_context(opening)
            async for event in events:
                if isinstance(event, TextDelta):
                    return

        async with AsyncExitStack() as stack:
            before = _resident()
            for _ in range(streams):
                await one(stack)
            return (_resident() - before) / streams


async def _in_a_row(api: str, streams: int) -> float:
    async with Client(readers.TOKEN, base_url=api) as client:
        read = readers.core(client)
        for _ in range(_WARM_UP):
            await read("burst-20")
        before = _resident()
        for _ in range(streams):
            await read("burst-20")
        return (_resident() - before) / streams


def _resident() -> int:
    """This process's resident memory, in KB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


WAYS = {"open-by-hand": _open_by_hand, "open": _open, "in-a-row": _in_a_row}

if __name__ == "__main__":
    what, api, number = sys.argv[1:]
    print(asyncio.run(WAYS[what](api, int(number))))

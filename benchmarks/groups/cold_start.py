"""CPU time from the start of a process to its first token, with compiled bytecode."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping

from benchmarks.readers import TOKEN
from benchmarks.report import Contender, Measure, Row, take_turns
from benchmarks.server import running
from benchmarks.sizes import Sizes

NEEDS = ()
_MOST_MORE = 60.0  # ms
_BY_HAND = """
import asyncio, json, sys, time
import aiohttp

async def main(api, token):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url = f"{api}/v1/models/bench/burst-5/predictions"
    async with aiohttp.ClientSession() as session:
        body = json.dumps({"input": {"prompt": "x"}}).encode()
        async with session.post(url, data=body, headers=headers) as reply:
            stream = json.loads(await reply.read())["urls"]["stream"]
        async with session.get(stream) as reply:
            while b"event: output" not in await reply.content.readany():
                pass
            print(time.process_time() * 1e3)
            reply.close()

asyncio.run(main(*sys.argv[1:]))
"""
_CLIENT = """
import asyncio, sys, time
from replicate_stream import Client, TextDelta

async def main(api, token):
    async with Client(token, base_url=api) as client:
        async with client.stream("bench/burst-5", "x", include_usage=False) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    print(time.process_time() * 1e3)
                    break

asyncio.run(main(*sys.argv[1:]))
"""


async def rows(sizes: Sizes) -> list[Row]:
    """Aiohttp by hand, `Client.stream`, and their difference."""
    by_hand, ours = "aiohttp by hand", "Client.stream"
    with running() as address, tempfile.TemporaryDirectory() as compiled:
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        env |= {"PYTHONPYCACHEPREFIX": compiled}  # filled by the warm-up round
        contenders = [
            Contender(by_hand, _cpu_to_first_token(_BY_HAND, address.api, env)),
            Contender(ours, _cpu_to_first_token(_CLIENT, address.api, env)),
        ]
        figures = await take_turns(contenders, rounds=sizes.imports)
    # The least of each: whatever else runs on the machine only adds to it.
    floor, own = min(figures[by_hand]), min(figures[ours])
    return [
        Row(by_hand, floor, "ms CPU"),
        Row(ours, own, "ms CPU", own / floor),
        Row(f"  {ours}, more than by hand", own - floor, "ms CPU", most=_MOST_MORE),
    ]


def _cpu_to_first_token(program: str, api: str, env: Mapping[str, str]) -> Measure:
    async def measure() -> float:
        command = (sys.executable, "-c", program, api, TOKEN)
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, env=env
        )
        printed, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError("a program of the cold start failed")
        return float(printed)

    return measure

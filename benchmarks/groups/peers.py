"""Other packages that read Replicate's models, beside this one, each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks import peer
from benchmarks.groups.first_token import DELAY
from benchmarks.readers import TOKEN
from benchmarks.report import Contender, Measure, Row, compare
from benchmarks.server import RATE, Address, running
from benchmarks.sizes import Sizes

NEEDS = ()
PYTHON = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
"""Python of the environment into which `make bench PEERS=1` installs the peers."""
FLOOR = "aiohttp by hand"
OURS = frozenset({FLOOR, "Client.stream", "ChatReplicate", "LlamaIndex Replicate"})
_CPU = "CPU of a token"
_PATIENCE = 3
"""Many streams have this many times as long as they take at the rate they are sent."""


async def rows(sizes: Sizes) -> list[Row | str]:
    """CPU time of a token, time to the first one, and how many of many streams are read whole."""
    names, notes = list(peer.CONTENDERS), []
    if not PYTHON.exists():
        names = [name for name in names if name in OURS]
        notes = ["  the peers are not installed: `make bench PEERS=1` does it"]
    with running() as address:
        command = "cpu", f"burst-{sizes.chunks}"
        failures, bursts = await _compare(_CPU, names, command, address, sizes.rounds)
        crowd = [await _crowd(name, address, sizes) for name in names]
    with running(DELAY) as address:
        command = "first_token", "burst-5"
        _, waits = await _compare("first token", names, command, address, sizes.waits)
    return [*notes, *failures, *bursts, *waits, *crowd]


async def _compare(
    what: str, names: Sequence[str], command: tuple[str, str], address: Address, rounds: int
) -> tuple[list[str], list[Row]]:
    notes: list[str] = []
    contenders: list[Contender] = []
    async with AsyncExitStack() as stack:
        for name in names:
            process = await stack.enter_async_context(_running_peer(name, address))
            try:
                label = f"{what}: {await _start(name, process)}"
            except RuntimeError as error:
                notes.append(f"  {name} did not run: {error}")
                continue
            floor = None if name == FLOOR else contenders[0].name
            contenders.append(Contender(label, _measure(process, *command), floor))
        unit = "us/token" if what == _CPU else "ms"
        rows = await compare(contenders, rounds=rounds, unit=unit)
    return notes, rows


async def _crowd(name: str, address: Address, sizes: Sizes) -> Row | str:
    limit = _PATIENCE * (sizes.crowd / peer.OPENED_PER_SECOND + sizes.seconds)
    model = f"steady-{sizes.seconds * RATE}"
    async with _running_peer(name, address) as process:
        try:
            label = await _start(name, process)
            complete = await _measure(process, "crowd", model, sizes.crowd, limit)()
        except RuntimeError as error:
            return f"  many streams: {name} did not run: {error}"
    return Row(f"{sizes.crowd} streams, complete: {label}", complete, "streams")


@asynccontextmanager
async def _running_peer(name: str, address: Address) -> AsyncIterator[asyncio.subprocess.Process]:
    settings = {"REPLICATE_BASE_URL": f"{address.api}/full", "REPLICATE_API_TOKEN": TOKEN}
    process = await asyncio.create_subprocess_exec(
        sys.executable if name in OURS else PYTHON,
        peer.__file__,
        name,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | settings,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _start(name: str, process: asyncio.subprocess.Process) -> str:
    """Wait until a contender has read its first answer, and return its name and version."""
    release = await _receive(process)
    return name if name in OURS else f"{name} {release}"


def _measure(process: asyncio.subprocess.Process, *command: object) -> Measure:
    async def measure() -> float:
        assert process.stdin is not None
        process.stdin.write(json.dumps(command).encode() + b"\n")
        return float(await _receive(process))

    return measure


async def _receive(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    line = await process.stdout.readline()
    answer = json.loads(line or '{"error": "its process ended"}')
    if isinstance(answer, dict):
        raise RuntimeError(answer["error"])
    return answer

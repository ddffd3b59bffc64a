"""Memory of an open stream, and memory that ended streams leave behind, in separate processes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from benchmarks.report import Row
from benchmarks.server import running
from benchmarks.sizes import Sizes

NEEDS = ()


async def rows(sizes: Sizes) -> list[Row]:
    """Kilobytes of resident memory."""
    with running() as address:
        floor = await _measure("open-by-hand", address.api, sizes.crowd)
        open_ = await _measure("open", address.api, sizes.crowd)
        left = await _measure("in-a-row", address.api, sizes.in_a_row)
    return [
        Row(f"{sizes.crowd} open streams, aiohttp by hand", floor, "KB each"),
        Row(f"{sizes.crowd} open streams, Client.stream", open_, "KB each", most=25),
        # The allocator keeps a page or two; only a steady growth is a leak.
        Row(f"left by {sizes.in_a_row} streams in a row", left, "KB each", most=0.25),
    ]


async def _measure(what: str, api: str, streams: int) -> float:
    command = (sys.executable, "-m", "benchmarks.resident_memory", what, api, str(streams))
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=root, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"measuring {what} failed")
    return float(printed)

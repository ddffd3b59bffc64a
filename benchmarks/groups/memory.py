"""What an open stream weighs, and what streams leave behind; each in a process of its own."""

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
        floor = await _weigh("open-by-hand", address.api, sizes.crowd)
        open_ = await _weigh("open", address.api, sizes.crowd)
        left = await _weigh("in-a-row", address.api, sizes.in_a_row)
    return [
        Row(f"{sizes.crowd} open streams, aiohttp by hand", floor, "KB each"),
        Row(f"{sizes.crowd} open streams, Client.stream", open_, "KB each", most=25),
        # A page or two of the allocator's is no growth.
        Row(f"left by {sizes.in_a_row} streams in a row", left, "KB each", most=0.25),
    ]


async def _weigh(what: str, api: str, streams: int) -> float:
    command = (sys.executable, "-m", "benchmarks.weigh", what, api, str(streams))
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=root, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"weighing {what} failed")
    return float(printed)

"""CPU time of importing each package, on top of the package that it depends on."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
from importlib.util import find_spec

from benchmarks.report import Row
from benchmarks.sizes import Sizes

NEEDS = ()
_PAIRS = (
    ("aiohttp", "replicate_stream", 15.0),
    ("langchain_core.language_models.chat_models", "langchain_replicate_stream", 20.0),
    ("llama_index.core", "llama_index_replicate_stream", 20.0),
)
_CODE = """
import sys
from time import process_time as now
began = now()
import {under}
between = now()
import {ours}
print((between - began) * 1e3, (now() - between) * 1e3, "aiohttp" in sys.modules)
"""


async def rows(sizes: Sizes) -> list[Row]:
    """CPU time that each package adds, and whether it loads aiohttp before the first use."""
    with tempfile.TemporaryDirectory() as compiled:
        return await _rows(sizes, compiled)


async def _rows(sizes: Sizes, compiled: str) -> list[Row]:
    rows = []
    for under, ours, most in _PAIRS:
        if find_spec(under.partition(".")[0]) is None:
            continue  # the group of that framework reports it as not installed
        await _import(under, ours, compiled)  # compiles them, as an installation does
        # Both in the same process: the difference between two processes would be mostly noise.
        figures = [await _import(under, ours, compiled) for _ in range(sizes.imports)]
        alone, more, aiohttp = (statistics.median(each) for each in zip(*figures, strict=True))
        rows.append(Row(f"import {under}", alone, "ms CPU"))
        rows.append(Row(f"  and {ours}", more, "ms CPU", most=most))
        if under != "aiohttp":
            rows.append(Row(f"  {ours} loads aiohttp", aiohttp, "times", most=0))
    bare = await _import("asyncio", "replicate_stream", compiled)
    return [*rows, Row("replicate_stream alone loads aiohttp", bare[-1], "times", most=0)]


async def _import(under: str, ours: str, compiled: str) -> tuple[float, float, bool]:
    """Milliseconds for each of the two imports, and whether aiohttp was loaded."""
    code = _CODE.format(under=under, ours=ours)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        stdout=asyncio.subprocess.PIPE,
        env={**env, "PYTHONPYCACHEPREFIX": compiled},
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"importing {under} and {ours} failed")
    alone, more, aiohttp = printed.split()
    return float(alone), float(more), aiohttp == b"True"

"""CPU of an import, beside that of what it stands on."""

from __future__ import annotations

import asyncio
import statistics
import sys
from importlib.util import find_spec
from resource import RUSAGE_CHILDREN, getrusage

from benchmarks.report import Contender, Measure, Row, take_turns
from benchmarks.sizes import Sizes

NEEDS = ()
_PAIRS = (
    ("aiohttp", "replicate_stream", 15.0),
    ("langchain_core.language_models.chat_models", "langchain_replicate_stream", 20.0),
    ("llama_index.core", "llama_index_replicate_stream", 20.0),
)


async def rows(sizes: Sizes) -> list[Row]:
    """What ours add, and whether they load aiohttp, which is to be loaded at first use."""
    rows = []
    for under, ours, most in _PAIRS:
        if find_spec(under.partition(".")[0]) is None:
            continue  # the groups of the frameworks say that it is not installed
        alone, both = f"import {under}", f"import {under}, {ours}"
        ways = [Contender(code, _cpu_of(code)) for code in (alone, both)]
        figures = await take_turns(ways, rounds=sizes.imports)
        more = [b - a for a, b in zip(figures[alone], figures[both], strict=True)]
        rows.append(Row(alone, statistics.median(figures[alone]), "ms CPU"))
        rows.append(Row(f"  and {ours}", statistics.median(more), "ms CPU", most=most))
        loaded = await _run(f"import sys, {ours}; sys.exit('aiohttp' in sys.modules)")
        rows.append(Row(f"  {ours} loads aiohttp", loaded, "times", most=0))
    return rows


def _cpu_of(code: str) -> Measure:
    async def measure() -> float:
        before = getrusage(RUSAGE_CHILDREN)
        if await _run(code):
            raise RuntimeError(f"{code} failed")
        after = getrusage(RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3

    return measure


async def _run(code: str) -> int:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    return await process.wait()

"""A batch that is killed again and again answers each line once, and a large one needs no memory.

A kill comes after a number of requests to the emulator, which a seed decides: it hits a creation, a
look-up or a stream, before or after its line in the journal.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from replicate_stream.testing import Emulator
from tests.reliability.conftest import IS_FULL, RecordFigure, Size

KILLS = 20
COMMAND = [sys.executable, "-m", "replicate_stream", "batch"]


def start(command: list[str], emulator: Emulator, **settings: Any) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "REPLICATE_API_TOKEN": emulator.token,
        "REPLICATE_BASE_URL": emulator.base_url,
    }
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, **settings)


def answer(values: Mapping[str, Any]) -> str:
    return f"The answer to {str(values['prompt']).split('?')[0].split()[-1]} is whole."


def wait_for_requests(emulator: Emulator, count: int) -> None:
    emulator.wait_for(lambda e: len(e.requests) >= count, timeout=60)


def count_unrecorded(journal: Path) -> int:
    """Count the keys whose last line is one before the creation."""
    if not journal.exists():
        return 0
    lines = [line for line in journal.read_bytes().splitlines(keepends=True) if b"\n" in line]
    newest = {fields["key"]: fields for fields in map(json.loads, lines[1:])}
    return sum("id" not in fields and "result" not in fields for fields in newest.values())


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3) if IS_FULL else range(1))
def test_a_batch_that_is_killed_20_times_answers_each_line_once_and_pays_for_each_once(
    seed: int, replicate_emulator: Emulator, tmp_path: Path, record_figure: RecordFigure
) -> None:
    chance = random.Random(seed)
    replicate_emulator.reply = answer
    replicate_emulator.behaviour.token_delay = 0.005
    keys = [f"line-{number}" for number in range(250)]
    lines = [json.dumps({"key": key, "prompt": f"What is {key}?"}) for key in keys]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    output, journal = tmp_path / "out.jsonl", tmp_path / "out.jsonl.journal"
    command = [*COMMAND, "in.jsonl", "-o", "out.jsonl", "--concurrency", "6"]
    unrecorded = lines_at_kills = 0
    for _ in range(KILLS):
        goal = len(replicate_emulator.requests) + chance.randrange(1, 40)
        process = start(command, replicate_emulator, cwd=tmp_path)
        with process:
            wait_for_requests(replicate_emulator, goal)
            process.kill()
            process.wait()
        unrecorded += count_unrecorded(journal)
        lines_at_kills += output.read_bytes().count(b"\n") if output.exists() else 0
    with start(command, replicate_emulator, cwd=tmp_path) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    results = [json.loads(line) for line in output.read_bytes().splitlines()]
    assert Counter(result["key"] for result in results) == Counter(keys)
    assert {result["text"] for result in results} == {f"The answer to {k} is whole." for k in keys}
    created = len(replicate_emulator.predictions)
    assert created <= len(keys) + unrecorded
    # The kills were in the middle, and hit what they are to hit.
    assert lines_at_kills
    assert unrecorded
    record_figure("batch killed 20 times: creations above the lines", created - len(keys))
    record_figure("batch killed 20 times: creations unrecorded at a kill", unrecorded)


PROGRAM = """
import asyncio, gc, sys, tracemalloc
from replicate_stream import Client

COUNT, WARM_UP, JOURNAL = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

async def main():
    requests = ((number, f"What is {number}? " + "x" * 1000) for number in range(COUNT))
    done = 0
    async with Client() as client:
        async for result in client.batch(sys.argv[4], requests, journal=JOURNAL, concurrency=20):
            assert result.completion is not None, result.error
            done += 1
            if done == WARM_UP:
                gc.collect()
                tracemalloc.start()
            if done == COUNT:
                gc.collect()
                print(tracemalloc.get_traced_memory()[0])

asyncio.run(main())
"""


@pytest.mark.timeout(600)
def test_memory_grows_by_little_more_than_the_keys(
    replicate_emulator: Emulator, tmp_path: Path, size: Size, record_figure: RecordFigure
) -> None:
    warm_up, count = size.choose((200, 1_200), (2_000, 10_000))
    replicate_emulator.reply = "word " * 400
    arguments = [str(count), str(warm_up), str(tmp_path / "journal"), replicate_emulator.model]
    command = [sys.executable, "-c", PROGRAM, *arguments]
    with start(command, replicate_emulator, stdout=subprocess.PIPE) as process:
        printed, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors.decode()
    grown = int(printed) / (count - warm_up)
    # A prompt has 1,000 characters, an answer 2,000, and a record more.
    assert grown < 900
    record_figure("batch: memory for each further request", round(grown), "bytes")

"""`IngestionPipeline`, in this process and in processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from replicate_stream.testing import Emulator

PROGRAM = """
import asyncio
import signal
import sys

from llama_index.core.extractors import SummaryExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode

from llama_index_replicate_stream import Replicate

NODES = [TextNode(text=f"Fact {i}.") for i in range(4)]


async def run_until_signal(run):
    task = asyncio.create_task(run)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, task.cancel)
    await asyncio.wait([task])
    print("cancelled" if task.cancelled() else "not cancelled")


if __name__ == "__main__":
    method, num_workers = sys.argv[1], int(sys.argv[2]) or None
    llm = Replicate(model="meta/meta-llama-3-70b-instruct")
    pipeline = IngestionPipeline(transformations=[SummaryExtractor(llm, show_progress=False)])
    if method == "run":
        nodes = pipeline.run(nodes=NODES, num_workers=num_workers)
    elif method == "arun":
        nodes = asyncio.run(pipeline.arun(nodes=NODES, num_workers=num_workers))
    else:
        nodes = []
        asyncio.run(run_until_signal(pipeline.arun(nodes=NODES, num_workers=num_workers)))
    print(sorted(node.metadata["section_summary"] for node in nodes))
"""


@contextmanager
def start(
    tmp_path: Path, emulator: Emulator, method: str, num_workers: int
) -> Iterator[subprocess.Popen[str]]:
    """Run the program; processes that it starts have to find the token in the environment."""
    path = tmp_path / "ingest.py"
    path.write_text(PROGRAM, encoding="utf-8")
    own = {"REPLICATE_API_TOKEN": emulator.token, "REPLICATE_BASE_URL": emulator.base_url}
    command = [sys.executable, str(path), method, str(num_workers)]
    environment = {**os.environ, **own}
    with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE) as process:
        yield process


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("method", ["run", "arun"])
def test_a_pipeline_asks_for_each_node_once_in_however_many_processes(
    tmp_path: Path, replicate_emulator: Emulator, method: str, num_workers: int
) -> None:
    replicate_emulator.reply = ["Sum", "mary"]
    with start(tmp_path, replicate_emulator, method, num_workers) as process:
        output, _ = process.communicate()
    assert process.returncode == 0
    assert output.split("\n")[0] == str(["Summary"] * 4)
    assert len(replicate_emulator.predictions) == 4
    assert replicate_emulator.cancels == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_cancelled_pipeline_stops_at_once_only_without_processes_of_its_own(
    tmp_path: Path, replicate_emulator: Emulator, num_workers: int
) -> None:
    replicate_emulator.reply = ["word "] * 50
    replicate_emulator.behaviour.token_delay = 0.02
    with start(tmp_path, replicate_emulator, "cancel", num_workers) as process:
        replicate_emulator.wait_for(lambda e: e.streams_open > 0, timeout=60)
        process.send_signal(signal.SIGUSR1)
        output, _ = process.communicate()
    assert output.startswith("cancelled")
    statuses = {each.status for each in replicate_emulator.predictions.values()}
    assert statuses == ({"succeeded"} if num_workers else {"canceled"})

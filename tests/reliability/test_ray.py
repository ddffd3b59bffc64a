"""The recipe for Ray Data in docs/batches.md, with an actor that is killed. Needs `ray[data]`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from replicate_stream.testing import Emulator

pytest.importorskip("ray")
parquet: Any = pytest.importorskip("pyarrow.parquet")
arrow: Any = pytest.importorskip("pyarrow")

PAGE = Path(__file__).parents[2] / "docs" / "batches.md"


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_actor_costs_nothing(replicate_emulator: Emulator, tmp_path: Path) -> None:
    (program,) = re.findall(
        r"```py\n(import asyncio\nimport os\nimport ray\n.*?)```", PAGE.read_text(), re.DOTALL
    )
    (tmp_path / "program.py").write_text(program)
    replicate_emulator.reply = ["word "] * 20
    replicate_emulator.behaviour.token_delay = 0.02
    keys = [f"k{number}" for number in range(200)]
    rows = {"key": keys, "prompt": [f"What is {key}?" for key in keys]}
    parquet.write_table(arrow.table(rows), tmp_path / "questions.parquet")
    environment = {
        **os.environ,
        "REPLICATE_API_TOKEN": replicate_emulator.token,
        "REPLICATE_BASE_URL": replicate_emulator.base_url,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "program.py"], cwd=tmp_path, env=environment, stdout=file, stderr=file
        )
        try:
            replicate_emulator.wait_for(lambda e: len(e.predictions) >= 50, timeout=120)
            actor = next((tmp_path / "journal").iterdir())
            os.kill(int(actor.stem.rpartition("-")[2]), signal.SIGKILL)
            assert process.wait(timeout=120) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
    answers = parquet.read_table(tmp_path / "answers").to_pydict()
    assert Counter(answers["key"]) == Counter(keys)
    assert set(answers["text"]) == {"word " * 20}
    assert len(replicate_emulator.predictions) == len(keys)

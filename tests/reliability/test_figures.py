"""The table that `make reliability` prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MODULE = """
import pytest

@pytest.mark.parametrize("count", [2, 3])
def test_counts(count, size, record_figure):
    record_figure("answers", count, combine="sum")
    record_figure("longest answer", count / 10, "s")
    record_figure("streams", size.choose(10, 10_000))
"""


def test_figures_of_all_workers_stand_in_one_table(tmp_path: Path) -> None:
    conftest = Path(__file__).with_name("conftest.py")
    (tmp_path / "conftest.py").write_text(conftest.read_text())
    (tmp_path / "test_counts.py").write_text(MODULE)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", tmp_path],
        env={**os.environ, "RELIABILITY": "full", "PYTEST_ADDOPTS": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    _, _, table = result.stdout.partition("= figures")
    lines = [line.split() for line in table.splitlines()]
    assert ["answers", "5"] in lines
    assert ["longest", "answer", "0.3", "s"] in lines
    assert ["streams", "10,000"] in lines

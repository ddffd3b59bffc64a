"""Runs as JSON: a run can be recorded, and a later one held against its ratios."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.report import Row

MAX_GROWTH = 1.5
"""A ratio that is larger than the recorded one by this factor is a regression.

Ratios of one code differ by a fifth between runs, and more on a machine that is busy.
"""
MIN_GROWTH = 0.1
"""A ratio that has grown by less is none: the time of a long text may be 0.07 of a short one's."""

Regressions: TypeAlias = "dict[tuple[str, str], str]"
"""Descriptions by group and name of the row."""


def write_run(path: Path, rows: Mapping[str, Sequence[Row]], size: str) -> None:
    """Write a run.

    Args:
        path: The file.
        rows: The rows by group.
        size: The size of the measurements, `full` or `quick`.
    """
    record = {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "size": size,
        "groups": {name: [_to_dict(row) for row in group] for name, group in rows.items()},
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def find_regressions(recorded: Mapping[str, Any], rows: Mapping[str, Sequence[Row]]) -> Regressions:
    """Describe each ratio that has grown by more than `MAX_GROWTH` since a run was recorded."""
    before = {
        (group, row["name"]): row["ratio"]
        for group, recorded_rows in recorded["groups"].items()
        for row in recorded_rows
        if row["ratio"] is not None
    }
    return {
        (group, row.name): f"{group}: {row.name}: {row.ratio:.2f}x, recorded {ratio:.2f}x"
        for group, measured in rows.items()
        for row in measured
        if row.ratio is not None
        and (ratio := before.get((group, row.name))) is not None
        and row.ratio > max(ratio * MAX_GROWTH, ratio + MIN_GROWTH)
    }


def _to_dict(row: Row) -> dict[str, Any]:
    ratio = None if row.ratio is None else round(row.ratio, 2)
    return {"name": row.name, "value": round(row.value, 2), "unit": row.unit, "ratio": ratio}

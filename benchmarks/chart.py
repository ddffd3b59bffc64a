"""The record of the group `peers`, as a chart and as a table.

`python -m benchmarks.chart` writes docs/images/benchmarks.svg, and prints the table of the README.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.groups.peers import FLOOR, OURS

RECORD = Path(__file__).with_name("recorded_peers.json")
CHART = Path(__file__).parents[1] / "docs" / "images" / "benchmarks.svg"
_UNITS = {"us/token": ", µs", "ms": ", ms", "streams": ""}
_LABELS, _PANEL, _LINE, _HEAD = 220, 210, 24, 64  # pixels
_COLOURS = {"floor": "#8c959f", "ours": "#0969da", "peer": "#d4a72c"}


def read_columns(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows of each measure, which has its unit, by contender."""
    columns: dict[str, dict[str, Any]] = {}
    for row in record["groups"]["peers"]:
        measure, _, contender = row["name"].partition(": ")
        columns.setdefault(measure + _UNITS[row["unit"]], {})[contender] = row
    return columns


def describe(record: Mapping[str, Any]) -> str:
    """When, with what and on what the record was made."""
    return (
        f"{record['date']}, Python {record['python']}, aiohttp {record['aiohttp']}, "
        f"{record['machine']}"
    )


def draw(record: Mapping[str, Any]) -> str:
    """Draw the chart as SVG: a panel of bars for each measure, a line for each contender."""
    columns = read_columns(record)
    contenders = list(next(iter(columns.values())))
    width = _LABELS + _PANEL * len(columns)
    height = _HEAD + _LINE * len(contenders) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        "<style>text { font: 12px sans-serif; fill: #1f2328 }</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(8, 20, f"Less is better, except for complete streams. {describe(record)}"),
        *(_text(8, _get_y(i), name) for i, name in enumerate(contenders)),
    ]
    for number, (measure, rows) in enumerate(columns.items()):
        left = _LABELS + _PANEL * number
        most = max(row["value"] for row in rows.values()) or 1
        lines.append(_text(left, 48, measure))
        for i, name in enumerate(contenders):
            if name in rows:
                lines += _draw_bar(left, _get_y(i), name, rows[name], most)
    return "\n".join([*lines, "</svg>", ""])


def _draw_bar(left: int, y: int, name: str, row: Mapping[str, Any], most: float) -> list[str]:
    length = max(1.0, row["value"] / most * (_PANEL - 80))
    colour = _COLOURS["floor" if name == FLOOR else "ours" if name in OURS else "peer"]
    bar = f'<rect x="{left}" y="{y - 12}" width="{length:.1f}" height="16" fill="{colour}"/>'
    return [bar, _text(left + length + 4, y, _format(row))]


def _get_y(line: int) -> int:
    return _HEAD + _LINE * line + 16


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>'


def _format(row: Mapping[str, Any]) -> str:
    is_exact = row["unit"] == "us/token" and row["value"] < 100
    return f"{row['value']:.1f}" if is_exact else f"{row['value']:.0f}"


def write_table(record: Mapping[str, Any]) -> str:
    """Write the record as a table of Markdown."""
    columns = read_columns(record)
    lines = [
        f"| {describe(record)} | {' | '.join(columns)} |",
        f"| --- |{' --- |' * len(columns)}",
    ]
    for name in next(iter(columns.values())):
        cells = [_format(rows[name]) if name in rows else "-" for rows in columns.values()]
        shown = f"**{name}**" if name in OURS - {FLOOR} else name
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Write the chart, and print the table."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    CHART.parent.mkdir(exist_ok=True)
    CHART.write_text(draw(record), encoding="utf-8")
    print(write_table(record), end="")


if __name__ == "__main__":
    main()

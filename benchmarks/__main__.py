"""`python -m benchmarks [--quick] [--peers] [--only NAME] [--json FILE] [--guard FILE]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.groups import (
    answer_parser,
    cold_start,
    crowd,
    first_token,
    imports,
    langchain,
    llama_index,
    memory,
    peers,
    per_token,
    prepare_input,
    reading,
    short_answer,
)
from benchmarks.record import find_regressions, write_run
from benchmarks.report import Row
from benchmarks.sizes import FULL, QUICK, Sizes

GROUPS = {
    "per-token": per_token,
    "short-answer": short_answer,
    "langchain": langchain,
    "llama-index": llama_index,
    "first-token": first_token,
    "crowd": crowd,
    "memory": memory,
    "imports": imports,
    "cold-start": cold_start,
    "prepare-input": prepare_input,
    "answer-parser": answer_parser,
    "reading": reading,
    "peers": peers,
}
OPTIONAL = frozenset({"peers"})
"""Groups that run only if they are asked for."""


def table(names: Sequence[str], sizes: Sizes) -> Iterator[str | Row]:
    """Measure groups one after another, and yield the lines of the table."""
    for name in names:
        group = GROUPS[name]
        yield f"\n{name}: {(group.__doc__ or '').splitlines()[0]}"
        missing = [package for package in group.NEEDS if not _is_installed(package)]
        if missing:
            yield f"  skipped: {missing[0]} is not installed"
        else:
            yield from asyncio.run(group.rows(sizes))


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # its parent package is missing too
        return False


def main() -> None:
    """Print the table. A missed target is marked OVER, and does not fail the run."""
    options = _parse_options()
    names = options.only or [name for name in GROUPS if options.peers or name not in OPTIONAL]
    sizes = QUICK if options.quick else FULL
    print("Ratios are to the floor of the same run; absolute figures vary with the machine.")
    rows = _measure(names, sizes)
    if options.json is not None:
        write_run(options.json, rows, "quick" if options.quick else "full")
    if options.guard is not None:
        recorded = json.loads(options.guard.read_text(encoding="utf-8"))
        if regressions := _find_lasting_regressions(recorded, rows, sizes):
            sys.exit("\n".join(["", "Ratios that have grown:", *regressions]))


def _measure(names: Iterable[str], sizes: Sizes) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for name in names:
        rows[name] = []
        for line in table([name], sizes):
            print(line, flush=True)
            if isinstance(line, Row):
                rows[name].append(line)
    return rows


def _find_lasting_regressions(
    recorded: Mapping[str, Any], rows: Mapping[str, Sequence[Row]], sizes: Sizes
) -> list[str]:
    """Find the ratios that have grown in this run and in a second one of their groups."""
    first = find_regressions(recorded, rows)
    again = _measure(dict.fromkeys(group for group, _ in first), sizes)
    return [text for row, text in find_regressions(recorded, again).items() if row in first]


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the cost of a token, as a ratio to its floor.",
    )
    parser.add_argument("--quick", action="store_true", help="smaller measurements, under a minute")
    parser.add_argument(
        "--peers", action="store_true", help="other packages too: `make bench PEERS=1`"
    )
    parser.add_argument(
        "--only",
        choices=GROUPS,
        action="append",
        metavar="NAME",
        help=f"only this group; may be repeated: {', '.join(GROUPS)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the run to a file")
    parser.add_argument(
        "--guard",
        type=Path,
        metavar="FILE",
        help="fail if a ratio has grown by half since the run in this file",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""`python -m benchmarks [--quick] [--only NAME]`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from benchmarks.groups import (
    answer_parser,
    cold_start,
    crowd,
    first_token,
    imports,
    langchain,
    llama_index,
    memory,
    per_token,
    prepare_input,
    reading,
    short_answer,
)
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
}


def table(names: Sequence[str], sizes: Sizes) -> Iterator[str | Row]:
    """Measure groups one after another, and yield the lines of the table."""
    yield "Ratios are to the floor of the same run; absolute figures vary with the machine."
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
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the cost of a token, as a ratio to its floor.",
    )
    parser.add_argument("--quick", action="store_true", help="smaller measurements, under a minute")
    parser.add_argument(
        "--only",
        choices=GROUPS,
        action="append",
        metavar="NAME",
        help=f"only this group; may be repeated: {', '.join(GROUPS)}",
    )
    options = parser.parse_args()
    for line in table(options.only or list(GROUPS), QUICK if options.quick else FULL):
        print(line, flush=True)


if __name__ == "__main__":
    main()

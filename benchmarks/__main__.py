"""`python -m benchmarks [--quick] [--only NAME]`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from benchmarks.groups import (
    crowd,
    first_token,
    imports,
    langchain,
    llama_index,
    memory,
    per_token,
    preparing,
    reading,
)
from benchmarks.report import Row
from benchmarks.sizes import FULL, QUICK, Sizes

GROUPS = {
    "per-token": per_token,
    "langchain": langchain,
    "llama-index": llama_index,
    "first-token": first_token,
    "crowd": crowd,
    "memory": memory,
    "imports": imports,
    "preparing": preparing,
    "reading": reading,
}


def table(names: Sequence[str], sizes: Sizes) -> Iterator[str | Row]:
    """Measure groups one after another, and give the lines as they are known."""
    yield "Ratios are to the floor of the same run; figures by themselves move with the machine."
    for name in names:
        group = GROUPS[name]
        yield f"\n{name}: {(group.__doc__ or '').splitlines()[0]}"
        missing = [package for package in group.NEEDS if not _is_installed(package)]
        if missing:
            yield f"  left out: {missing[0]} is not installed"
        else:
            yield from asyncio.run(group.rows(sizes))


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even what it is in
        return False


def main() -> None:
    """Print the table. A missed target is marked OVER; it does not fail the run."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What a token costs, beside its floors."
    )
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: under a minute")
    parser.add_argument(
        "--only",
        choices=GROUPS,
        action="append",
        metavar="NAME",
        help=f"only this group; can be given again: {', '.join(GROUPS)}",
    )
    given = parser.parse_args()
    for line in table(given.only or list(GROUPS), QUICK if given.quick else FULL):
        print(line, flush=True)


if __name__ == "__main__":
    main()

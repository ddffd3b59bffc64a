"""`python -m benchmarks [--quick] [--only GROUP]`."""

from __future__ import annotations

import argparse
import asyncio

from benchmarks.rows import GROUPS


def main() -> None:
    """Print the table, a group at a time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: under a minute")
    parser.add_argument("--only", choices=sorted(GROUPS), action="append", help="this group alone")
    given = parser.parse_args()
    print("Ratios are to the floor of the same run; the figures beside them move with the machine.")
    for name in given.only or GROUPS:
        print(f"\n{name}")
        for row in asyncio.run(GROUPS[name](quick=given.quick)):
            print(row, flush=True)


if __name__ == "__main__":
    main()

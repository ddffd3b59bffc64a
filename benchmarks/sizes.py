"""How much is measured: the whole, the quick, and the least that runs all the code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many of everything.

    Attributes:
        rounds: How often everything is measured in turn; the median counts.
        burst: Tokens of a stream that comes at once.
        singles: Tokens of a stream whose tokens come one by one.
        chunks: Tokens of a stream through a framework.
        waits: Rounds where the time to the first token is measured.
        crowd: Streams that are open at once.
        crowd_rounds: How often such a crowd is measured.
        seconds: For how long each of the crowd speaks.
        in_a_row: Streams that are run one after another.
        imports: Rounds of the imports, which take seconds each.
        calls: Calls of `prepare_input`, or models made, for one figure.
    """

    rounds: int
    burst: int
    singles: int
    chunks: int
    waits: int
    crowd: int
    crowd_rounds: int
    seconds: int
    in_a_row: int
    imports: int
    calls: int


FULL = Sizes(
    rounds=7,
    burst=40_000,
    singles=1_500,
    chunks=2_000,
    waits=9,
    crowd=500,
    crowd_rounds=3,
    seconds=4,
    in_a_row=1_000,
    imports=5,
    calls=1_000,
)
QUICK = Sizes(
    rounds=3,
    burst=10_000,
    singles=500,
    chunks=1_000,
    waits=3,
    crowd=100,
    crowd_rounds=1,
    seconds=2,
    in_a_row=200,
    imports=1,
    calls=200,
)
TINY = Sizes(
    rounds=1,
    burst=20,
    singles=5,
    chunks=5,
    waits=1,
    crowd=3,
    crowd_rounds=1,
    seconds=1,
    in_a_row=5,
    imports=1,
    calls=1,
)

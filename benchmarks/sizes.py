"""Sizes of the measurements: full, quick, and tiny (to run all the code once)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of rounds, tokens and streams.

    Attributes:
        rounds: Rounds of a comparison; the median counts.
        burst: Tokens of a stream that is sent at once.
        singles: Tokens of a stream that is sent token by token.
        answers: Short answers per figure.
        chunks: Tokens of a stream through a framework.
        waits: Rounds of the time to the first token.
        crowd: Concurrent streams.
        crowd_rounds: Rounds of concurrent streams.
        seconds: Duration of each concurrent stream.
        in_a_row: Streams that run one after another.
        imports: Rounds of the imports, of some seconds each.
        calls: Calls of `prepare_input`, or models created, per figure.
    """

    rounds: int
    burst: int
    singles: int
    answers: int
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
    answers=100,
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
    answers=40,
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
    answers=1,
    chunks=5,
    waits=1,
    crowd=3,
    crowd_rounds=1,
    seconds=1,
    in_a_row=5,
    imports=1,
    calls=1,
)

"""Rows of the table: figures, ratios to a floor measured in the same run, and targets."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import process_time

Measure = Callable[[], Awaitable[float]]
Read = Callable[[str], Awaitable[int]]
"""Reads the stream of a model to its end and returns the number of its tokens."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        name: The thing measured.
        value: The figure, in `unit`.
        unit: Its unit.
        ratio: Ratio to the floor of the same run; None for a floor.
        most_ratio: Target for the ratio; None for no target.
        most: Target for the figure; None for no target.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    most_ratio: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        line = f"  {self.name:<46}{self.value:>10.2f} {self.unit:<9}{ratio:>8}"
        if self.is_over is None:
            return line
        target = f"{self.most:g} {self.unit}" if self.most_ratio is None else f"{self.most_ratio}x"
        return f"{line}   at most {target:<12} {'OVER' if self.is_over else 'ok'}"

    @property
    def is_over(self) -> bool | None:
        """Whether the target is missed; None without a target."""
        if self.ratio is not None and self.most_ratio is not None:
            return self.ratio > self.most_ratio
        return None if self.most is None else self.value > self.most


@dataclass(frozen=True, slots=True)
class Contender:
    """One candidate of a comparison.

    Attributes:
        name: Name of its row.
        measure: Runs it once and returns the figure.
        floor: Name of the candidate to divide by; None for a floor.
        most_ratio: See `Row`.
        most: See `Row`.
    """

    name: str
    measure: Measure
    floor: str | None = None
    most_ratio: float | None = None
    most: float | None = None


async def take_turns(
    contenders: Sequence[Contender], *, rounds: int, warm_up: bool = True
) -> dict[str, list[float]]:
    """Measure in turn, A B C A B C, after a warm-up round; return all figures by name."""
    figures: dict[str, list[float]] = {each.name: [] for each in contenders}
    for number in range(-1 if warm_up else 0, rounds):
        for each in contenders:
            figure = await each.measure()
            if number >= 0:
                figures[each.name].append(figure)
    return figures


async def compare(contenders: Sequence[Contender], *, rounds: int, unit: str) -> list[Row]:
    """Measure in turn and return medians of the figures, and of the ratios within each round."""
    figures = await take_turns(contenders, rounds=rounds)
    rows = []
    for each in contenders:
        own, ratio = figures[each.name], None
        if each.floor is not None:
            pairs = zip(own, figures[each.floor], strict=True)
            ratio = statistics.median(mine / floor for mine, floor in pairs)
        value = statistics.median(own)
        rows.append(Row(each.name, value, unit, ratio, each.most_ratio, each.most))
    return rows


def cpu_per_token(read: Read, model: str) -> Measure:
    """Microseconds of this process's CPU time, user and system, per token of a stream.

    The cost of the garbage collector counts, but not for older objects: a full collection over a
    framework's objects would fall into every third measurement, always of the same candidate.
    """

    async def measure() -> float:
        gc.collect()
        gc.freeze()
        began = process_time()
        tokens = await read(model)
        # A coarse clock may not move at all during a tiny run, and a floor of 0 has no ratios.
        return max(process_time() - began, 1e-9) / tokens * 1e6

    return measure

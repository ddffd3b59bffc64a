"""Rows of a table: figures, their ratios to a floor that was measured in turn, and the targets."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import process_time

Measure = Callable[[], Awaitable[float]]
Read = Callable[[str], Awaitable[int]]
"""Reads the stream of a model to its end, and gives how many tokens there were."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        name: What was measured.
        value: The figure, in `unit`.
        unit: Its unit.
        ratio: To the floor of the same run; None for a floor.
        most_ratio: The highest ratio that is wanted; None if it is not judged.
        most: The highest figure that is wanted; None if it is not judged.
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
        wanted = f"{self.most:g} {self.unit}" if self.most_ratio is None else f"{self.most_ratio}x"
        return f"{line}   at most {wanted:<12} {'OVER' if self.is_over else 'ok'}"

    @property
    def is_over(self) -> bool | None:
        """Whether the target is missed; None if there is none."""
        if self.ratio is not None and self.most_ratio is not None:
            return self.ratio > self.most_ratio
        return None if self.most is None else self.value > self.most


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the thing that is compared.

    Attributes:
        name: What the row is called.
        measure: Does it once and gives its figure.
        floor: The name of the contender that it is a ratio to; None for a floor.
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
    """Measure in turn, A B C A B C, after a round that does not count; all figures by name."""
    figures: dict[str, list[float]] = {each.name: [] for each in contenders}
    for number in range(-1 if warm_up else 0, rounds):
        for each in contenders:
            figure = await each.measure()
            if number >= 0:
                figures[each.name].append(figure)
    return figures


async def compare(contenders: Sequence[Contender], *, rounds: int, unit: str) -> list[Row]:
    """Measure in turn; medians of the figures, and of the ratios of neighbours in time."""
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
    """Microseconds of this process's CPU, user and system, for each token of a model's stream.

    What the garbage collector costs counts, but not for what was there before: a walk through all
    of a framework's objects falls on every third measurement, and in turns on the same one.
    """

    async def measure() -> float:
        gc.collect()
        gc.freeze()
        began = process_time()
        tokens = await read(model)
        return (process_time() - began) / tokens * 1e6

    return measure

"""Rows of a table: ratios to a floor that was measured in turn with them."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import process_time

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        name: What was measured.
        value: The figure, in `unit`.
        unit: Its unit.
        ratio: To the floor of the same run; None for a floor.
        target: The ratio, or the figure, that it is to stay within; None if there is none.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    target: float | None = None

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:6.2f}x"
        line = f"  {self.name:<46} {self.value:9.2f} {self.unit:<9} {ratio:>7}"
        if self.target is None:
            return line
        reached = self.value if self.ratio is None else self.ratio
        sign = "x" if self.ratio is not None else f" {self.unit}"
        verdict = "ok" if reached <= self.target else "OVER"
        return f"{line}   target {self.target:g}{sign}  {verdict}"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the thing that is compared.

    Attributes:
        name: What the row is called.
        measure: Does it once and gives its figure.
        floor: The name of the contender that it is a ratio to; None for a floor.
        target: See `Row`.
    """

    name: str
    measure: Measure
    floor: str | None = None
    target: float | None = None


async def compare(contenders: Sequence[Contender], *, rounds: int, unit: str) -> list[Row]:
    """Measure in turn, A B C A B C, after a round that does not count; medians, also of ratios."""
    figures: dict[str, list[float]] = {each.name: [] for each in contenders}
    for number in range(rounds + 1):
        for each in contenders:
            figure = await each.measure()
            if number:
                figures[each.name].append(figure)
    rows = []
    for each in contenders:
        own = figures[each.name]
        ratio = None
        if each.floor is not None:
            pairs = zip(own, figures[each.floor], strict=True)
            ratio = statistics.median(mine / floor for mine, floor in pairs)
        rows.append(Row(each.name, statistics.median(own), unit, ratio, each.target))
    return rows


def cpu_per_token(read: Callable[[str], Awaitable[int]], model: str) -> Measure:
    """Microseconds of this process's CPU for each token of a model's stream."""

    async def measure() -> float:
        began = process_time()
        tokens = await read(model)
        return (process_time() - began) / max(tokens, 1) * 1e6

    return measure

"""The size of the proofs in this folder, and the table of their figures.

Helper modules beside this file are imported as `tests.reliability.NAME`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import pytest

T = TypeVar("T")
Combine = Literal["max", "min", "sum"]
RecordFigure = Callable[..., None]

IS_FULL = os.environ.get("RELIABILITY") == "full"
COMBINERS: Mapping[str, Callable[[Iterable[float]], float]] = {"max": max, "min": min, "sum": sum}


@dataclass(frozen=True, slots=True)
class Size:
    """Quick in `make test`, full in `make reliability`."""

    is_full: bool

    def choose(self, quick: T, full: T) -> T:
        """Return the value for this size."""
        return full if self.is_full else quick


@pytest.fixture(scope="session")
def size() -> Size:
    """The size of this run."""
    return Size(IS_FULL)


@pytest.fixture
def record_figure(record_property: Callable[[str, object], None]) -> RecordFigure:
    """Adds a line to the table at the end of the run.

    `record_figure(name, value, unit="", combine="max")`: where several tests record the same name,
    the table has the largest value, the smallest ("min") or the sum ("sum").
    """

    def record(name: str, value: float, unit: str = "", combine: Combine = "max") -> None:
        record_property("figure", {"name": name, "value": value, "unit": unit, "combine": combine})

    return record


def combine_figures(figures: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Name and value of each figure, sorted by name."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for figure in figures:
        key = (figure["name"], figure["unit"], figure["combine"])
        values.setdefault(key, []).append(figure["value"])
    return [
        (name, f"{format_value(COMBINERS[combine](values[name, unit, combine]))} {unit}".rstrip())
        for name, unit, combine in sorted(values)
    ]


def format_value(value: float) -> str:
    """Three digits of a small number, all digits of a whole or a large one."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of all tests, those of xdist's workers included."""
    properties = [
        each
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for each in report.user_properties
    ]
    figures = combine_figures(
        value for name, value in properties if name == "figure" and isinstance(value, dict)
    )
    if not figures:
        return
    terminalreporter.section("figures" if IS_FULL else "figures of the quick size")
    width = max(len(name) for name, _ in figures)
    for name, value in figures:
        terminalreporter.line(f"{name:{width}}  {value}")

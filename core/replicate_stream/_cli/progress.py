"""The progress of a batch on the standard error: a bar if rich is installed, or else a line."""

from __future__ import annotations

import time
from typing import Any, Protocol

import click

from replicate_stream import BatchResult
from replicate_stream._cli.status import StatusLine, is_shown

_INTERVAL_ON_TERMINAL = 0.2
_INTERVAL_IN_LOG = 30.0


class Progress:
    """Counts the results of a batch.

    Attributes:
        done: The number of results.
        failed: The number of errors among them.
        tokens: The tokens of all answers, as far as they are known.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.failed = self.tokens = 0
        self._new = 0
        self._started_at = time.monotonic()

    def add(self, result: BatchResult, *, is_new: bool) -> None:
        """Count a result; one that was written by an earlier run has no part in the rate."""
        self.done += 1
        self._new += is_new
        if result.error is not None:
            self.failed += 1
        elif result.completion is not None and result.completion.usage is not None:
            self.tokens += result.completion.usage.total_tokens

    def format_speed(self) -> str:
        """Format rate, remaining time, tokens and failures."""
        seconds = max(time.monotonic() - self._started_at, 1e-3)
        rate = self._new / seconds
        left = (self.total - self.done) / rate if rate else None
        words = [f"{rate:.1f}/s", f"{_format_time(left)} left", f"{self.tokens:,} tokens"]
        return ", ".join([*words, f"{self.failed} failed"])

    def format_summary(self) -> str:
        """Format the totals, for the end of the batch."""
        seconds = time.monotonic() - self._started_at
        answered = self.done - self.failed
        return (
            f"{answered} of {self.total} answered, {self.failed} failed, {self.tokens:,} tokens, "
            f"{_format_time(seconds)}"
        )


class Display(Protocol):
    """Shows the progress while it changes."""

    def __enter__(self) -> Display: ...
    def __exit__(self, *exc_info: object) -> None: ...
    def show(self, progress: Progress) -> None:
        """Show the progress, unless that was done a moment ago."""

    def print(self, text: str) -> None:
        """Print a line on the standard error, above what shows there."""


class LineDisplay:
    """One line, which is replaced on a terminal, and added to a log now and then."""

    def __init__(self) -> None:
        self._line = StatusLine() if is_shown() else None
        self._shown_at = time.monotonic()

    def __enter__(self) -> LineDisplay:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._line is not None:
            self._line.erase()

    def show(self, progress: Progress) -> None:
        """Show the progress, unless that was done a moment ago."""
        interval = _INTERVAL_IN_LOG if self._line is None else _INTERVAL_ON_TERMINAL
        if time.monotonic() - self._shown_at < interval:
            return
        self._shown_at = time.monotonic()
        text = f"{progress.done}/{progress.total}, {progress.format_speed()}"
        if self._line is None:
            click.echo(text, err=True)
        else:
            self._line.show(text)

    def print(self, text: str) -> None:
        """Print a line on the standard error; the progress shows again later."""
        if self._line is not None:
            self._line.erase()
        click.echo(text, err=True)


class BarDisplay:
    """A bar by rich."""

    def __init__(self, rich_progress: Any, total: int) -> None:
        self._bar = rich_progress
        self._task = rich_progress.add_task("", total=total, speed="")

    def __enter__(self) -> BarDisplay:
        self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show the progress; rich draws it a few times a second."""
        self._bar.update(self._task, completed=progress.done, speed=progress.format_speed())

    def print(self, text: str) -> None:
        """Print a line on the standard error, above the bar: rich sees to that."""
        click.echo(text, err=True)


def make_display(total: int) -> Display:
    """Make the best display that this terminal, and what is installed, allow."""
    if not is_shown():
        return LineDisplay()
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress
    except ImportError:  # it comes with the extra `cli`
        return LineDisplay()
    speed = TextColumn("{task.fields[speed]}")
    columns = (BarColumn(), MofNCompleteColumn(), speed)
    bar = RichProgress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False
    )
    return BarDisplay(bar, total)


def _format_time(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

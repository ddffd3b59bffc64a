"""A line on the terminal that says what is awaited, and of which nothing stays.

Only the standard error is touched, so that the standard output is the same wherever that leads.
"""

from __future__ import annotations

import os
import sys

import click

from replicate_stream._logging import escape_unprintable

_FALLBACK_COLUMNS = 80  # of a terminal that does not know its width


class StatusLine:
    """A line on the standard error that is replaced and erased, for terminals without rich."""

    def __init__(self) -> None:
        self._width = 0

    def show(self, text: str) -> None:
        """Show a text in place of the one before."""
        # A longer one would wrap, and the carriage return leads to the start of its last row only.
        text = escape_unprintable(text)[: _get_columns() - 1]
        click.echo("\r" + text.ljust(self._width), nl=False, err=True)
        self._width = len(text)

    def erase(self) -> None:
        """Erase the line, so that other text can take its place."""
        if self._width:
            click.echo("\r" + " " * self._width + "\r", nl=False, err=True)
            self._width = 0


def is_shown() -> bool:
    """Whether the standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def _get_columns() -> int:
    # Not by `shutil`, which asks the standard output: that may be a file.
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _FALLBACK_COLUMNS
    except (OSError, ValueError):
        return _FALLBACK_COLUMNS

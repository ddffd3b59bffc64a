"""Files of the command line, which are read within a size: a line, or a pipe, may have no end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from replicate_stream._local_files import MAX_BYTES

_LONGEST_NAME = 80  # characters of a file's name in an error


def is_file(path: Path) -> bool:
    """Return True for a file; False also for what is no name of one, such as the data of one."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, in a folder that cannot be read, or with a NUL
        return False


def shorten(text: str) -> str:
    """Return a text that a line can show."""
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"


def read_all(file: IO[bytes], name: str) -> bytes:
    """Read a file to its end.

    Raises:
        click.UsageError: It is larger than `MAX_BYTES`.
    """
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise click.UsageError(f"{name} is larger than {_format_limit()}")
    return data


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file, with their numbers from 1.

    Raises:
        click.UsageError: A line is longer than `MAX_BYTES`.
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_BYTES + 1):
            number += 1
            if len(line) > MAX_BYTES:
                raise click.UsageError(f"{path}: line {number} is longer than {_format_limit()}")
            yield number, line


def _format_limit() -> str:
    return f"{MAX_BYTES / 2**20:g} MiB"

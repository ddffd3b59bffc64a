"""Files of the command line, which are read within a size: a line, or a pipe, may have no end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click

from replicate_stream._api.responses import MAX_INPUT_BYTES
from replicate_stream._local_files import MAX_BYTES

_SCHEMES = ("http://", "https://", "data:")
_LONGEST_NAME = 80  # characters of a file's name in an error


def is_file(path: Path) -> bool:
    """Return True for a file; False also for what is no name of one, such as the data of one."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, in a folder that cannot be read, or with a NUL
        return False


def normalize_url(text: str) -> str | None:
    """Return a URL that a model can be sent, with its scheme in lower case; None for a path."""
    scheme, colon, rest = text.partition(":")
    url = f"{scheme.lower()}{colon}{rest}"
    return url if url.startswith(_SCHEMES) else None


def read_part(kind: str, path_or_url: str) -> dict[str, Any]:
    """Build the part of a message for a file; its type follows from its name or its content.

    A pipe, such as the one of `<(command)`, is read here: it can be read once, and the part may be
    sent again.

    Raises:
        click.UsageError: It is no file and no URL, or a pipe with more than `MAX_BYTES`.
    """
    url = normalize_url(path_or_url)
    if url is not None:
        return {"type": kind, "url": url}
    path = Path(path_or_url)
    if is_file(path):
        return {"type": kind, "path": path}
    if not _is_stream(path):
        raise click.UsageError(f"{shorten(path_or_url)} is no file and no URL")
    with path.open("rb") as file:
        return {"type": kind, "data": read_all(file, shorten(path_or_url), MAX_BYTES)}


def _is_stream(path: Path) -> bool:
    try:
        return path.is_fifo() or path.is_char_device()
    except (OSError, ValueError):  # as for `is_file`
        return False


def shorten(text: str) -> str:
    """Return a text that a line can show."""
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"


def read_all(file: IO[bytes], name: str, limit: int = MAX_INPUT_BYTES) -> bytes:
    """Read a file to its end.

    Raises:
        click.UsageError: It is larger than a number of bytes.
    """
    data = file.read(limit + 1)
    if len(data) > limit:
        raise click.UsageError(f"{name} is larger than {_format_size(limit)}")
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
                raise click.UsageError(
                    f"{path}: line {number} is longer than {_format_size(MAX_BYTES)}"
                )
            yield number, line


def _format_size(count: int) -> str:
    return f"{count / 2**20:g} MiB"

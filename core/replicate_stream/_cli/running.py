"""How a command runs: errors in one line, and Ctrl-C as an end that says what it did."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import click

from replicate_stream._errors import ReplicateError

INTERRUPTED = 130
"""The exit status that shells give to a program that Ctrl-C ended."""


def run(main: Coroutine[Any, Any, None], *, when_interrupted: str) -> None:
    """Run a coroutine as a command.

    Args:
        main: What to do.
        when_interrupted: What to say after Ctrl-C; by then everything is cleaned up.

    Raises:
        click.ClickException: Whatever the library refused, in one line.
    """
    try:
        asyncio.run(main)
    except ReplicateError as error:
        raise click.ClickException(" ".join(str(error).split())) from error
    except KeyboardInterrupt:
        click.echo(f"\n{when_interrupted}", err=True)
        raise SystemExit(INTERRUPTED) from None

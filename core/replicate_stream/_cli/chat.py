"""`replicate-stream chat`: one question, its answer streamed to the terminal."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from replicate_stream import Client, Replicate, StatusChanged, TextDelta
from replicate_stream._types.parameters import PARAMETERS, Parameter


def _to_option(parameter: Parameter) -> click.Option:
    """Convert a parameter of an answer to a command line option."""
    names = [f"--{parameter.name.replace('_', '-')}"]
    if parameter.name == "system_prompt":
        names = ["-s", "--system", parameter.name]
    is_list = parameter.type not in {int, float, str}
    return click.Option(
        names,
        type=str if is_list else parameter.type,
        multiple=is_list,
        help=parameter.description,
    )


# `chat` prints text alone: it has no use for tools, usage, larger pieces and repairs.
_LEFT_OUT = {"extra_input", "include_usage", "coalesce", "max_repairs"}
_OPTIONS = [
    _to_option(each) for each in PARAMETERS if each.is_setting and each.name not in _LEFT_OUT
]


@click.command(params=_OPTIONS)
@click.argument("prompt", required=False)
@click.option("-m", "--model", default=Replicate.default_model, show_default=True)
def chat(prompt: str | None, model: str, **parameters: Any) -> None:
    """Stream the answer to PROMPT, or to the standard input.

    Ctrl-C cancels the prediction, so that it costs nothing more.
    """
    text = prompt if prompt is not None else _read_input()
    if not text.strip():
        raise click.UsageError("there is no prompt: pass one, or write one to the standard input")
    asyncio.run(_stream_answer(model, text, parameters))


def _read_input() -> str:
    """Read UTF-8, whatever the terminal's encoding is; editors of Windows write a BOM before it."""
    if sys.stdin is None:  # closed by the shell: `<&-`
        return ""
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.ClickException(
            f"the standard input is not UTF-8 (byte {error.start}); convert it, e.g. with iconv"
        ) from None


async def _stream_answer(model: str, prompt: str, parameters: dict[str, Any]) -> None:
    async with (
        Client() as client,
        client.stream(model, prompt, **parameters, include_usage=False) as events,
    ):
        async for event in events:
            if isinstance(event, TextDelta):
                # Given its file, Click keeps to the terminal's encoding, also where that is ASCII.
                click.echo(event.text, nl=False, file=sys.stdout)
            # For a person who waits while a model boots; logs have no use for it.
            elif isinstance(event, StatusChanged) and sys.stderr and sys.stderr.isatty():
                click.echo(f"[{event.status}]", err=True)
    click.echo()

"""`replicate-stream chat`: one question, its answer streamed to the terminal."""

from __future__ import annotations

import sys

import click

from replicate_stream._cli.running import run
from replicate_stream._provider import Replicate


@click.command()
@click.argument("prompt", required=False)
@click.option("-m", "--model", default=Replicate.default_model, show_default=True)
@click.option("-s", "--system", metavar="TEXT", help="A system prompt.")
@click.option("--max-tokens", type=int, help="The longest answer, in tokens.")
@click.option("--temperature", type=float, help="Randomness; 0 is the most likely answer.")
def chat(
    prompt: str | None,
    model: str,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
) -> None:
    """Stream the answer to PROMPT, or to the standard input.

    Ctrl-C cancels the prediction, so that it costs nothing more.
    """
    text = prompt if prompt is not None else sys.stdin.read()
    if not text.strip():
        raise click.UsageError("there is no prompt: give one, or write one to the standard input")
    run(
        _answer(model, text, system, max_tokens, temperature),
        when_interrupted="The prediction was canceled.",
    )


async def _answer(
    model: str,
    text: str,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
) -> None:
    from replicate_stream import Client, StatusChanged, TextDelta

    async with (
        Client() as client,
        client.stream(
            model,
            text,
            system_prompt=system,
            max_tokens=max_tokens,
            temperature=temperature,
            include_usage=False,
        ) as events,
    ):
        async for event in events:
            if isinstance(event, TextDelta):
                click.echo(event.text, nl=False)
            elif isinstance(event, StatusChanged) and sys.stderr.isatty():
                click.echo(f"[{event.status}]", err=True)
    click.echo()

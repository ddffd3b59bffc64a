"""`replicate-stream batch`: a file of requests, answered into a file of results."""

from __future__ import annotations

import asyncio
import warnings
from contextlib import AsyncExitStack, aclosing, closing
from functools import partial
from pathlib import Path
from typing import Any

import click

from replicate_stream import Client, Journal
from replicate_stream._cli.answer import parse_inputs
from replicate_stream._cli.batch_files import RequestFile, ResultFile, check_files
from replicate_stream._cli.options import (
    PARAMETER_OPTIONS,
    Text,
    base_url_option,
    check_model,
    choose_model,
    dialect_option,
    model_option,
    parse_assignments,
    read_schema,
)
from replicate_stream._cli.progress import Progress, make_display

SOME_FAILED = 3
"""The exit status if requests have failed."""

_INTERRUPTED = (
    "Interrupted. What was created runs on; the same command takes it up within the hour."
)
_EPILOG = """\b
A line of IN.jsonl:
  {"key": "sky", "prompt": "Why is the sky blue?", "max_tokens": 50}
  {"messages": [{"role": "user", "content": "Hi"}], "model": "owner/name"}
  {"key": 7, "prompt": "What is this?", "images": ["cats/7.jpg"]}

\b
A line of OUT.jsonl:
  {"key": "sky", "text": "…", "finish_reason": "stop", "usage": …, …}
  {"key": 7, "error": {"type": "PredictionFailedError", "message": "…"}}

\b
Exit status:
  0    all requests are answered       3    some have failed; --retry-failed
  1    an error that ended the batch        asks for these again
  2    the command line, or a line     130  Ctrl-C; the same command goes on
       of IN.jsonl, is wrong
"""
_SETTINGS = [each for each in PARAMETER_OPTIONS if each.name != "coalesce"]


@click.command(params=_SETTINGS, epilog=_EPILOG)
@click.argument("requests", metavar="IN.jsonl", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT.jsonl",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file for the results, in the order of their ends.",
)
@model_option
@base_url_option
@dialect_option
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that remembers what was paid.  [default: OUT.jsonl.journal]",
)
@click.option(
    "--concurrency", type=click.IntRange(1), help="The most requests in work.  [default: 100]"
)
@click.option("--retry-failed", is_flag=True, help="Ask again for what has failed before.")
@click.option(
    "--cancel-after",
    type=click.FloatRange(5),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="When the service cancels a prediction, even if nobody is there to do so.",
)
@click.option(
    "--extra-input",
    type=Text(),
    multiple=True,
    metavar="NAME=VALUE",
    callback=parse_assignments,
    help="An input of the model's own, which `replicate-stream models MODEL` lists. Repeatable.",
)
@click.option(
    "--schema",
    "response_format",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=read_schema,
    help="A file with a JSON schema: the answers are JSON that fits it.",
)
def batch(
    requests: Path,
    output: Path,
    model: str | None,
    base_url: str | None,
    dialect: Any,
    journal: Path | None,
    extra_input: dict[str, str],
    **settings: Any,
) -> None:
    """Answer the requests in IN.jsonl, one a line, into OUT.jsonl.

    A line has a prompt or messages, and may have a key (else it is the line's number), a model,
    lists of images and files (paths from the folder of IN.jsonl, or URLs), and any parameter under
    its Python name, such as max_tokens or response_format. These win over the options.

    Each result is written as it ends. After a crash, a kill or Ctrl-C the same command goes on:
    what was answered is not asked again, and what was created is taken up within the hour.
    """
    client = Client(base_url=base_url, dialect=dialect)
    journal = journal or output.with_name(f"{output.name}.journal")
    check_files(requests, output, journal)
    file = RequestFile(requests, partial(check_model, client))
    model = choose_model(client, model)
    try:
        failed = asyncio.run(_run(client, file, output, model, journal, extra_input, settings))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_INTERRUPTED) from None
    if failed:
        raise SystemExit(SOME_FAILED)


async def _run(
    client: Client,
    requests: RequestFile,
    output: Path,
    model: str,
    journal: Path,
    inputs: dict[str, str],
    settings: dict[str, Any],
) -> int:
    """Run the batch; return the number of requests that have failed."""
    progress = Progress(requests.count)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(client)
        if inputs:
            settings["extra_input"] = await parse_inputs(client, model, inputs)
        # Before the output: while another process has the journal, the output is that one's, too.
        opened = await stack.enter_async_context(Journal(journal))
        results = stack.enter_context(closing(ResultFile(output)))
        display = stack.enter_context(make_display(requests.count))
        # The command line restores it.
        warnings.showwarning = lambda message, *_: display.print(f"Warning: {message}")
        batch = client.batch(model, requests, journal=opened, **settings)
        async for result in await stack.enter_async_context(aclosing(batch)):
            is_new = result.key not in results.answered
            if is_new:
                results.add(result)
            elif result.error is not None:  # its line has changed; the old answer stays
                display.print(f"{result.key}: {result.error}")
            progress.add(result, is_new=is_new)
            display.show(progress)
    click.echo(progress.format_summary(), err=True)
    return progress.failed

"""`replicate-stream chat`: one answer, streamed to the terminal, or a conversation."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from replicate_stream import Client, Message
from replicate_stream._cli.answer import AnswerPrinter, print_answer
from replicate_stream._cli.conversation import Conversation, hold_conversation
from replicate_stream._cli.files import read_all, read_part
from replicate_stream._cli.options import (
    PARAMETER_OPTIONS,
    PathOrUrl,
    Text,
    base_url_option,
    choose_model,
    dialect_option,
    model_option,
    parse_assignments,
    read_schema,
)

_EPILOG = """\b
Examples:
  replicate-stream chat "Why is the sky blue?"
  replicate-stream chat "Summarize this text:" < notes.txt
  replicate-stream chat -m google/gemini-2.5-flash --image cat.jpg "What is this?"
  replicate-stream chat --schema city.json "A city on the Seine"
  replicate-stream chat --dialect cog --base-url http://localhost:5000 "Hi"
  replicate-stream chat                        # a conversation

\b
Exit status:
  0    the answer is complete          2    the command line is wrong
  1    an error, in one line           130  Ctrl-C, which cancels the prediction
"""


@click.command(params=[*PARAMETER_OPTIONS], epilog=_EPILOG)
@click.argument("prompt", type=Text(), nargs=-1)
@model_option
@base_url_option
@dialect_option
@click.option(
    "-o",
    "--extra-input",
    "inputs",
    type=Text(),
    multiple=True,
    metavar="NAME=VALUE",
    callback=parse_assignments,
    help="An input of the model's own, which `replicate-stream models MODEL` lists. Repeatable.",
)
@click.option(
    "--image",
    "images",
    type=PathOrUrl(),
    multiple=True,
    metavar="PATH|URL",
    help="An image to send. Repeatable.",
)
@click.option(
    "--file",
    "files",
    type=PathOrUrl(),
    multiple=True,
    metavar="PATH|URL",
    help="Audio, a video or a file to send; a text goes into the prompt. Repeatable.",
)
@click.option(
    "--schema",
    "response_format",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=read_schema,
    help="A file with a JSON schema: the answer is JSON that fits it.",
)
@click.option("--json", "is_json", is_flag=True, help="Print the events as lines of JSON.")
@click.option(
    "--usage",
    "--include-usage",
    "shows_usage",
    is_flag=True,
    help="Print tokens and times on the standard error.",
)
def chat(
    prompt: tuple[str, ...],
    model: str | None,
    base_url: str | None,
    dialect: Any,
    inputs: Mapping[str, str],
    images: tuple[str, ...],
    files: tuple[str, ...],
    is_json: bool,
    shows_usage: bool,
    **parameters: Any,
) -> None:
    """Stream an answer to the terminal, or hold a conversation.

    The question is PROMPT, or the standard input, or both, with PROMPT first. On a terminal without
    PROMPT it is a conversation.

    The answer goes to the standard output; the model's reasoning, warnings and errors go to the
    standard error.
    """
    if len(prompt) > 1:
        raise click.UsageError(
            "the prompt is one argument; put it in quotes: "
            'replicate-stream chat "Why is the sky blue?"'
        )
    parts = (*(read_part("image", i) for i in images), *(read_part("file", f) for f in files))
    client = Client(base_url=base_url, dialect=dialect)
    model = choose_model(client, model)
    make_printer = partial(AnswerPrinter, is_json=is_json, shows_usage=shows_usage)
    if not prompt and _is_terminal(sys.stdin) and _is_terminal(sys.stdout):
        system_prompt = parameters.pop("system_prompt")
        start = Conversation(model, system_prompt, parts=parts)
        hold_conversation(client, start, inputs, parameters, make_printer)
        return
    text = "\n\n".join(each for each in (*prompt, _read_input(bool(prompt))) if each.strip())
    if not text and not parts:
        raise click.UsageError("there is no prompt: pass one, or write one to the standard input")
    content = ({"type": "text", "text": text}, *parts) if parts else text
    question = Message("user", content)
    printer = make_printer()
    try:
        asyncio.run(_stream(client, model, question, printer, inputs, parameters))
    except KeyboardInterrupt:
        if not printer.has_begun:
            raise
        # asyncio.run has left every context by now.
        raise KeyboardInterrupt("The prediction was canceled.") from None


def _is_terminal(stream: Any) -> bool:
    """Whether a standard stream is a terminal; the shell may have closed it: `<&-`."""
    return stream is not None and stream.isatty()


def _read_input(has_prompt: bool) -> str:
    """Read UTF-8, whatever the terminal's encoding is; editors of Windows write a BOM before it."""
    if sys.stdin is None or (has_prompt and _is_terminal(sys.stdin)):
        return ""
    if _is_terminal(sys.stdin):
        click.echo("Type the prompt; Ctrl-D ends it.", err=True)
    try:
        return read_all(sys.stdin.buffer, "the standard input").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.ClickException(
            f"the standard input is not UTF-8 (byte {error.start}); convert it, e.g. with iconv"
        ) from None


async def _stream(
    client: Client,
    model: str,
    question: Message,
    printer: AnswerPrinter,
    inputs: Mapping[str, str],
    parameters: dict[str, Any],
) -> None:
    async with client:
        await print_answer(client, model, [question], printer, inputs, **parameters)

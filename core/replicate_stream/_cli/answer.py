"""One answer on the terminal: its text on the standard output, all else on the standard error."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import click

from replicate_stream import (
    Client,
    Finished,
    Message,
    ModelNotFoundError,
    Prediction,
    ReasoningDelta,
    ReplicateError,
    StatusChanged,
    StreamEvent,
    TextDelta,
    Usage,
)
from replicate_stream._cli.status import StatusLine, is_shown
from replicate_stream._errors import too_deep
from replicate_stream._logging import escape_unprintable
from replicate_stream._model.input_schema import InputField, parse_input_schema

_SHORTEST_SPAN = 0.05  # seconds of an answer for which a rate means something
_SPINNER_RATE = 12.5  # times a second
_STEERING = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class AnswerPrinter:
    """Prints the events of one answer as they arrive.

    Args:
        is_json: Print each event as a line of JSON instead of the answer's text.
        shows_usage: Print token counts and times after the answer.

    Attributes:
        text: The answer so far.
        has_begun: True once a prediction was created.
    """

    def __init__(self, *, is_json: bool = False, shows_usage: bool = False) -> None:
        self.text = ""
        self.has_begun = False
        self._is_json = is_json
        self._shows_usage = shows_usage
        self._in_reasoning = False
        self._has_open_line = False
        self._hide_status: Callable[[], None] = _do_nothing
        self._started_at = time.monotonic()
        self._first_at: float | None = None

    def add(self, event: StreamEvent) -> None:
        """Print an event."""
        self.hide_status()
        if not isinstance(event, StatusChanged):
            self._first_at = self._first_at or time.monotonic()
        if isinstance(event, TextDelta):
            self.text += event.text
        if self._is_json:
            click.echo(format_event(event), file=sys.stdout)
        else:
            self._print(event)
        # Last, and not behind a part of an answer: a status has its line for itself.
        if isinstance(event, StatusChanged) and not (self._in_reasoning or self._has_open_line):
            self._hide_status = show_status(f"The prediction is {event.status} …")

    def hide_status(self) -> None:
        """Erase the status, of which nothing stays on the terminal."""
        self._hide_status()
        self._hide_status = _do_nothing

    def end_line(self) -> None:
        """End the line that an answer has begun, so that an error has one of its own."""
        if self._in_reasoning:
            click.echo(err=True)
        elif self._has_open_line:
            click.echo(file=sys.stdout)
        self._in_reasoning = self._has_open_line = False

    def _print(self, event: StreamEvent) -> None:
        if isinstance(event, ReasoningDelta):
            self._in_reasoning = True
            click.secho(_to_printable(event.text, sys.stderr), nl=False, err=True, dim=True)
        elif self._in_reasoning and not isinstance(event, StatusChanged):
            self._in_reasoning = False
            click.echo("\n", err=True)
        if isinstance(event, TextDelta):
            # Given its file, Click keeps to the terminal's encoding, also where that is ASCII. To
            # anything but a terminal it would write the text without its colours.
            text = _to_printable(event.text, sys.stdout)
            click.echo(text, nl=False, file=sys.stdout, color=True)
            self._has_open_line = not text.endswith("\n")
        elif isinstance(event, Finished):
            click.echo(file=sys.stdout)
            self._has_open_line = False
            if self._shows_usage:
                click.echo(self._format_usage(event.usage), err=True)

    def _format_usage(self, usage: Usage | None) -> str:
        # Even an empty prompt has a token: zeros stand for a model that counts none.
        counted = usage if usage is not None and usage.total_tokens else None
        parts = ["the model reports no token counts"]
        if counted is not None:
            unit = "token" if counted.input_tokens == 1 else "tokens"
            parts = [f"{counted.input_tokens} {unit} in, {counted.output_tokens} out"]
        if self._first_at is not None:
            parts.append(f"first after {self._first_at - self._started_at:.2f} s")
            span = time.monotonic() - self._first_at
            if counted is not None and span >= _SHORTEST_SPAN:
                parts.append(f"{counted.output_tokens / span:.1f} tokens/s")
        return f"[{', '.join(parts)}]"


async def print_answer(
    client: Client,
    model: str,
    messages: Sequence[Message],
    printer: AnswerPrinter,
    inputs: Mapping[str, str],
    **parameters: Any,
) -> None:
    """Stream an answer to a printer.

    Args:
        client: Asks the model.
        model: As for `Client.stream`, like `messages`.
        messages: The conversation.
        printer: Prints the answer.
        inputs: The model's own inputs as text, by name. What is not text is written as JSON.
        **parameters: Further parameters of `Client.stream`.

    Raises:
        ReplicateError: As `Client.stream` does.
    """
    try:
        extra_input = await parse_inputs(client, model, inputs) if inputs else None
        async with client.stream(model, messages, extra_input=extra_input, **parameters) as events:
            printer.has_begun = True
            async for event in events:
                printer.add(event)
    except ReplicateError:
        printer.end_line()
        raise
    finally:
        printer.hide_status()


async def parse_inputs(client: Client, model: str, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Convert inputs of the form of text to the types that the model's schema declares.

    Raises:
        InvalidInputError: The JSON of an input is nested too deeply.
    """
    fields: Mapping[str, InputField] = {}
    with suppress(ModelNotFoundError):  # the creation of the prediction raises it, with its cause
        fields = parse_input_schema(await client.describe(model)).fields
    return {name: _parse_value(name, text, fields.get(name)) for name, text in inputs.items()}


def _parse_value(name: str, text: str, field: InputField | None) -> Any:
    if field is not None and field.kind == "string":  # `1.0` can be the text of a version
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
    except RecursionError:
        raise too_deep(name) from None


def format_event(event: StreamEvent) -> str:
    """Format an event as JSON in one line: its class as `type`, then its fields."""
    if isinstance(event, Finished):
        fields: dict[str, Any] = {
            "reason": event.reason,
            "usage": event.usage and asdict(event.usage),
            "prediction": summarize(event.prediction),
        }
    else:
        fields = asdict(event)
    # All ASCII, so that a terminal's encoding cannot change the text.
    return json.dumps({"type": type(event).__name__, **fields})


def summarize(prediction: Prediction) -> dict[str, Any]:
    """Reduce a prediction to what concerns its user.

    The output was streamed, and of the URLs the stream's is a secret.
    """
    return {
        "id": prediction.id,
        "status": prediction.status,
        "model": prediction.model,
        "metrics": dict(prediction.metrics),
    }


def _to_printable(text: str, stream: Any) -> str:
    """Replace the characters of a model's text that steer a terminal, if the stream is one."""
    is_terminal = stream is not None and stream.isatty()
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text) if is_terminal else text


def show_status(text: str) -> Callable[[], None]:
    """Show a text on the terminal while a person waits; nothing where no terminal is.

    Returns:
        A function that erases it.
    """
    if not is_shown():
        return _do_nothing
    try:
        from rich.console import Console  # the extra `cli`, and slow to import
        from rich.live import Live
        from rich.spinner import Spinner
        from rich.text import Text
    except ImportError:
        line = StatusLine()
        line.show(text)
        return line.erase
    # Not `Console.status`, which puts itself in the place of the standard output.
    spinner = Spinner("dots", Text(escape_unprintable(text)), style="status.spinner")
    live = Live(
        spinner,
        console=Console(stderr=True),
        refresh_per_second=_SPINNER_RATE,
        transient=True,
        redirect_stdout=False,
    )
    live.start()
    return live.stop


def _do_nothing() -> None:
    pass

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
    StatusChanged,
    StreamEvent,
    TextDelta,
    Usage,
)
from replicate_stream._model.input_schema import InputField, parse_input_schema

_SHORTEST_SPAN = 0.05  # seconds of an answer for which a rate means something
_STEERING = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class AnswerPrinter:
    """Prints the events of one answer as they arrive.

    Args:
        is_json: Print each event as a line of JSON instead of the answer's text.
        shows_usage: Print token counts and times after the answer.

    Attributes:
        text: The answer so far.
    """

    def __init__(self, *, is_json: bool = False, shows_usage: bool = False) -> None:
        self.text = ""
        self._is_json = is_json
        self._shows_usage = shows_usage
        self._in_reasoning = False
        self._hide_status: Callable[[], None] = _do_nothing
        self._started_at = time.monotonic()
        self._first_at: float | None = None

    def add(self, event: StreamEvent) -> None:
        """Print an event."""
        if isinstance(event, StatusChanged):
            self.hide_status()
            self._hide_status = show_status(f"The prediction is {event.status} …")
        else:
            self.hide_status()
            self._first_at = self._first_at or time.monotonic()
        if isinstance(event, TextDelta):
            self.text += event.text
        if self._is_json:
            click.echo(format_event(event), file=sys.stdout)
        else:
            self._print(event)

    def hide_status(self) -> None:
        """Erase the status, of which nothing stays on the terminal."""
        self._hide_status()
        self._hide_status = _do_nothing

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
        elif isinstance(event, Finished):
            click.echo(file=sys.stdout)
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
            async for event in events:
                printer.add(event)
    finally:
        printer.hide_status()


async def parse_inputs(client: Client, model: str, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Convert inputs of the form of text to the types that the model's schema declares."""
    fields: Mapping[str, InputField] = {}
    with suppress(ModelNotFoundError):  # the creation of the prediction raises it, with its cause
        fields = parse_input_schema(await client.describe(model)).fields
    return {name: _parse_value(text, fields.get(name)) for name, text in inputs.items()}


def _parse_value(text: str, field: InputField | None) -> Any:
    if field is not None and field.kind == "string":  # `1.0` can be the text of a version
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


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
    if not (sys.stderr and sys.stderr.isatty()):
        return _do_nothing
    try:
        from rich.console import Console  # the extra `cli`, and slow to import
    except ImportError:
        click.echo(f"\r{text}", nl=False, err=True)
        return lambda: click.echo(f"\r{' ' * len(text)}\r", nl=False, err=True)
    status = Console(stderr=True).status(text)
    status.start()
    return status.stop


def _do_nothing() -> None:
    pass

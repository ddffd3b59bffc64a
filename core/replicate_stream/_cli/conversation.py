"""A conversation on the terminal: what `chat` does without a prompt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import click

from replicate_stream import Client, Message, ReplicateError
from replicate_stream._cli.answer import AnswerPrinter, print_answer
from replicate_stream._cli.options import check_model

_QUOTES = '"""'
_HELP = """\
/system [TEXT]   set the system prompt; without TEXT there is none
/model [NAME]    use another model; without NAME print the present one
/clear           forget the conversation, but not the system prompt
/help            print this
/exit            end the conversation, as Ctrl-D does
\"\"\"              begin and end a message of several lines
Ctrl-C           cancel the answer, and keep the conversation"""

_WITHOUT_TEXT = ("/clear", "/help", "/exit")


@dataclass(frozen=True, slots=True)
class Conversation:
    """The state of a conversation between two questions.

    Attributes:
        model: As for `Client.stream`.
        system_prompt: The system text; None for none.
        messages: The questions and answers so far.
        parts: Parts to send with the next question, such as images.
    """

    model: str
    system_prompt: str | None = None
    messages: tuple[Message, ...] = ()
    parts: tuple[dict[str, Any], ...] = field(default=(), repr=False)


def hold_conversation(
    client: Client,
    conversation: Conversation,
    inputs: Mapping[str, str],
    parameters: Mapping[str, Any],
    make_printer: Callable[[], AnswerPrinter],
) -> None:
    """Read questions from the terminal and print their answers, until Ctrl-D.

    Args:
        client: Asks the models.
        conversation: Its start.
        inputs: The models' own inputs, as for `print_answer`.
        parameters: Parameters of all answers, as for `Client.stream`.
        make_printer: Makes the printer of an answer.
    """
    with contextlib.suppress(ImportError):  # Windows
        import readline  # noqa: F401 - it gives `input` editing and a history
    click.echo(f"A conversation with {conversation.model}. /help lists the commands.", err=True)
    while True:
        try:
            text, is_quoted = read_message()
        except EOFError:
            click.echo(err=True)
            return
        except KeyboardInterrupt:
            click.echo("\nCtrl-D ends the conversation.", err=True)
            continue
        except UnicodeDecodeError:
            click.echo("Error: the line is not in the terminal's encoding", err=True)
            continue
        is_command = text.startswith("/") and not is_quoted
        if is_command and text.strip() == "/exit":
            return
        if is_command:
            conversation = _run_command(client, text, conversation)
        elif text.strip():
            conversation = _ask(client, text, conversation, make_printer(), inputs, parameters)


def read_message() -> tuple[str, bool]:
    """Read a message: one line, or several lines within triple quotes.

    Returns:
        The text, and whether it was quoted.

    Raises:
        EOFError: The input has ended.
    """
    line = input("> ")
    if not line.lstrip().startswith(_QUOTES):
        return line, False
    lines = [line.lstrip().removeprefix(_QUOTES)]
    while not lines[-1].rstrip().endswith(_QUOTES):
        lines.append(input(". "))
    lines[-1] = lines[-1].rstrip().removesuffix(_QUOTES)
    return "\n".join(lines).strip("\n"), True


def _run_command(client: Client, text: str, conversation: Conversation) -> Conversation:
    command, _, argument = text.strip().partition(" ")
    argument = argument.strip()
    if argument and command in _WITHOUT_TEXT:
        click.echo(f"{command} takes no text; begin a message with a space to send it", err=True)
        return conversation
    if command == "/system":
        return replace(conversation, system_prompt=argument or None)
    if command == "/clear":
        return replace(conversation, messages=())
    if command == "/model" and argument:
        try:
            check_model(client, argument)
        except ReplicateError as error:
            click.echo(f"Error: {error}", err=True)
            return conversation
        return replace(conversation, model=argument)
    if command == "/model":
        click.echo(conversation.model, err=True)
    elif command == "/help":
        click.echo(_HELP, err=True)
    else:
        click.echo(f"{command} is not a command; begin a message with a space to send it", err=True)
        click.echo(_HELP, err=True)
    return conversation


def _ask(
    client: Client,
    text: str,
    conversation: Conversation,
    printer: AnswerPrinter,
    inputs: Mapping[str, str],
    parameters: Mapping[str, Any],
) -> Conversation:
    """Print the answer to a question; return the conversation with both, if there was one."""
    parts = ({"type": "text", "text": text}, *conversation.parts)
    question = Message("user", parts if conversation.parts else text)
    messages = (*conversation.messages, question)
    values = {**parameters, "system_prompt": conversation.system_prompt}
    try:
        asyncio.run(_stream(client, conversation.model, messages, printer, inputs, values))
    except KeyboardInterrupt:
        # asyncio.run has left every context by now, so the prediction is canceled.
        click.echo("\nThe answer was canceled.", err=True)
    except ReplicateError as error:
        click.echo(f"Error: {' '.join(str(error).split())}", err=True)
    if not printer.text:
        return conversation
    return replace(conversation, messages=(*messages, Message("assistant", printer.text)), parts=())


async def _stream(
    client: Client,
    model: str,
    messages: Sequence[Message],
    printer: AnswerPrinter,
    inputs: Mapping[str, str],
    parameters: dict[str, Any],
) -> None:
    # A loop for each question, so that Ctrl-C ends that and nothing else; it closes what it opened.
    async with client:
        await print_answer(client, model, messages, printer, inputs, **parameters)

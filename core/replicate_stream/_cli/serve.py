"""`replicate-stream serve`: the emulator in the foreground, for programs that are tried out."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from replicate_stream.testing import Emulator, Reply

MODELS = ("meta/meta-llama-3-8b-instruct",)
"""Models that the README names, besides the one that every emulator has."""
_VISION_MODEL = "google/gemini-2.5-flash"  # that of an example in the help of `chat`
_VISION_INPUT = {
    "prompt": {"type": "string"},
    "images": {"type": "array", "items": {"type": "string", "format": "uri"}},
    "system_instruction": {"type": "string"},
}
EMBEDDING_MODEL = "beautyyuyanli/multilingual-e5-large"
"""The embedding model that the README names."""
_LARGEST_PORT = 65535


@click.command()
@click.option("--local-model", is_flag=True, help="Answer with a real small model, not a script.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port",
    type=click.IntRange(0, _LARGEST_PORT),
    default=0,
    help="0 lets the system choose one.",
    show_default=True,
)
@click.option(
    "--token-delay",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="The pause before each token of an answer.  [default: 0]",
)
def serve(local_model: bool, host: str, port: int, token_delay: float) -> None:
    """Run an emulator of Replicate's API on this machine until Ctrl-C.

    Each request is a line on the standard error. Where tools or a schema are asked for, a script
    calls each tool once, then answers, and makes JSON from the schema.
    """
    # Imported here: no other command needs the emulator.
    from replicate_stream.testing import Emulator
    from replicate_stream.testing.local_model import DESCRIPTION, MODEL
    from replicate_stream.testing.server.replies import build_default_text

    emulator = Emulator(host=host, port=port, one_port=True, token_delay=token_delay)
    for name in MODELS:
        emulator.add_model(name, official=True)
    emulator.add_model(_VISION_MODEL, {"properties": _VISION_INPUT}, official=True)
    with _print_requests():
        try:
            answer: Callable[[dict[str, Any]], Any] = build_default_text
            if local_model:
                answer = add_local_model(emulator)
            vectors = add_embedding_models(emulator)
        except (ImportError, OSError, ValueError) as error:
            raise click.ClickException(str(error)) from error
        emulator.reply = _call_tools_or(answer)
        try:
            emulator.start()
        except (OSError, ValueError) as error:  # a ValueError of a name that DNS cannot hold
            problem = getattr(error, "strerror", None) or error
            raise click.ClickException(f"cannot listen on {host}:{port}: {problem}") from error
        caught = _catch_signals()
        try:
            backend = f"{DESCRIPTION}, as {MODEL}" if local_model else "a script, not a model"
            click.echo(
                "An emulator of Replicate's API runs here. "
                f"Its answers come from {backend}.\n"
                f"Its embeddings, {EMBEDDING_MODEL}, come from {vectors}.\n\n"
                f"  export REPLICATE_BASE_URL={emulator.base_url}\n"
                f"  export REPLICATE_API_TOKEN={emulator.token}\n\n"
                "Ctrl-C ends it."
            )
            _wait_for_signal(caught)
        finally:
            emulator.stop()


def add_local_model(emulator: Emulator) -> Callable[[Mapping[str, Any]], Reply]:
    """Let a local model answer in an emulator, which has it as a further model.

    Returns:
        The model, as a function from an input to a reply.

    Raises:
        ImportError: The engine or the weights are missing; the message has the command that
            installs them.
    """
    # Imported here: the packages of the local model are optional.
    from replicate_stream.testing.local_model import INPUT_SCHEMA, MODEL, LocalModel

    emulator.reply = local_model = LocalModel()
    emulator.add_model(MODEL, INPUT_SCHEMA, official=True)
    return local_model


def add_embedding_models(emulator: Emulator) -> str:
    """Add the embedding model that the README names, with a real one behind it if that is there.

    Returns:
        The source of the vectors, in words.
    """
    # Imported here: no other command needs them.
    from replicate_stream.testing import hashing_embedder, local_embedder

    if not local_embedder.is_installed():
        emulator.add_embedding_model(EMBEDDING_MODEL)
        description, model = hashing_embedder.DESCRIPTION, hashing_embedder.MODEL
        return f"{description}, as {model} (a small real model: {local_embedder.INSTALL})"
    embedder = local_embedder.LocalEmbedder()
    emulator.add_embedding_model(EMBEDDING_MODEL, embedder=embedder)
    emulator.add_embedding_model(local_embedder.MODEL, official=True, embedder=embedder)
    return f"{local_embedder.DESCRIPTION}, as {local_embedder.MODEL}"


def _call_tools_or(answer: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """Let the scripted model answer where tools or a schema are asked for, `answer` elsewhere."""
    from replicate_stream.testing import ToolUser

    tool_user = ToolUser()

    def reply(input_: dict[str, Any]) -> Any:
        return tool_user(input_) if tool_user.is_asked(input_) else answer(input_)

    return reply


@contextmanager
def _print_requests() -> Iterator[None]:
    """Print the emulator's log, a line for each request."""
    log = logging.getLogger("replicate_stream.testing")
    handler = logging.StreamHandler()  # to the standard error
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


def _catch_signals() -> SimpleQueue[int]:
    """Return a queue that gets Ctrl-C and SIGTERM from now on.

    Of all that can be waited for, it alone may be used in a handler, which interrupts the thread
    that waits: an event's lock might be held by that.
    """
    caught: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda each, _: caught.put(each))
    return caught


def _wait_for_signal(caught: SimpleQueue[int]) -> None:
    while True:
        # On Windows a signal does not interrupt the wait: its handler runs after the timeout.
        with suppress(Empty):
            caught.get(timeout=1.0)
            return

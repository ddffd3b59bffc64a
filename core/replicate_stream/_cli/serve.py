"""`replicate-stream serve`: the emulator in the foreground, for programs that are tried out."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from replicate_stream.testing import Emulator


@click.command()
@click.option("--local-model", is_flag=True, help="Answer with a real small model, not a script.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0 lets the system choose one.", show_default=True)
def serve(local_model: bool, host: str, port: int) -> None:
    """Run an emulator of Replicate's API on this machine until Ctrl-C."""
    # Imported here: no other command needs the emulator.
    from replicate_stream.testing import Emulator
    from replicate_stream.testing.local_model import DESCRIPTION, MODEL

    emulator = Emulator(host=host, port=port, one_port=True)
    try:
        if local_model:
            add_local_model(emulator)
        emulator.start()
    except (ImportError, OSError) as error:
        raise click.ClickException(str(error)) from error
    try:
        backend = f"{DESCRIPTION}, as {MODEL}" if local_model else "a script, not a model"
        click.echo(
            f"An emulator of Replicate's API runs here. Its answers come from {backend}.\n\n"
            f"  export REPLICATE_BASE_URL={emulator.base_url}\n"
            f"  export REPLICATE_API_TOKEN={emulator.token}\n\n"
            "Ctrl-C ends it."
        )
        _wait_for_signal()
    finally:
        emulator.stop()


def add_local_model(emulator: Emulator) -> None:
    """Let a local model answer in an emulator, which has it as a further model.

    Raises:
        ImportError: The engine or the weights are missing; the message has the command that
            installs them.
    """
    # Imported here: the packages of the local model are optional.
    from replicate_stream.testing.local_model import INPUT_SCHEMA, MODEL, LocalModel

    emulator.reply = LocalModel()
    emulator.add_model(MODEL, INPUT_SCHEMA, official=True)


def _wait_for_signal() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    is_ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: is_ended.set())
    # On Windows a signal does not interrupt the wait: its handler runs after the timeout.
    while not is_ended.wait(timeout=1.0):
        pass

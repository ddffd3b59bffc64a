"""`replicate-stream serve`: the emulator in the foreground, for programs to be tried against."""

from __future__ import annotations

import signal
import threading

import click


@click.command()
@click.option("--local-model", is_flag=True, help="Answer with a real small model, not by script.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: one that the system chooses.", show_default=True)
def serve(local_model: bool, host: str, port: int) -> None:
    """Run an emulator of Replicate's API on this machine until Ctrl-C."""
    from replicate_stream._cli.local import emulator_with_local_model
    from replicate_stream.testing import Emulator

    try:
        emulator = (
            emulator_with_local_model(host=host, port=port, one_port=True)
            if local_model
            else Emulator(host=host, port=port, one_port=True)
        )
        emulator.start()
    except (ImportError, OSError) as error:
        raise click.ClickException(str(error)) from error
    try:
        click.echo(_greeting(emulator.base_url, emulator.token, local_model=local_model))
        _until_told()
    finally:
        emulator.stop()


def _until_told() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    while not told.wait(3600):
        pass


def _greeting(base_url: str, token: str, *, local_model: bool) -> str:
    from replicate_stream.testing import local_model as local

    who = f"{local.DESCRIPTION}, as {local.MODEL}" if local_model else "a script: no model thinks"
    return (
        f"An emulator of Replicate's API runs here. It is answered by {who}.\n\n"
        f"  export REPLICATE_BASE_URL={base_url}\n"
        f"  export REPLICATE_API_TOKEN={token}\n\n"
        "Ctrl-C ends it."
    )

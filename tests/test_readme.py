"""The code of the README and of docs/ runs, against the emulator."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from replicate_stream._cli.serve import EMBEDDING_MODEL
from replicate_stream.testing import Emulator, ToolUser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [README, *(page.read_text() for page in sorted((ROOT / "docs").rglob("*.md")))]
BLOCKS = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)]
TESTS = [block for block in BLOCKS if "def test_" in block]
PROGRAMS = [block for block in BLOCKS if block not in TESTS]
# What a program prints, by what is in it; all others print the answer.
PRINTED = {
    "prepare(": "'max_tokens': 100",
    "def weather": "weather {'city': 'Paris'}",
    "class City": "name='",
    "validator=check": "name =",
    "ToolSpec": "add {'a': 2, 'b': 3}",
    "client.embed(": "2 vectors of 256 numbers",
    "HashingEmbedder": "http://127.0.0.1:",
}
ANSWER = "Because of the air"
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("weather", {"city": "Paris"}),
    ("add", {"a": 2, "b": 3}),
]


def answer(values: dict[str, Any]) -> Any:
    """Call the tool of the program, or make JSON from its schema; else give the answer."""
    text = str(values)
    calls = [call for call in CALLS if call[0] in text]
    return ToolUser(calls=calls or None)(values) if '"properties"' in text else ANSWER


def test_every_block_of_code_is_run_here() -> None:
    assert len(PROGRAMS) >= 8
    assert len(TESTS) >= 2


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_of_the_documentation_prints_what_it_is_to_print(
    program: str, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    replicate_emulator.reply = answer
    replicate_emulator.add_embedding_model(EMBEDDING_MODEL)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    expected = next((printed for mark, printed in PRINTED.items() if mark in program), ANSWER)
    assert expected in done.stdout


@pytest.mark.parametrize("code", TESTS)
def test_a_test_of_the_documentation_passes(code: str, tmp_path: Path) -> None:
    file = tmp_path / "test_users.py"
    file.write_text(code)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_the_two_commands_of_a_newcomer_are_in_the_readme_and_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)

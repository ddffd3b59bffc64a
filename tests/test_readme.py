"""The README's code runs, against the emulator."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from replicate_stream.testing import Emulator

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PROGRAMS = [block for block in BLOCKS if "asyncio.run(main())" in block]
TESTS = [block for block in BLOCKS if "def test_" in block]


def test_every_block_of_code_is_run_here() -> None:
    assert len(PROGRAMS) + len(TESTS) == len(BLOCKS)
    assert len(PROGRAMS) == 4
    assert len(TESTS) == 1


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda text: text.split("import ")[2].split()[0])
def test_a_program_of_the_readme_prints_the_answer(
    program: str, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["Because", " of", " the", " air"]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    expected = "'max_tokens': 100" if "prepare(" in program else "Because of the air"
    assert expected in done.stdout


@pytest.mark.parametrize("code", TESTS)
def test_a_test_of_the_readme_passes(code: str, tmp_path: Path) -> None:
    file = tmp_path / "test_users.py"
    file.write_text(code)
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

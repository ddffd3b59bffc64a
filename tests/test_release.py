"""A release is what its tag, the version and the changelog agree on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from replicate_stream import __version__

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci" / "release_notes.py"
CHANGELOG = """\
# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-27

- New.

## [1.1.0]

- Old.
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of version 1.2.0 with what the script reads."""
    package = tmp_path / "core" / "replicate_stream"
    package.mkdir(parents=True)
    (package / "_version.py").write_text('__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / SCRIPT.name).write_text(SCRIPT.read_text())
    return tmp_path


def run(tree: Path, tag: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tree / ".ci" / SCRIPT.name), tag]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_notes_of_a_release_are_its_section_of_the_changelog(tree: Path) -> None:
    done = run(tree, "v1.2.0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "- New.\n", "")


@pytest.mark.parametrize("tag", ["v1.1.0", "1.2.0", "v1.2.0rc1"])
def test_a_tag_that_is_not_the_version_is_not_released(tree: Path, tag: str) -> None:
    done = run(tree, tag)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the tag is {tag}, but core/replicate_stream/_version.py has 1.2.0" in done.stderr


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("## [Unreleased]\n", "## [Unreleased]\n\n- Forgotten.\n", "move them to [1.2.0]"),
        ("[1.2.0] - 2026-11-27", "[1.2.1] - 2026-11-27", "no changes under [1.2.0]"),
        ("- New.\n", "", "no changes under [1.2.0]"),
    ],
)
def test_a_changelog_that_does_not_have_the_release_stops_it(
    tree: Path, before: str, after: str, message: str
) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace(before, after))
    done = run(tree, "v1.2.0")
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


def test_the_version_is_the_newest_release_of_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert sections[:2] == ["Unreleased", __version__]

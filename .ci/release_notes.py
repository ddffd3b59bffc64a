"""Print the changelog's section of a release; fail if its tag is not the version of the tree.

usage: python .ci/release_notes.py v1.2.3
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def find_notes(tag: str, version: str, changelog: str) -> str:
    """Return the text of a release's section.

    Args:
        tag: The tag of the release.
        version: The version of the tree.
        changelog: The whole changelog.

    Raises:
        ValueError: The tag is not `v` and the version, the version has no section or an empty one,
            or there are changes above it that are not released.
    """
    if tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, but core/replicate_stream/_version.py has {version}")
    # The text before the first section, then names and texts in turn.
    _, *parts = re.split(r"^## \[(.+?)\].*\n", changelog, flags=re.MULTILINE)
    sections = dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))
    if sections.get("Unreleased"):
        raise ValueError(f"CHANGELOG.md has changes under [Unreleased]: move them to [{version}]")
    if not sections.get(version):
        raise ValueError(f"CHANGELOG.md has no changes under [{version}]")
    return sections[version]


def main() -> None:
    """Run the command."""
    (tag,) = sys.argv[1:]
    found = re.search(
        r'^__version__ = "(.+)"$',
        (ROOT / "core" / "replicate_stream" / "_version.py").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    try:
        print(find_notes(tag, found[1] if found else "", changelog))
    except ValueError as error:
        sys.exit(f"Not released: {error}")


if __name__ == "__main__":
    main()

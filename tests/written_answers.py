"""Answers as models write them, with faults and quotations, and how each must be read.

`written_answers.json` has one a line: its name, the model, the answer, and what is expected of it:
the calls; `text` if all of it is text; `invalid` if it has calls of which none may be executed; or
the text that is left of it, in an object.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_FILE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Answer:
    """One row of the file."""

    name: str
    model: str
    answer: str
    expect: Literal["text", "invalid"] | dict[str, str] | list[dict[str, Any]]

    def check(self, text: str, valid: Sequence[Any], invalid: int) -> None:
        """Compare what was read with what is expected.

        Args:
            text: The text.
            valid: The calls that can be executed, each with the keys `name` and `args`.
            invalid: The number of other calls.
        """
        if self.expect == "text":
            assert (text, list(valid), invalid) == (self.answer, [], 0)
        elif self.expect == "invalid":
            assert list(valid) == []
            assert invalid
        elif isinstance(self.expect, dict):
            assert (text, list(valid), invalid) == (self.expect["text"], [], 0)
        else:
            assert (list(valid), invalid) == (self.expect, 0)
            assert not any(mark in text for mark in ("tool_call", "TOOL_CALL", "<|", "\uff5c"))


ANSWERS = [Answer(**row) for row in json.loads(_FILE.read_text(encoding="utf-8"))]

# What the answers call. Frameworks read the signatures, so that annotations are no texts here.


def get_weather(city: str, days: int = 1, units: Literal["metric", "imperial"] = "metric") -> str:
    """Get the weather of a city."""
    return f"It is sunny in {city} for {days} days ({units})."


def delete_file(path: str) -> str:
    """Delete a file."""
    raise AssertionError(path)


def write_file(path: str, content: str) -> str:
    """Write a file."""
    raise AssertionError(path, content)


def now() -> str:
    """Get the time."""
    return "Noon."


def search(
    query: str,
    filters: dict[str, Any] | None = None,
    tags: list[str] | None = None,
    limit: int | None = None,
    exact: bool = False,
) -> str:
    """Search for something."""
    return f"Nothing for {query} ({filters}, {tags}, {limit}, {exact})."


TOOLS = (get_weather, delete_file, write_file, now, search)

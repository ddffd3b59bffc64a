"""Find the marks that open a turn in the text of an answer.

A model whose answer goes on behind its end plays the user, or the tool that it has called. Nothing
that it writes there is its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from replicate_stream._model.families import FamilyTables
from replicate_stream._model.families.tool_format import ToolFormat
from replicate_stream._model.families.turn import SPECIAL_TOKENS

Turn: TypeAlias = Literal["own", "other", "label"]
"""Whose turn a token opens: the model's own, or another's; or a label."""

_TOKEN = re.compile(SPECIAL_TOKENS)
_CUT_OFF = r"<[|\uff5c][^<>|\uff5c\s]*\Z"
_BEGIN = re.compile(f"(?:{SPECIAL_TOKENS})*")


@dataclass(frozen=True, slots=True)
class TurnMarks:
    """The marks that open turns.

    Attributes:
        tokens: The special tokens that open a turn, in the answers of every model.
        labels: The words that open a turn, in the templates in which the model's own format is
            used.
        own: The marks that open a turn of the model: a token, and its name behind that.
        begins: The tokens that begin a prompt.
        pattern: Matches a token, also one that was cut off at the end, or a label at the beginning
            of a line.
    """

    tokens: frozenset[str]
    labels: frozenset[str]
    own: frozenset[str]
    begins: frozenset[str]
    pattern: re.Pattern[str]

    def find_turn(
        self, mark: str, text: str, at: int, *, is_final: bool
    ) -> tuple[Turn | Literal["partial"], int]:
        """Find whose turn a mark opens at a position of the text, and where the opening ends."""
        if mark in self.labels:
            return "label", at + len(mark)
        size = max((len(own) for own in self.own if text.startswith(own, at)), default=0)
        if size:
            return "own", at + size
        may_grow = not is_final and any(own.startswith(text[at:]) for own in self.own)
        return "partial" if may_grow else "other", at + len(mark)


def find_turn_marks(tables: FamilyTables, own_formats: Iterable[type[ToolFormat]]) -> TurnMarks:
    """Find the marks of turns in the chat templates of all families.

    Args:
        tables: The families.
        own_formats: The tool formats that the model was offered or trained on.
    """
    formats = set(own_formats)
    openings = {
        (_strip(marks), each.tool_format in formats)
        for each in tables.templates
        for marks in (each.user, each.assistant, each.tool, each.system)
    }
    found = [_TOKEN.match(mark) for mark, _ in openings]
    tokens = frozenset(each[0] for each in found if each is not None)
    begins = {
        token
        for each in tables.templates
        for begin in [_BEGIN.match(each.start)]
        if begin is not None
        for token in _TOKEN.findall(begin[0])
    }
    labels = frozenset(m for m, is_known in openings if m and is_known and not _TOKEN.match(m))
    pattern = "|".join([*map(re.escape, sorted(tokens)), _CUT_OFF])
    if labels:
        pattern += f"|(?m:^)(?:{'|'.join(map(re.escape, sorted(labels)))})"
    answers = {_strip(each.assistant) for each in tables.templates}
    own = frozenset(mark for mark in answers if _TOKEN.match(mark))
    return TurnMarks(tokens, labels, own, frozenset(begins) - tokens, re.compile(pattern))


def _strip(marks: tuple[str, str] | None) -> str:
    """Return an opening mark without white space, and without the token that begins a prompt."""
    return "" if marks is None else marks[0].strip().removeprefix("<s>")

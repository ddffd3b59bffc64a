"""A conversation on its way into a model's input: what the ways of writing it have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._chat.profiles import Profile
from replicate_stream._chat.prompts import Family, Turn
from replicate_stream._chat.report import Report
from replicate_stream._chat.said import Said

_BROKEN = "Control marks in a message were broken with a space, so that they open no turn."


@dataclass(frozen=True, slots=True)
class Talk:
    """What was said, to whom, and where it is to go.

    Attributes:
        system: The system texts, joined in order; empty for none.
        said: The messages that are not the system's.
        model: How the model takes a conversation.
        target: The input that is being made.
        report: Takes the notes.
    """

    system: str = field(repr=False)
    said: Sequence[Said]
    model: Profile
    target: dict[str, Any] = field(repr=False)
    report: Report

    @property
    def is_single(self) -> bool:
        """Whether it is one question of the user, without anything before it."""
        return len(self.said) == 1 and self.said[0].message.role == "user"

    @property
    def turns(self) -> list[Turn]:
        """The messages as turns of a prompt."""
        return [each.turn() for each in self.said]

    def safe(self, text: str) -> str:
        """A text that the model's own template cannot take for the opening of a turn."""
        safe = self.model.defuse(text)
        if safe != text:
            self.note_once(_BROKEN)
        return safe

    def render(self, family: Family, system: str, turns: Sequence[Turn]) -> str:
        """The prompt in a family's format, with a note if a mark had to be broken."""
        if any(family.control.search(text) for text in (system, *(t.text for t in turns))):
            self.note_once(_BROKEN)
        return family.render(system, turns)

    def put_system(self) -> str:
        """Put the system text into the model's own field; gives what there is no field for."""
        if self.system and self.model.system is not None:
            self.target[self.model.system.name] = self.safe(self.system)
            return ""
        return self.safe(self.system)

    def note_once(self, sentence: str) -> None:
        """Record a note that is not there yet."""
        if sentence not in self.report.notes:
            self.report.note(sentence)

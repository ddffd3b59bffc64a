"""A conversation on its way into a model's input: what the ways of writing it have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._model.families import Family, Turn
from replicate_stream._model.profile import ModelProfile
from replicate_stream._model.tool_formats import ToolFormat, tool_format_for
from replicate_stream._request.message_parts import MessageParts
from replicate_stream._request.notes import Notes
from replicate_stream._request.tool_turns import is_about_tools, turns_with_tools
from replicate_stream._types.response_format import ResponseFormat
from replicate_stream._types.tool_choice import ToolChoice

_BROKEN = "Control marks in a message were broken with a space, so that they open no turn."


@dataclass(frozen=True, slots=True)
class PromptInstructions:
    """What the model has to be told in words, because it has no input for it.

    Attributes:
        tools: The tools, and whether one must be called; None for none.
        form: The form of the answer; None for text.
        demand: What it has to know of the choice of a tool.
        has_native_tools: Whether the model has an input for tools, so that it takes calls and
            results as messages too.
    """

    tools: ToolChoice | None = None
    form: ResponseFormat | None = None
    demand: str = ""
    has_native_tools: bool = False

    @property
    def offered(self) -> ToolChoice | None:
        """The tools that the prompt has to name."""
        return None if self.has_native_tools else self.tools


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said, to whom, and where it is to go.

    Attributes:
        name: The model's name.
        system: The system texts, joined in order; empty for none.
        said: The messages that are not the system's.
        model: How the model takes a conversation.
        wanted: What it has to be told beside.
        target: The input that is being made.
        report: Takes the notes.
    """

    name: str
    system: str = field(repr=False)
    said: Sequence[MessageParts]
    model: ModelProfile
    wanted: PromptInstructions
    target: dict[str, Any] = field(repr=False)
    report: Notes

    @property
    def is_single(self) -> bool:
        """Whether it is one question of the user, without anything before it."""
        return len(self.said) == 1 and self.said[0].message.role == "user"

    @property
    def is_about_tools(self) -> bool:
        """Whether tools are in it, or were."""
        return self.wanted.offered is not None or is_about_tools(self.said)

    @property
    def has_system(self) -> bool:
        """Whether there is anything to say beside the messages."""
        return bool(self.system or self.wanted.offered or self.wanted.demand or self.wanted.form)

    def dialect(self, clean: Callable[[str], str], family: Family | None = None) -> ToolFormat:
        """How tools are written into a prompt.

        Args:
            clean: Breaks the marks of turns in a text.
            family: The chat format that the prompt is written in; None where the model puts its
                own around it.
        """
        return tool_format_for(family or self.model.chat_template, family, self.name, clean)

    def turns(self, dialect: ToolFormat) -> list[Turn]:
        """The messages as turns of a prompt; those about tools are ready."""
        if self.is_about_tools:
            return turns_with_tools(self.said, dialect)
        return [each.turn() for each in self.said]

    def whole_system(self, system: str, dialect: ToolFormat) -> str:
        """The system text with what the model has to be told in words."""
        offered, form = self.wanted.offered, self.wanted.form
        offer = dialect.offer(offered.tools) if offered is not None else ""
        said = [offer, system] if dialect.is_first else [system, offer]
        said.append(self.wanted.demand)
        if form is not None:
            said.append(form.instruction(has_tools=self.wanted.tools is not None))
        return "\n\n".join(part for part in said if part)

    def safe(self, text: str) -> str:
        """A text that the model's own template cannot take for the opening of a turn."""
        safe = self.model.neutralize(text)
        if safe != text:
            self.note_once(_BROKEN)
        return safe

    def note_marks(self, family: Family) -> None:
        """Note it if a mark of a chat format had to be broken."""
        texts = (self.system, *(each.text for each in self.said))
        if any(family.control.search(text) for text in texts):
            self.note_once(_BROKEN)

    def put_system(self) -> str:
        """Put the system text into the model's own field; gives what there is no field for."""
        system = self.whole_system(self.safe(self.system), self.dialect(self.safe))
        if system and self.model.system_prompt is not None:
            self.target[self.model.system_prompt.name] = system
            return ""
        return system

    def note_once(self, sentence: str) -> None:
        """Record a note that is not there yet."""
        if sentence not in self.report.notes:
            self.report.note(sentence)

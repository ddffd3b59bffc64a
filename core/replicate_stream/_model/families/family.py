"""What a family of models was trained to read: the marks around its turns.

The trap is white space: one newline too few in front of an answer is a prompt the model has never
seen. The other is a text that holds the marks itself and so forges a turn; see `neutralize`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Speaker: TypeAlias = Literal["user", "assistant", "tool", "none"]
Marks: TypeAlias = tuple[str, str]
"""What stands directly before a text and directly after it."""

LINE_START = r"(?:^|(?<=[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]))[^\S\n]*"
"""A pattern for where a label opens a turn; some line ends are such for some programs only."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation proper, as text.

    Attributes:
        speaker: Whose marks go around it; `none` for a text that holds its own.
        text: What was said.
        is_ready: Whether the text is written as it is, because its marks are meant.
    """

    speaker: Speaker
    text: str
    is_ready: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """A chat format.

    Attributes:
        name: What `prompt_format=` calls it.
        user: The marks around what the user says.
        assistant: The marks around what the model has said.
        answer: What invites the model's answer, at the very end.
        control: What would open or close a turn if a text held it; its last character is not
            white space, so that a space before it breaks the mark.
        hint: What is in a template of this family, and in no other's.
        names: What models of this family are called, in lower case.
        start: The very beginning of the prompt.
        system: The marks around the system text as a turn of its own; None if there is none.
        system_in_user: The marks around it at the head of the first user turn, else.
        dialect: How its models were trained to call tools.
        default_system: The system text that the vendor's own template fills in.
        tool: The marks around a tool's result; None if it goes into a user turn.
        is_trimmed: Whether the vendor's template strips white space around a turn's text.
        is_system_trimmed: Whether it does so around the system text.
    """

    name: str
    user: Marks
    assistant: Marks
    answer: str
    control: re.Pattern[str]
    hint: re.Pattern[str] | None = None
    names: re.Pattern[str] | None = None
    start: str = ""
    system: Marks | None = None
    system_in_user: Marks = ("", "\n\n")
    dialect: str = "hermes"
    default_system: str | None = None
    tool: Marks | None = None
    is_trimmed: bool = False
    is_system_trimmed: bool = False

    def render(
        self,
        system: str,
        turns: Sequence[Turn],
        *,
        is_system_ready: bool = False,
        invites: bool = True,
    ) -> str:
        """The whole prompt.

        Args:
            system: The system text, empty for none. Like the turns' texts it is neutralized here,
                unless it is ready.
            turns: The conversation; the answer to it is invited at the end.
            is_system_ready: Whether the system text is written as it is.
            invites: Whether the answer is invited; some results of tools do that by themselves.
        """
        said = [t if t.is_ready else Turn(t.speaker, self.clean(t.text)) for t in turns]
        text = system if is_system_ready else self.clean_system(system)
        head = self.start
        if not text and self.default_system is not None:
            text = self.default_system
        if self.system is not None and (text or self.default_system is not None):
            head += self.system[0] + text + self.system[1]
        elif text:
            said = self._with_system(text, said)
        return head + "".join(self._turn(t) for t in said) + (self.answer if invites else "")

    def neutralize(self, text: str) -> str:
        """Break every mark of the family that a text holds, so that it is read as mere text.

        A space goes before a mark's last character: `<|im_end|>` becomes `<|im_end| >`.
        """
        return self.control.sub(broken, text)

    def clean(self, text: str) -> str:
        """A turn's text as the vendor's template would write it, its marks broken."""
        return self.neutralize(text.strip() if self.is_trimmed else text)

    def clean_system(self, text: str) -> str:
        """The same for a system text."""
        return self.neutralize(text.strip() if self.is_system_trimmed else text)

    def _turn(self, turn: Turn) -> str:
        if turn.speaker == "none":
            return turn.text
        marks = self.assistant if turn.speaker == "assistant" else self.user
        if turn.speaker == "tool" and self.tool is not None:
            marks = self.tool
        return marks[0] + turn.text + marks[1]

    def _with_system(self, text: str, said: list[Turn]) -> list[Turn]:
        opening = self.system_in_user[0] + text + self.system_in_user[1]
        for at, turn in enumerate(said):
            if turn.speaker == "user":
                return [*said[:at], Turn("user", opening + turn.text), *said[at + 1 :]]
        return [Turn("user", opening), *said]


def broken(match: re.Match[str]) -> str:
    """A mark with a space before its last character, which makes it mere text."""
    mark = match.group()
    return f"{mark[:-1]} {mark[-1]}"


def literals(*marks: str) -> re.Pattern[str]:
    """A pattern for any of these marks, exactly."""
    return re.compile("|".join(map(re.escape, marks)))

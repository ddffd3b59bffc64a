"""The values that describe a family of models: its chat templates, tool format and facts.

The trap is white space: a prompt with one newline too few in front of the answer is a prompt that
the model has never seen in training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypedDict

from replicate_stream._model.families.tool_format import HermesToolFormat, ToolFormat
from replicate_stream._model.families.turn import Marks, Role, Turn, neutralize


# Named tuples, because an adapter builds these for its first model object: a dataclass takes ten
# times as long to define.
class ChatTemplate(NamedTuple):
    """A chat format: the marks around the turns of a prompt.

    Attributes:
        name: The name by which `prompt_format=` selects it.
        user: The marks around a message of the user.
        assistant: The marks around an answer of the model.
        control_marks: A pattern for the marks that would open or close a turn if a text held
            them. Its matches do not end in white space, so that a space inside breaks them.
        generation_prompt: The text at the very end of a prompt, behind which the model answers;
            None if it is the mark before an answer.
        hint: A pattern for what a template of this format holds, and no other's.
        names: A pattern for the names of the models that were trained on it, in lower case.
        start: The very beginning of the prompt.
        system: The marks around the system text; None if it has no turn of its own.
        system_in_user: The marks around the system text at the head of the first user turn,
            where `system` is None.
        is_system_in_last: True if it goes into the last user turn instead.
        system_frame: The texts around a system text, within its marks.
        default_system: The system text that the vendor's own template fills in.
        tool: The marks around a tool's result; None if it goes into a user turn.
        tool_format: The format in which the models were trained to call tools.
        trimmed_roles: The roles around whose texts the vendor's template strips white space.
        is_system_trimmed: True if it strips white space around the system text.
        thought_end: A pattern for the end of a thought in the text of an answer. The vendor's
            template leaves the thought out of every answer before the last question.
        empty_thoughts: What it writes before an answer without a thought: before the last
            question, and behind it.
        is_empty_trimmed: True if it leaves out the white space before an answer that is empty.
        separator: What it writes between two texts of one role, which then share a turn; None if
            each has a turn of its own.
    """

    name: str
    user: Marks
    assistant: Marks
    control_marks: str
    generation_prompt: str | None = None
    hint: str | None = None
    names: str | None = None
    start: str = ""
    system: Marks | None = None
    system_in_user: Marks = ("", "\n\n")
    is_system_in_last: bool = False
    system_frame: Marks = ("", "")
    default_system: str | None = None
    tool: Marks | None = None
    tool_format: type[ToolFormat] = HermesToolFormat
    trimmed_roles: tuple[Role, ...] = ()
    is_system_trimmed: bool = False
    thought_end: str | None = None
    empty_thoughts: Marks = ("", "")
    is_empty_trimmed: bool = False
    separator: str | None = None

    def render(
        self,
        system: str,
        turns: Sequence[Turn],
        *,
        is_system_rendered: bool = False,
        has_generation_prompt: bool = True,
    ) -> str:
        """Render a conversation as one prompt.

        Args:
            system: The system text, empty for none. Like the turns' texts it is neutralized here,
                unless it is rendered.
            turns: The conversation.
            is_system_rendered: True if the system text is written as it is.
            has_generation_prompt: True to end with the generation prompt; in some formats the
                model goes on behind the results of tools without one.
        """
        turns = self.merge_turns(self.edit_turns(turns))
        rendered = [t if t.is_rendered else Turn(t.role, self.neutralize(t.text)) for t in turns]
        text = system if is_system_rendered else self.render_system(system)
        head = self.start
        if not text and self.default_system is not None:
            text = self.default_system
        if self.system is not None and (text or self.default_system is not None):
            head += self.system[0] + text + self.system[1]
        elif text:
            rendered = self._insert_system(text, rendered)
        body = "".join(self._render_turn(turn) for turn in rendered)
        end = self.assistant[0] if self.generation_prompt is None else self.generation_prompt
        return head + body + (end if has_generation_prompt else "")

    def neutralize(self, text: str) -> str:
        """Break every mark of the format that a text holds, so that it is read as mere text."""
        return neutralize(self.control_marks, text)

    def edit_turns(self, turns: Sequence[Turn]) -> list[Turn]:
        """Edit the texts that are not rendered yet as the vendor's template does."""
        questions = [at for at, turn in enumerate(turns) if turn.role == "user"]
        last = questions[-1] if questions else -1
        return [
            turn if turn.is_rendered else self._edit_turn(turn, is_earlier=at < last)
            for at, turn in enumerate(turns)
        ]

    def merge_turns(self, turns: Sequence[Turn]) -> list[Turn]:
        """Merge successive questions, and successive answers, if the vendor's template does."""
        merged: list[Turn] = []
        for turn in turns:
            is_next = bool(merged) and merged[-1].role == turn.role in ("user", "assistant")
            if is_next and self.separator is not None:
                text = merged[-1].text + self.separator + turn.text
                merged[-1] = turn._replace(text=text)
            else:
                merged.append(turn)
        return merged

    def render_system(self, text: str) -> str:
        """Render the system text as the vendor's template does, with its marks broken."""
        rendered = self.neutralize(text.strip() if self.is_system_trimmed else text)
        return self.system_frame[0] + rendered + self.system_frame[1] if rendered else ""

    def _edit_turn(self, turn: Turn, *, is_earlier: bool) -> Turn:
        text = turn.text.strip() if turn.role in self.trimmed_roles else turn.text
        if turn.role == "assistant" and self.thought_end is not None:
            ends = list(re.finditer(self.thought_end, text))
            if is_earlier and ends:
                text = text[ends[-1].end() :]
                text = text.lstrip() if turn.role in self.trimmed_roles else text
            if is_earlier or not ends:
                text = self.empty_thoughts[not is_earlier] + text
        return turn._replace(text=text)

    def _render_turn(self, turn: Turn) -> str:
        marks = {"none": ("", ""), "assistant": self.assistant, "tool": self.tool}.get(turn.role)
        before, after = marks or self.user
        if self.is_empty_trimmed and turn.role == "assistant" and not turn.text:
            before = before.rstrip()
        return before + turn.text + after

    def _insert_system(self, text: str, turns: list[Turn]) -> list[Turn]:
        opening = self.system_in_user[0] + text + self.system_in_user[1]
        users = [at for at, turn in enumerate(turns) if turn.role == "user"]
        if not users:
            return [Turn("user", opening), *turns]
        at = users[-1 if self.is_system_in_last else 0]
        return [*turns[:at], Turn("user", opening + turns[at].text), *turns[at + 1 :]]


class RoleMarks(TypedDict):
    """The marks of the roles in a chat template, under the names of its fields."""

    system: Marks | None
    user: Marks
    assistant: Marks
    tool: Marks | None


def mark_roles(
    before: str,
    after: str,
    *,
    system: str | None = "system",
    user: str = "user",
    assistant: str = "assistant",
    tool: str | None = None,
) -> RoleMarks:
    """Build the marks of all roles of a format in which they differ by a name only.

    Args:
        before: The mark before a text; `{}` in it stands for the role's name.
        after: The mark behind a text.
        system: The format's name for the role; None if it has no such role.
        user: Likewise.
        assistant: Likewise.
        tool: Likewise.
    """
    return {
        "system": (before.format(system), after) if system is not None else None,
        "user": (before.format(user), after),
        "assistant": (before.format(assistant), after),
        "tool": (before.format(tool), after) if tool is not None else None,
    }


class ContextWindow(NamedTuple):
    """The context window of the models that a pattern names.

    Attributes:
        names: A pattern for the models' names without their owner, in lower case.
        tokens: The tokens of a prompt and its answer together.
        max_output: The longest answer, in tokens; None if nothing but the window bounds it.
    """

    names: str
    tokens: int
    max_output: int | None = None


class Family(NamedTuple):
    """Everything that is known of one family of models.

    All patterns are searched in a model's name in lower case.

    Attributes:
        templates: Its chat templates, the most specific first; empty where the models take
            messages only, so that no prompt has to be written for them.
        windows: The context windows of its models, the most specific first.
        vision_names: A pattern for the models that take images.
        thinking_names: A pattern for the models that reason before they answer.
        chat_names: A pattern for the models that were trained on chats, as far as their names do
            not contain a word such as `instruct`.
        thinking_tags: The tags around the reasoning, each an opening and a closing one.
        hosted_names: A pattern for the models that their vendor hosts: its service keeps texts
            apart from control tokens, so that no text can hold one.
        systemless_names: A pattern for the models that refuse a message of the role `system`.
        unopened_names: A pattern for the models whose own template opens the reasoning, so that
            their answers only close it. The tag is the first of `thinking_tags`.
        tool_formats: The formats in which models call tools that have no chat template here, or
            not only that of their template: pairs of a pattern for their names and the format.
    """

    templates: tuple[ChatTemplate, ...] = ()
    windows: tuple[ContextWindow, ...] = ()
    vision_names: str | None = None
    thinking_names: str | None = None
    chat_names: str | None = None
    thinking_tags: tuple[Marks, ...] = ()
    hosted_names: str | None = None
    systemless_names: str | None = None
    unopened_names: str | None = None
    tool_formats: tuple[tuple[str, type[ToolFormat]], ...] = ()

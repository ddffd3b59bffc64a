"""A conversation as every way of sending it needs it: as prompt, messages or history.

`Conversation` joins the messages with the model's profile and renders the system text and the
turns. The functions at the end write tool calls and results; they are only entered when there are
tools, or calls in earlier messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from replicate_stream._frozen import fill_slots
from replicate_stream._model.families.family import ChatTemplate
from replicate_stream._model.families.tool_format import Neutralize, ToolFormat, ToolResult
from replicate_stream._model.families.turn import Role, Turn
from replicate_stream._model.families.turn import neutralize as neutralize_marks
from replicate_stream._request.input_builder import InputBuilder
from replicate_stream._types.media import Media
from replicate_stream._types.messages import Message, ToolCall, ToolSpec
from replicate_stream._types.response_format import ResponseFormat
from replicate_stream._types.tool_choice import ToolChoice

_MARKS_BROKEN = "Control marks in a message were broken with a space, so that they open no turn."


@fill_slots
@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """A message with its text and its media apart.

    Attributes:
        message: The message, with the calls of its blocks.
        text: All texts, joined.
        media: All media, in their order.
    """

    message: Message
    text: str = field(repr=False)
    media: tuple[Media, ...] = ()

    def to_turn(self) -> Turn:
        """Convert it to a turn of a prompt, without its tool calls."""
        if self.message.role == "tool":
            return Turn("tool", self.text)
        name = self.message.name
        role: Role = "assistant" if self.message.role == "assistant" else "user"
        # A prompt has no other place for the name of one of several users.
        return Turn(role, f"{name}: {self.text}" if name and role == "user" else self.text)

    def to_openai(self, neutralize: Neutralize) -> dict[str, Any]:
        """Convert it to OpenAI's format, with the marks of turns broken in everything."""
        message = self.message
        converted: dict[str, Any] = {"role": message.role, "content": neutralize(self.text)}
        if message.name:
            converted["name"] = neutralize(message.name)
        if message.tool_call_id:
            converted["tool_call_id"] = neutralize(message.tool_call_id)
        if message.tool_calls:
            calls = [_call_to_openai(call, neutralize) for call in message.tool_calls]
            converted["tool_calls"] = calls
        return converted


@fill_slots
@dataclass(frozen=True, slots=True)
class PromptInstructions:
    """Instructions that the prompt has to carry because the model has no input for them.

    Attributes:
        tools: The offered tools; None for none.
        response_format: The format of the answer, if the prompt has to ask for it.
        tool_choice: The sentence about the tool choice; empty for a free choice.
    """

    tools: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    tool_choice: str = ""


@fill_slots
@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of a request, and the input that they are put into.

    Attributes:
        system: All system texts, joined in order; empty for none.
        messages: All other messages.
        builder: The model that they go to, and the input being built.
        instructions: Instructions that the prompt has to carry.
    """

    system: str = field(repr=False)
    messages: Sequence[ParsedMessage]
    builder: InputBuilder = field(repr=False)
    instructions: PromptInstructions

    @property
    def has_tools_input(self) -> bool:
        """Whether the model has an input for tools; it then takes calls and results as messages."""
        return "tools" in self.builder.profile.parameters

    @property
    def tools_in_prompt(self) -> ToolChoice | None:
        """The tools that the prompt has to describe."""
        tools = self.instructions.tools
        return None if tools is None or self.has_tools_input else tools

    @property
    def is_single_question(self) -> bool:
        """Whether there is one message only, and it is the user's."""
        return len(self.messages) == 1 and self.messages[0].message.role == "user"

    @property
    def has_tools(self) -> bool:
        """Whether tools, calls or results have to be written into a prompt."""
        return self.tools_in_prompt is not None or _has_tool_messages(self.messages)

    @property
    def has_system(self) -> bool:
        """Whether `render_system` returns any text."""
        needed = self.instructions
        return bool(
            self.system or self.tools_in_prompt or needed.tool_choice or needed.response_format
        )

    def tool_format(
        self, neutralize: Neutralize, template: ChatTemplate | None = None
    ) -> ToolFormat | None:
        """The format in which tools are written into the prompt; None without tools.

        Args:
            neutralize: Breaks the marks of turns in a text.
            template: The chat template that is written here; None if the model applies its own.
        """
        if not self.has_tools:
            return None
        if template is None:
            return self.builder.profile.tool_format(neutralize)
        return template.tool_format(neutralize, template.assistant, template.system)

    def get_tool_formats(self, template: ChatTemplate | None = None) -> tuple[str, ...]:
        """Return the names of the tool formats in which the answer may call tools."""
        profile = self.builder.profile
        offered = profile.tool_format if template is None else template.tool_format
        formats = (offered, *profile.trained_tool_formats)
        return tuple(dict.fromkeys(each.__name__ for each in formats))

    def render_turns(
        self, tool_format: ToolFormat | None, template: ChatTemplate | None = None
    ) -> list[Turn]:
        """Convert the messages to turns of a prompt; with a tool format their text is final.

        Args:
            tool_format: The format of calls and results; None without tools.
            template: The chat template that is written here; None if the model applies its own.
        """
        turns = [message.to_turn() for message in self.messages]
        if tool_format is None:
            return turns
        if template is None:
            return _render_turns_with_tools(self.messages, turns, tool_format)
        turns = template.edit_turns(turns)
        return template.merge_turns(_render_turns_with_tools(self.messages, turns, tool_format))

    def offered_tools(self, tool_format: ToolFormat) -> list[ToolSpec]:
        """The tools that the prompt has to describe, with the marks in their names broken."""
        tools = () if self.tools_in_prompt is None else self.tools_in_prompt.tools
        return [replace(tool, name=tool_format.neutralize(tool.name)) for tool in tools]

    def render_system(
        self, neutralize: Neutralize, tool_format: ToolFormat | None, system: str | None = None
    ) -> str:
        """Join the system text and the instructions, with the marks in them broken.

        Args:
            neutralize: Breaks the marks of turns in a text.
            tool_format: The format in which the tools are offered; None without tools.
            system: The system text, rendered; None for that of the request.
        """
        instructions, expected = self.instructions, self.instructions.response_format
        has_tools = instructions.tools is not None
        instruction = "" if expected is None else expected.instruction(has_tools=has_tools)
        # The instructions quote names of tools, and the schema of the answer.
        quoted = (instructions.tool_choice, instruction)
        parts = [neutralize(each) if each else "" for each in (self.system, *quoted)]
        if system is not None:
            parts[0] = system
        if tool_format is not None:
            parts = [neutralize_marks(tool_format.control_marks, part) for part in parts]
        if tool_format is not None and self.tools_in_prompt is not None:
            offer = tool_format.render_tools(self.offered_tools(tool_format))
            parts[0] = tool_format.join_system(parts[0], offer)
        return "\n\n".join(part for part in parts if part)

    def put_system(self) -> str:
        """Put the system text into the model's system input.

        Returns:
            The system text if the model has no such input, else an empty string.
        """
        if not self.has_system:
            return ""
        system = self.render_system(self.neutralize, self.tool_format(self.neutralize))
        if system and self.builder.profile.system_prompt is not None:
            self.builder.input[self.builder.profile.system_prompt.name] = system
            return ""
        return system

    def neutralize(self, text: str) -> str:
        """Break the marks in a text that the model's own template would read as a turn."""
        safe = neutralize_marks(self.builder.profile.control_marks, text)
        if safe != text:
            self.builder.note_once(_MARKS_BROKEN)
        return safe

    def note_broken_marks(self, template: ChatTemplate) -> None:
        """Add a note if a text holds a mark of the chat template, which rendering breaks."""
        texts = (self.system, *(message.text for message in self.messages))
        if any(template.neutralize(text) != text for text in texts):
            self.builder.note_once(_MARKS_BROKEN)


def _has_tool_messages(messages: Iterable[ParsedMessage]) -> bool:
    return any(each.message.tool_calls or each.message.role == "tool" for each in messages)


def _render_turns_with_tools(
    messages: Sequence[ParsedMessage], unmarked: Sequence[Turn], tool_format: ToolFormat
) -> list[Turn]:
    neutralize = tool_format.neutralize
    tool_names = {call.id: call.name for each in messages for call in each.message.tool_calls}
    turns: list[Turn] = []
    results: list[ToolResult] = []
    follows_results = False
    for parsed, (role, content, _) in zip(messages, unmarked, strict=True):
        message, text = parsed.message, neutralize(content)
        if message.role == "tool":
            name = message.name or tool_names.get(message.tool_call_id or "")
            name, call_id = name and neutralize(name), message.tool_call_id
            call_id = call_id and neutralize(call_id)
            results.append(ToolResult(text, name, call_id))
            continue
        # Parallel results belong together: several templates write them into one turn.
        if results:
            turns += tool_format.render_results(results)
            results = []
            follows_results = True
        if message.tool_calls:
            turn = tool_format.render_answer(
                text, [_neutralize_call(call, tool_format) for call in message.tool_calls]
            )
        else:
            turn = Turn(role, text, is_rendered=True)
        if follows_results and turn.role != "user" and tool_format.after_results is not None:
            # DeepSeek's answer goes on right behind the results, without a mark that opens a turn.
            opening, closing = tool_format.assistant
            has_marks = turn.role == "none"
            text = turn.text.removeprefix(opening) if has_marks else turn.text + closing
            turn = Turn("none", tool_format.after_results + text, is_rendered=True)
        turns.append(turn)
        follows_results = False
    return turns + (tool_format.render_results(results) if results else [])


def _neutralize_call(call: ToolCall, tool_format: ToolFormat) -> ToolCall:
    neutralize = tool_format.neutralize
    return replace(call, id=neutralize(call.id), name=neutralize(call.name))


def _call_to_openai(call: ToolCall, neutralize: Neutralize) -> dict[str, Any]:
    arguments = call.arguments
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    function = {"name": neutralize(call.name), "arguments": neutralize(text)}
    return {"id": neutralize(call.id), "type": "function", "function": function}

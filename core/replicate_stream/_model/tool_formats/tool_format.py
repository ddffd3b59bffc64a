"""What the formats of tool calling have in common; by itself, the one that is the default.

Hermes 2 Pro brought it up and Qwen took it over, and other models follow it well when told.

Source: `chat_template` of Qwen/Qwen2.5-7B-Instruct and NousResearch/Hermes-2-Pro-Llama-3-8B,
tokenizer_config.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._errors import InvalidInputError
from replicate_stream._model.families.family import Marks, Turn, broken
from replicate_stream._types.messages import ToolCall, ToolSpec
from replicate_stream._types.tool_choice import as_function

Clean = Callable[[str], str]
"""Breaks what a text must not hold: the marks of turns and of calls."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave.

    Attributes:
        text: The result, its marks broken already.
        name: The tool, where it is known.
        call_id: The call that it answers.
    """

    text: str = field(repr=False)
    name: str | None = None
    call_id: str | None = None


class ToolFormat:
    """How tools are told, called and answered in a prompt.

    Args:
        clean: Breaks the marks of turns in a text.
        assistant: The marks around what the model says, in the chat format of the prompt.

    Attributes:
        name: What it is called.
        control: What a text must not hold, because it would forge a call or a result.
        is_bare: Whether calls have no marks around them.
        is_first: Whether the tools stand before the system text.
        continues: Whether the answer to results follows without the mark of a turn.
    """

    name = "hermes"
    control = re.compile(r"</?tool_(?:call|response)>|</?tools>")
    is_bare = False
    is_first = False
    continues = False

    def __init__(self, clean: Clean, assistant: Marks = ("", "")) -> None:
        self.assistant = assistant
        self._clean = clean

    def clean(self, text: str) -> str:
        """Break the marks of turns, calls and results that a text holds."""
        return self.control.sub(broken, self._clean(text))

    def offer(self, tools: Sequence[ToolSpec]) -> str:
        """What the system text says of the tools."""
        listed = "\n".join(self.clean(dump(as_openai(tool))) for tool in tools)
        return (
            "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
            "You are provided with function signatures within <tools></tools> XML tags:\n"
            f"<tools>\n{listed}\n</tools>\n\n"
            "For each function call, return a json object with function name and arguments within "
            "<tool_call></tool_call> XML tags:\n"
            '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
        )

    def place(self, tools: Sequence[ToolSpec], turns: list[Turn]) -> list[Turn]:
        """The conversation with the tools in it, where they have a turn of their own."""
        return turns

    def calls(self, calls: Sequence[ToolCall]) -> str:
        """Calls, as the model writes them."""
        written = (f"<tool_call>\n{call_json(each, self.clean)}\n</tool_call>" for each in calls)
        return "\n".join(written)

    def said(self, text: str, calls: Sequence[ToolCall]) -> Turn:
        """What the model said and called, as a turn."""
        parts = [part for part in (text, self.calls(calls)) if part]
        return Turn("assistant", "\n".join(parts), is_ready=True)

    def results(self, results: Sequence[Result]) -> list[Turn]:
        """What tools gave, one after the other, as turns."""
        written = (f"<tool_response>\n{self.result(each)}\n</tool_response>" for each in results)
        return [Turn("tool", "\n".join(written), is_ready=True)]

    def result(self, result: Result) -> str:
        """One result, with the tool's name where that is known."""
        if result.name is None:
            return result.text
        return dump({"name": result.name, "content": result.text})

    def opening(self, name: str | None) -> str:
        """The beginning of a call: of one tool, or of any."""
        if name is None:
            return "<tool_call>\n"
        return f'<tool_call>\n{{"name": {dump(name)}, "arguments":'


class Qwen(ToolFormat):
    """Qwen's: a result is the user's, and has no name."""

    name = "qwen"

    def results(self, results: Sequence[Result]) -> list[Turn]:
        turns = super().results(results)
        return [Turn("user", turn.text, is_ready=True) for turn in turns]

    def result(self, result: Result) -> str:
        return result.text


def as_openai(tool: ToolSpec) -> dict[str, Any]:
    """A tool as OpenAI writes it, which most templates do too."""
    return {"type": "function", "function": as_function(tool)}


def call_json(call: ToolCall, clean: Clean, key: str = "arguments", **more: str) -> str:
    """A call as JSON. Arguments that are none stay what the model wrote."""
    ends = "".join(f", {dump(k)}: {dump(v)}" for k, v in more.items())
    return f'{{"name": {dump(call.name)}, "{key}": {arguments_json(call, clean)}{ends}}}'


def arguments_json(call: ToolCall, clean: Clean) -> str:
    """The arguments of a call as JSON, or else as the model wrote them."""
    arguments: Any = call.arguments
    if isinstance(arguments, str):
        # OpenAI's form has them as a JSON text.
        with suppress(ValueError):
            arguments = json.loads(arguments)
    return clean(arguments if isinstance(arguments, str) else dump(arguments))


def dump(value: Any, indent: int | None = None) -> str:
    """JSON as prompts have it: readable in any script.

    Raises:
        InvalidInputError: A tool or a call holds what is no JSON.
    """
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent)
    except TypeError as error:
        raise InvalidInputError(
            f"tools, or a call of one, cannot be written as JSON: {error}", fields=("tools",)
        ) from error

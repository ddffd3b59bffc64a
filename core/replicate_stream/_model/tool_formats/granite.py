"""Granite 3: the tools in a turn of their own, calls as a list behind a mark.

Source: `chat_template` of ibm-granite/granite-3.1-8b-instruct, tokenizer_config.json.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from replicate_stream._model.families.family import Turn
from replicate_stream._model.tool_formats.tool_format import (
    Result,
    ToolFormat,
    as_openai,
    call_json,
    dump,
)
from replicate_stream._types.messages import ToolCall, ToolSpec

_TURN = "<|start_of_role|>available_tools<|end_of_role|>", "<|end_of_text|>\n"
_MARK = "<|tool_call|>"


class Granite(ToolFormat):
    """IBM's marks."""

    name = "granite"
    control = re.compile(r"<\|tool_call\|>")

    def offer(self, tools: Sequence[ToolSpec]) -> str:
        """What the system text says of the tools."""
        return (
            "You are a helpful AI assistant with access to the following tools. When a tool is "
            f"required to answer the user's query, respond with {_MARK} followed by a JSON list of "
            "tools used. If a tool does not exist in the provided list of tools, notify the user "
            "that you do not have the ability to fulfill the request."
        )

    def place(self, tools: Sequence[ToolSpec], turns: list[Turn]) -> list[Turn]:
        """The tools directly behind the system text."""
        listed = self.clean(dump([as_openai(tool) for tool in tools], 4))
        return [Turn("none", f"{_TURN[0]}{listed}{_TURN[1]}", is_ready=True), *turns]

    def calls(self, calls: Sequence[ToolCall]) -> str:
        """Calls as a list."""
        return f"{_MARK}[{', '.join(call_json(each, self.clean) for each in calls)}]"

    def said(self, text: str, calls: Sequence[ToolCall]) -> Turn:
        """What the model said and called, with nothing between."""
        return Turn("assistant", text + self.calls(calls), is_ready=True)

    def results(self, results: Sequence[Result]) -> list[Turn]:
        """Each result in a turn of its own, as it is."""
        return [Turn("tool", each.text, is_ready=True) for each in results]

    def opening(self, name: str | None) -> str:
        """The beginning of a call: of one tool, or of any."""
        start = f"{_MARK}[{{"
        return f'{start}"name":' if name is None else f'{start}"name": {dump(name)}, "arguments":'

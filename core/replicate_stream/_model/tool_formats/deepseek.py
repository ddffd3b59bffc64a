"""DeepSeek V3 and R1: a mark for each part of a call, and the arguments by themselves.

Source: `chat_template` of deepseek-ai/DeepSeek-V3.1, tokenizer_config.json, in the form without
code fences, which its predecessors read too. After results the answer follows without a mark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from replicate_stream._model.families.family import Turn
from replicate_stream._model.tool_formats.tool_format import (
    Result,
    ToolFormat,
    arguments_json,
    dump,
)
from replicate_stream._types.messages import ToolCall, ToolSpec


def _mark(words: str) -> str:
    return f"<\uff5c{words.replace(' ', chr(0x2581))}\uff5c>"


_CALLS = _mark("tool calls begin"), _mark("tool calls end")
_CALL = _mark("tool call begin"), _mark("tool call end")
_OUTPUTS = _mark("tool outputs begin"), _mark("tool outputs end")
_OUTPUT = _mark("tool output begin"), _mark("tool output end")
_SEPARATOR = _mark("tool sep")


class DeepSeek(ToolFormat):
    """DeepSeek's control tokens."""

    name = "deepseek"
    continues = True
    control = re.compile(r"<\uff5c[^\uff5c<>]*\uff5c>")

    def offer(self, tools: Sequence[ToolSpec]) -> str:
        """What the system text says of the tools."""
        listed = "".join(
            f"\n### {tool.name}\nDescription: {self.clean(tool.description)}\n\n"
            f"Parameters: {self.clean(dump(dict(tool.parameters)))}\n"
            for tool in tools
        )
        shape = f"{_CALL[0]}tool_call_name{_SEPARATOR}tool_call_arguments{_CALL[1]}"
        return (
            f"## Tools\nYou have access to the following tools:\n{listed}\n"
            "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
            f"{_CALLS[0]}{shape}{{additional_tool_calls}}{_CALLS[1]}\n\n"
            "Where:\n\n- `tool_call_name` must be an exact match to one of the available tools\n"
            "- `tool_call_arguments` must be valid JSON that strictly follows the tool's "
            "Parameters Schema\n- For multiple tool calls, chain them directly without separators "
            "or spaces"
        )

    def calls(self, calls: Sequence[ToolCall]) -> str:
        """Calls, chained."""
        chained = "".join(
            f"{_CALL[0]}{each.name}{_SEPARATOR}{arguments_json(each, self.clean)}{_CALL[1]}"
            for each in calls
        )
        return f"{_CALLS[0]}{chained}{_CALLS[1]}"

    def said(self, text: str, calls: Sequence[ToolCall]) -> Turn:
        """What the model said and called, with nothing between."""
        return Turn("assistant", text + self.calls(calls), is_ready=True)

    def results(self, results: Sequence[Result]) -> list[Turn]:
        """All results in one frame."""
        each = "".join(f"{_OUTPUT[0]}{result.text}{_OUTPUT[1]}" for result in results)
        return [Turn("none", f"{_OUTPUTS[0]}{each}{_OUTPUTS[1]}", is_ready=True)]

    def opening(self, name: str | None) -> str:
        """The beginning of a call: of one tool, or of any."""
        return _CALLS[0] if name is None else f"{_CALLS[0]}{_CALL[0]}{name}{_SEPARATOR}"

"""Llama 3.1 to 3.3 and Llama 4: a call is the whole answer, as JSON without marks.

Source: `chat_template` of meta-llama/Llama-3.1-8B-Instruct, tokenizer_config.json, in its form with
the tools in the system text.
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


class Llama(ToolFormat):
    """Meta's JSON."""

    name = "llama"
    control = re.compile(r"</?function(?:=[\w.-]*)?>|<\|python_tag\|>")
    is_bare = True
    is_first = True

    def offer(self, tools: Sequence[ToolSpec]) -> str:
        """What the system text says of the tools."""
        listed = "".join(f"{self.clean(dump(as_openai(tool), 4))}\n\n" for tool in tools)
        return (
            "You have access to the following functions. To call a function, please respond with "
            'JSON for a function call. Respond in the format {"name": function name, '
            '"parameters": dictionary of argument name and its value}. Do not use variables.\n\n'
            f"{listed}"
        ).rstrip()

    def calls(self, calls: Sequence[ToolCall]) -> str:
        """Calls, one a line."""
        return "\n".join(call_json(each, self.clean, "parameters") for each in calls)

    def results(self, results: Sequence[Result]) -> list[Turn]:
        """Each result in a turn of its own, as JSON."""
        return [Turn("tool", dump(each.text), is_ready=True) for each in results]

    def opening(self, name: str | None) -> str:
        """The beginning of a call: of one tool, or of any."""
        return '{"name":' if name is None else f'{{"name": {dump(name)}, "parameters":'

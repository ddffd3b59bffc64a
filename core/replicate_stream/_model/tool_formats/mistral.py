"""Mistral from v3 on: tools, calls and results between marks of their own, outside of the turns.

Source: `chat_template` of mistralai/Mistral-7B-Instruct-v0.3, tokenizer_config.json. A call's id
has nine letters or digits there, so others are made into such.
"""

from __future__ import annotations

import hashlib
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

_ID = re.compile(r"[a-zA-Z0-9]{9}")


class Mistral(ToolFormat):
    """Mistral's control tokens."""

    name = "mistral"
    control = re.compile(r"\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|ARGS|CALL_ID)\]")

    def offer(self, tools: Sequence[ToolSpec]) -> str:
        """Nothing: the tools have a place of their own."""
        return ""

    def place(self, tools: Sequence[ToolSpec], turns: list[Turn]) -> list[Turn]:
        """The tools before the last thing that the user said."""
        listed = self.clean(dump([as_openai(tool) for tool in tools]))
        offer = Turn("none", f"[AVAILABLE_TOOLS] {listed}[/AVAILABLE_TOOLS]", is_ready=True)
        last = max((at for at, turn in enumerate(turns) if turn.speaker == "user"), default=0)
        return [*turns[:last], offer, *turns[last:]]

    def calls(self, calls: Sequence[ToolCall]) -> str:
        """Calls as a list."""
        listed = ", ".join(call_json(each, self.clean, id=_short(each.id)) for each in calls)
        return f"[TOOL_CALLS] [{listed}]"

    def said(self, text: str, calls: Sequence[ToolCall]) -> Turn:
        """What the model said and called: its own mark opens the calls, not that of a turn."""
        before = f"{self.assistant[0]}{text}" if text else ""
        whole = f"{before}{self.calls(calls)}{self.assistant[1]}"
        return Turn("none", whole, is_ready=True)

    def results(self, results: Sequence[Result]) -> list[Turn]:
        """Each result between its marks, with the call that it answers."""
        return [
            Turn("none", f"[TOOL_RESULTS] {self.result(each)}[/TOOL_RESULTS]", is_ready=True)
            for each in results
        ]

    def result(self, result: Result) -> str:
        """One result."""
        return dump({"content": result.text, "call_id": _short(result.call_id or "")})

    def opening(self, name: str | None) -> str:
        """The beginning of a call: of one tool, or of any."""
        start = "[TOOL_CALLS] [{"
        return f'{start}"name":' if name is None else f'{start}"name": {dump(name)}, "arguments":'


def _short(call_id: str) -> str:
    if _ID.fullmatch(call_id):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]

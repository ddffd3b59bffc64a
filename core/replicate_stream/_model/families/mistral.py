"""Mistral and Mixtral instruct: five templates that differ in spaces and in the system text.

Sources: `chat_template` of mistralai/Mistral-7B-Instruct-v0.2 and Mixtral-8x7B-Instruct-v0.1 (v1),
Mistral-7B-Instruct-v0.3 (v3), Mistral-Nemo-Instruct-2407 (v3-tekken),
Mistral-Large-Instruct-2411 (v7), Mistral-Small-24B-Instruct-2501 (v7-tekken), and
`max_position_embeddings` in config.json. v3 puts the system text into the last user turn, where it
would come after the turns before: here it is the first. The tags around the reasoning are
Magistral's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family
from replicate_stream._model.families.tool_format import CallMark, ToolFormat, ToolResult, to_json
from replicate_stream._model.families.turn import Calls, Tools, Turn

if TYPE_CHECKING:
    from replicate_stream._types.messages import ToolCall

_CALLS = "[TOOL_CALLS]"


class MistralToolFormat(ToolFormat):
    """Tools, calls and results between marks of their own, outside of the turns.

    Source: `chat_template` of mistralai/Mistral-7B-Instruct-v0.3, tokenizer_config.json. Newer
    models write `[TOOL_CALLS]name[ARGS]{…}`, as `chat_template` of
    mistralai/Mistral-Small-3.2-24B-Instruct-2506 does.
    """

    control_marks = r"\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|ARGS|CALL_ID)\]"
    call_marks = (
        CallMark(_CALLS),
        CallMark(
            _CALLS,
            header=r"\s*([\w.\-]+)\s*(?:\[CALL_ID\]\s*[\w\-]*\s*)?\[ARGS\]",
            header_start=r"\s*[\w.\-]*\s*(?:\[[\w\]\[\s\-]*)?",
            has_fence=False,
        ),
    )
    result_marks = ("[TOOL_RESULTS]",)
    calls_layout = (f"{_CALLS} [", ", ", "]")
    has_control_tokens = True

    def insert_tools(self, tools: Tools, turns: list[Turn]) -> list[Turn]:
        # The vendor's template puts them before the last turn of the user.
        text = f"[AVAILABLE_TOOLS] {self.dump_tools(tools)}[/AVAILABLE_TOOLS]"
        last = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=0)
        return [*turns[:last], Turn("none", text, is_rendered=True), *turns[last:]]

    def dump_call(self, call: ToolCall) -> str:
        return f'{super().dump_call(call)[:-1]}, "id": {to_json(_to_short_id(call.id))}}}'

    def render_answer(self, text: str, calls: Calls) -> Turn:
        # The calls' own mark opens them; only a text before them has the mark of a turn.
        before = f"{self.assistant[0]}{text}" if text else ""
        return Turn("none", before + self.render_calls(calls) + self.assistant[1], is_rendered=True)

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        contents = [
            to_json({"content": each.text, "call_id": _to_short_id(each.call_id or "")})
            for each in results
        ]
        return [
            Turn("none", f"[TOOL_RESULTS] {content}[/TOOL_RESULTS]", is_rendered=True)
            for content in contents
        ]


def _to_short_id(call_id: str) -> str:
    """Return an id of nine letters or digits: the vendor's template refuses any other."""
    if re.fullmatch(r"[a-zA-Z0-9]{9}", call_id):
        return call_id
    return hashlib.sha256(call_id.encode(errors="replace")).hexdigest()[:9]


_V1 = ChatTemplate(
    name="mistral",
    start="<s>",
    user=(" [INST] ", " [/INST]"),
    assistant=(" ", "</s>"),
    generation_prompt="",
    control_marks=r"\[/?[A-Z][A-Z_]+\]|</?s>",
    # The versions differ by the spaces in a template, and by nothing else.
    hint=r"\[INST\] ?\{prompt\} \[/INST\]",
    names=r"mi[sx]tral",  # the rest: the first models, and fine-tunes of them
)
_V3 = _V1._replace(
    name="mistral-v3",
    tool_format=MistralToolFormat,
    user=("[INST] ", "[/INST]"),
    hint=r"\[INST\] \{prompt\}\[/INST\]",
    names=r"mistral-7b-instruct-v0\.3|mixtral-8x22b|mistral-large|codestral",
)
_V3_TEKKEN = _V1._replace(
    name="mistral-v3-tekken",
    tool_format=MistralToolFormat,
    user=("[INST]", "[/INST]"),
    assistant=("", "</s>"),
    hint=r"\[INST\]\{prompt\}\[/INST\]",
    names=r"mistral-nemo|ministral|pixtral-12b",
)
_V7 = _V3._replace(
    name="mistral-v7",
    system=("[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"),
    hint=r"\[SYSTEM_PROMPT\] ",
    names=r"mistral-large.*2411|pixtral-large",
)
_V7_TEKKEN = _V3_TEKKEN._replace(
    name="mistral-v7-tekken",
    system=("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    hint=r"\[SYSTEM_PROMPT\]",
    names=r"mistral-small.*(?:250\d|24b|3\.\d)|magistral|devstral|mistral-medium",
)
FAMILY = Family(
    templates=(_V7_TEKKEN, _V7, _V3_TEKKEN, _V3, _V1),
    windows=(
        ContextWindow(r"mixtral-8x22b", 65_536),
        ContextWindow(r"mixtral", 32_768),
        ContextWindow(
            r"mistral-nemo|ministral|pixtral|mistral-large|mistral-small-3\.[12]", 131_072
        ),
        ContextWindow(r"mistral-small|codestral", 32_768),
        ContextWindow(r"mistral-7b-(?:instruct-)?v0\.[23]", 32_768),
        ContextWindow(r"mistral-7b", 8_192),
    ),
    vision_names=r"pixtral",
    thinking_names=r"magistral",
    chat_names=r"(?:mistral-(?:small|medium|large)|ministral|magistral|devstral)(?!.*base)",
    thinking_tags=(("[THINK]", "[/THINK]"),),
)

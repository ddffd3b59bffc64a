"""Moonshot's Kimi K2.

Sources: chat_template.jinja of moonshotai/Kimi-K2-Instruct and moonshotai/Kimi-K2-Thinking (in
models/templates/ of ggml-org/llama.cpp), and `max_position_embeddings` in config.json. A line
break that the former has behind its default system text alone is left out. Kimi K2.5
and K2.6 open the reasoning (renderers/kimi_k25.py of thinking-machines-lab/tinker-cookbook); they
are offered tools as JSON like K2, although the vendor's code writes types of TypeScript there. Ids
count the calls of a conversation, as the vendor asks in docs/tool_call_guidance.md. The tags
`◁think▷` are those of moonshotai/Kimi-VL-A3B-Thinking. The window of Kimi K2.5 is `max_length` of
its generation_config.json, as in aspctu/kimi25-bf16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family
from replicate_stream._model.families.tool_format import (
    CallMark,
    ToolFormat,
    ToolResult,
)
from replicate_stream._model.families.turn import Calls, Tools, Turn

_SECTION = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
_CALL, _ARGUMENTS, _END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"


class KimiToolFormat(ToolFormat):
    """A control token for each part of a call, and ids that count the calls of a conversation."""

    control_marks = r"<\|tool_calls?_[a-z_]+\|>"
    call_marks = (
        CallMark(
            _CALL,
            (_END,),
            header=r"\s*(?:functions\.)?([\w.\-]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>",
            header_start=r"\s*[\w.\-]*(?::\d*)?\s*(?:<[|\w]*)?",
            has_fence=False,
        ),
    )
    # The vendor's models also write the section in the singular (kimi_k2_tool_parser.py of vLLM).
    frame_marks = (*_SECTION, *(mark.replace("calls", "call") for mark in _SECTION))
    before_calls = ""
    has_control_tokens = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ids: list[str] = []
        self._id_by_call: dict[str, str] = {}

    def render_start(self, start: str, tools: Tools) -> str:
        return f"{start}<|im_system|>tool_declare<|im_middle|>{self.dump_tools(tools)}<|im_end|>"

    def render_calls(self, calls: Calls) -> str:
        written = ""
        for call in calls:
            self._id_by_call[call.id] = self._next_id(call.name)
            self._ids.append(self._id_by_call[call.id])
            written += f"{_CALL}{self._ids[-1]}{_ARGUMENTS}{self.dump_arguments(call)}{_END}"
        return f"{_SECTION[0]}{written}{_SECTION[1]}"

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        turns = []
        for result in results:
            call_id = self._id_by_call.get(result.call_id or "", self._next_id(result.name))
            head = f"<|im_system|>{result.name or 'tool'}<|im_middle|>## Return of {call_id}\n"
            turns.append(Turn("none", f"{head}{result.text}<|im_end|>", is_rendered=True))
        return turns

    def prefill(self, name: str | None) -> str:
        start = _SECTION[0] + _CALL
        return start if name is None else f"{start}{self._next_id(name)}{_ARGUMENTS}"

    def _next_id(self, name: str | None) -> str:
        return f"functions.{name or 'unknown'}:{len(self._ids)}"


_K2 = ChatTemplate(
    name="kimi-k2",
    system=("<|im_system|>system<|im_middle|>", "<|im_end|>"),
    default_system="You are Kimi, an AI assistant created by Moonshot AI.",
    user=("<|im_user|>user<|im_middle|>", "<|im_end|>"),
    assistant=("<|im_assistant|>assistant<|im_middle|>", "<|im_end|>"),
    tool=("<|im_system|>tool<|im_middle|>", "<|im_end|>"),
    tool_format=KimiToolFormat,
    control_marks=r"<\|im_[a-z]+\|>|\[EOS\]|\[BOS\]",
    hint=r"<\|im_middle\|>",
    names=r"kimi-?k2",
)
_THINKING = _K2._replace(
    name="kimi-k2-thinking",
    # A thought of an earlier answer is left out, and its tags are kept.
    assistant=("<|im_assistant|>assistant<|im_middle|><think></think>", "<|im_end|>"),
    generation_prompt=_K2.assistant[0],
    hint=None,
    names=r"kimi-?k2-thinking",
)
_K25 = _THINKING._replace(
    name="kimi-k2.5",
    generation_prompt=f"{_K2.assistant[0]}<think>",
    names=r"kimi-?k2[._-]?[5-9]\b",
)
FAMILY = Family(
    templates=(_K25, _THINKING, _K2),
    windows=(
        ContextWindow(r"kimi-k2(?:-thinking|\.5)", 262_144),
        ContextWindow(r"kimi-k2", 131_072),
    ),
    chat_names=r"kimi-?k2(?!.*base)",
    unopened_names=r"kimi-?k2[._-]?[5-9]\b",
    thinking_tags=(("<think>", "</think>"), ("\u25c1think\u25b7", "\u25c1/think\u25b7")),
)

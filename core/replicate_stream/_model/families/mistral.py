"""Mistral, Mixtral, Ministral, Codestral, Devstral and Magistral: one template for each tokenizer.

Source: tests/data/chat_templates of mistralai/mistral-common, which the vendor tests against its
own tokenizers: v1_spm (Mistral 7B v0.1 and v0.2, Mixtral 8x7B), v3_spm, v3 (Tekken), v7_spm, v7,
v11 and v13; and `max_position_embeddings` in config.json. The tokenizers based on SentencePiece
(spm) have a space behind a mark, Tekken has none. The system text of Ministral 3 Reasoning and of
Magistral is the one of models/templates/mistralai-Ministral-3-14B-Reasoning-2512.jinja of
ggml-org/llama.cpp. The templates of Mistral Small 3 and later fill in a text with the date of the
day, which is left out, because a prompt that changes from day to day could not be repeated. That of
Devstral describes the tools and the work space of OpenHands, which requests do not have: it is left
out too.

Mistral 7B v0.1 and v0.2 and Mixtral get `<s> [INST] a [/INST] b</s> [INST] c [/INST]`, as in
v1_spm, in the vendor's cookbook (concept-deep-dive/tokenization/chat_templates.md of
mistralai/cookbook) and in the current tokenizer_config.json. The model card of 7B v0.2 and older
files have `<s>[INST] a [/INST]b</s> [INST]`: their spaces lead to other tokens than the vendor's
tokenizer. A result that is JSON stands in v3 as JSON and not as a string, as that tokenizer writes
it and not as the templates do. A text before calls, which v3 refuses, is kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family
from replicate_stream._model.families.tool_format import CallMark, ToolFormat, ToolResult, to_json
from replicate_stream._model.families.turn import Calls, Tools, Turn
from replicate_stream._types.strict_json import parse_strict_json

if TYPE_CHECKING:
    from replicate_stream._types.messages import ToolCall

_CALLS = "[TOOL_CALLS]"


class MistralToolFormat(ToolFormat):
    """v3: tools, calls and results between marks of their own, outside of the turns.

    Attributes:
        space: The character behind a mark.
        is_offered_first: True if the tools stand before the first question, and not the last.
    """

    control_marks = r"\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|ARGS|CALL_ID)\]"
    call_marks = (
        CallMark(_CALLS),
        CallMark(
            _CALLS,
            # The first models of v11 write no [ARGS].
            header=r"\s*([\w.\-]+)\s*(?:(?:\[CALL_ID\]\s*[\w\-]*\s*)?\[ARGS\]|(?=\{))",
            header_start=r"\s*[\w.\-]*\s*(?:\[[\w\]\[\s\-]*)?",
            has_fence=False,
        ),
    )
    result_marks = ("[TOOL_RESULTS]",)
    calls_layout = (f"{_CALLS} [", ", ", "]")
    has_control_tokens = True
    space: ClassVar[str] = " "
    is_offered_first: ClassVar[bool] = False

    def insert_tools(self, tools: Tools, turns: list[Turn]) -> list[Turn]:
        text = f"[AVAILABLE_TOOLS]{self.space}{self.dump_tools(tools)}[/AVAILABLE_TOOLS]"
        users = [at for at, turn in enumerate(turns) if turn.role == "user"] or [0]
        at = users[0 if self.is_offered_first else -1]
        return [*turns[:at], Turn("none", text, is_rendered=True), *turns[at:]]

    def dump_call(self, call: ToolCall) -> str:
        return f'{super().dump_call(call)[:-1]}, "id": {to_json(_to_short_id(call.id))}}}'

    def render_answer(self, text: str, calls: Calls) -> Turn:
        # The calls' own mark opens them; only a text before them has the mark of a turn.
        before = f"{self.assistant[0]}{text}" if text else ""
        return Turn("none", before + self.render_calls(calls) + self.assistant[1], is_rendered=True)

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        texts = (f"[TOOL_RESULTS]{self.space}{self.dump_result(r)}[/TOOL_RESULTS]" for r in results)
        return [Turn("none", text, is_rendered=True) for text in texts]

    def dump_result(self, result: ToolResult) -> str:
        """Render a result between its marks."""
        content: Any = result.text
        with suppress(ValueError):
            content = parse_strict_json(content)  # as `_parse_json_content` of the tokenizer does
        return to_json({"content": content, "call_id": _to_short_id(result.call_id or "")})


class MistralTekkenToolFormat(MistralToolFormat):
    """v3 with Tekken: the same without spaces."""

    calls_layout = (f"{_CALLS}[", ", ", "]")
    space = ""


class MistralV7ToolFormat(MistralToolFormat):
    """v7: a result is the call's id and the text as it is."""

    def dump_result(self, result: ToolResult) -> str:
        call_id = _to_short_id(result.call_id or "")
        return f"{call_id}[TOOL_CONTENT]{self.space}{result.text}"


class MistralV7TekkenToolFormat(MistralV7ToolFormat):
    """v7 with Tekken: the same without spaces."""

    calls_layout = MistralTekkenToolFormat.calls_layout
    space = ""


class MistralV11ToolFormat(MistralV7TekkenToolFormat):
    """v11: a mark before each call, its id behind its name, and the arguments alone as JSON."""

    calls_layout = (_CALLS, _CALLS, "")

    def dump_call(self, call: ToolCall) -> str:
        return f"{call.name}[CALL_ID]{_to_short_id(call.id)}[ARGS]{self.dump_arguments(call)}"

    def prefill(self, name: str | None) -> str:
        return f"{_CALLS}{name or ''}"


class MistralV13ToolFormat(MistralV11ToolFormat):
    """v13: no ids, and the tools before the first turn."""

    is_offered_first = True

    def dump_call(self, call: ToolCall) -> str:
        return f"{call.name}[ARGS]{self.dump_arguments(call)}"

    def dump_result(self, result: ToolResult) -> str:
        return result.text

    def prefill(self, name: str | None) -> str:
        return _CALLS if name is None else f"{_CALLS}{name}[ARGS]"


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
    # The tokenizers' own list: a text may hold any other word in brackets, such as `[TODO]`.
    control_marks=r"\[/?(?:INST|AVAILABLE_TOOLS|SYSTEM_PROMPT|MODEL_SETTINGS|THINK|ARGS|CALL_ID|PREFIX"
    r"|MIDDLE|SUFFIX|TRANSCRIBE|(?:BEGIN_)?AUDIO|TOOL_[A-Z]+|IMG(?:_BREAK|_END)?)\]|</?s>",
    # The versions differ by the spaces in a template, and by nothing else.
    hint=r"\[INST\] ?\{prompt\} \[/INST\]",
    separator="\n\n",
    names=r"mi[sx]tral",  # the rest: the first models, and fine-tunes of them
)
_V3 = _V1._replace(
    name="mistral-v3",
    tool_format=MistralToolFormat,
    user=("[INST] ", "[/INST]"),
    is_system_in_last=True,
    hint=r"\[INST\] \{prompt\}\[/INST\]",
    names=r"mistral-7b-instruct-v0\.3|mixtral-8x22b|mistral-large|codestral",
)
_V3_TEKKEN = _V3._replace(
    name="mistral-v3-tekken",
    tool_format=MistralTekkenToolFormat,
    user=("[INST]", "[/INST]"),
    assistant=("", "</s>"),
    hint=r"\[INST\]\{prompt\}\[/INST\]",
    names=r"mistral-nemo|ministral|pixtral-12b",
)
_V7 = _V3._replace(
    name="mistral-v7",
    tool_format=MistralV7ToolFormat,
    system=("[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"),
    hint=r"\[SYSTEM_PROMPT\] ",
    names=r"mistral-large.*2411|pixtral-large",
)
_V7_TEKKEN = _V3_TEKKEN._replace(
    name="mistral-v7-tekken",
    tool_format=MistralV7TekkenToolFormat,
    system=("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    hint=r"\[SYSTEM_PROMPT\]",
    names=r"mistral-small.*(?:250\d|24b|3\.\d)",
)
_V11 = _V7_TEKKEN._replace(
    name="mistral-v11",
    tool_format=MistralV11ToolFormat,
    hint=None,  # its turns, and those of v13, look like those of v7
    names=r"mistral-small.*(?:3\.2|2506)|devstral.*2505",
)
_V13 = _V11._replace(
    name="mistral-v13",
    tool_format=MistralV13ToolFormat,
    names=r"devstral|mistral-(?:medium|large-?3|large.*2512)|ministral-?(?:3-|.*2512)",
)
_V13_REASONING = _V13._replace(
    name="mistral-v13-reasoning",
    default_system="# HOW YOU SHOULD THINK AND ANSWER\n\nFirst draft your thinking process (inner "
    "monologue) until you arrive at a response. Format your response using Markdown, and use LaTeX "
    "for any mathematical equations. Write both your thoughts and the response in the same "
    "language as the input.\n\nYour thinking process must follow the template below:[THINK]Your "
    "thoughts or/and draft, like working through an exercise on scratch paper. Be as casual and as "
    "long as you want until you are confident to generate the response to the user.[/THINK]Here, "
    "provide a self-contained response.",
    names=r"magistral|ministral.*reasoning",
)
FAMILY = Family(
    templates=(_V13_REASONING, _V13, _V11, _V7_TEKKEN, _V7, _V3_TEKKEN, _V3, _V1),
    windows=(
        ContextWindow(r"mixtral-8x22b|zephyr-orpo-141b", 65_536),
        ContextWindow(r"mixtral|mistrallite|flatdolphinmaid-8x7b", 32_768),
        ContextWindow(
            r"mistral-nemo|ministral|pixtral|mistral-large|mistral-small-3\.[12]", 131_072
        ),
        ContextWindow(r"mistral-small|codestral", 32_768),
        ContextWindow(r"mistral-7b-(?:instruct-)?v0\.[23]", 32_768),
        # DocsGPT, Genstruct, Loyal Piano, Neural Chat and Zephyr are tunings of it.
        ContextWindow(
            r"mistral-7b|7b-mistral|genstruct-7b|loyal-piano-m7|neural-chat-7b|zephyr-7b", 8_192
        ),
    ),
    vision_names=r"pixtral",
    thinking_names=r"magistral|ministral.*reasoning",
    chat_names=r"(?:mistral-(?:small|medium|large)|ministral|magistral|devstral)(?!.*base)",
    thinking_tags=(("[THINK]", "[/THINK]"),),
)

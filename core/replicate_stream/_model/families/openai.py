"""OpenAI's models: GPT 4o, 4.1 and 5 and the o series, which take messages; gpt-oss and harmony.

Sources: the table of models at https://platform.openai.com/docs/models; chat_template.jinja of
openai/gpt-oss-120b (in models/templates/ of ggml-org/llama.cpp), and docs/format.md of
openai/harmony, which has no blank line behind instructions without tools. The
template cannot express parallel calls, nor types of nested objects without stray white space: calls
follow each other, and nested fields are written like the outer ones. A text before calls is
commentary, as the document has preambles; the template takes it for analysis. The line with the
current date is left out, because a prompt that changes from day to day could not be repeated.
Windows of GPT 5.4 and 5.5: https://docs.oxen.ai/inference-api/reference/models/ (pages
gpt-5-4-2026-03-05.md, gpt-5-5-2026-04-23.md); of 5.4 mini:
https://vercel.com/ai-gateway/models/openai/gpt-5.4-mini.md; of GPT 5 pro: GPT5Pro in
https://api.koog.ai. For later ones no source was found.
That o1-mini refuses the role `system`: docs/replicate-api.md 5.4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family
from replicate_stream._model.families.tool_format import (
    CallMark,
    ToolFormat,
    ToolResult,
    to_json,
)
from replicate_stream._model.families.turn import Calls, Tools, Turn

_COMMENTARY = "<|channel|>commentary"
_TYPES: Mapping[Any, str] = {"integer": "number"}


class HarmonyToolFormat(ToolFormat):
    """Tools as types of TypeScript; calls and results as messages of the commentary channel."""

    control_marks = r"<\|[a-z]+\|>"
    call_marks = (
        CallMark(
            f"{_COMMENTARY} to=",
            ("<|call|>",),
            header=r"(?:functions\.)?([^<\s]+)<\|message\|>",
            header_start=r"[^<\s]*(?:<[|a-z]*)?",
            has_fence=False,
            is_message=True,
        ),
    )
    result_marks = ("<|start|>functions.",)
    has_control_tokens = True

    def render_start(self, start: str, tools: Tools) -> str:
        note = "\nCalls to these tools must go to the commentary channel: 'functions'."
        return start.removesuffix("<|end|>") + note + "<|end|>"

    def render_tools(self, tools: Tools) -> str:
        types = "".join(
            f"// {tool.description}\ntype {tool.name} = {_to_signature(tool.parameters)};\n\n"
            for tool in tools
        )
        return self.neutralize(
            f"# Tools\n\n## functions\n\nnamespace functions {{\n\n{types}}} // namespace functions"
        )

    def render_answer(self, text: str, calls: Calls) -> Turn:
        start = self.assistant[0].partition("<|channel|>")[0]
        preamble = f"{start}{_COMMENTARY}<|message|>{text}<|end|>" if text else ""
        listed = "".join(
            f"{start}{self.prefill(call.name)}{self.dump_arguments(call)}<|call|>" for call in calls
        )
        return Turn("none", preamble + listed, is_rendered=True)

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        return [
            Turn(
                "none",
                f"<|start|>functions.{result.name} to=assistant{_COMMENTARY}<|message|>"
                f"{to_json(result.text)}<|end|>",
                is_rendered=True,
            )
            for result in results
        ]

    def prefill(self, name: str | None) -> str:
        start = " to=functions."
        return start if name is None else f"{start}{name}{_COMMENTARY} json<|message|>"


def _to_signature(parameters: Mapping[str, Any]) -> str:
    return (
        f"(_: {_to_typescript(parameters)}) => any" if parameters.get("properties") else "() => any"
    )


def _to_typescript(schema: Any) -> str:
    """Render a JSON schema as a type of TypeScript, with descriptions and defaults as comments."""
    if not isinstance(schema, Mapping):
        return "any"
    kind: Any = schema.get("type", "any")
    if variants := schema.get("oneOf") or schema.get("anyOf"):
        rendered = " | ".join(map(_to_typescript, variants))
    elif isinstance(kind, list):
        rendered = " | ".join(str(_TYPES.get(each, each)) for each in kind)
    elif kind == "array":
        rendered = f"{_to_typescript(schema.get('items'))}[]"
    elif kind == "object":
        rendered = f"{{\n{_to_fields(schema)}}}" if schema.get("properties") else "object"
    elif kind == "string" and schema.get("enum"):
        rendered = " | ".join(f'"{each}"' for each in schema["enum"])
    else:
        rendered = _TYPES.get(kind, kind)
    return f"{rendered} | null" if schema.get("nullable") else rendered


def _to_fields(schema: Mapping[str, Any]) -> str:
    fields = ""
    for name, spec in schema["properties"].items():
        known: Mapping[str, Any] = spec if isinstance(spec, Mapping) else {}
        if description := known.get("description"):
            fields += f"// {description}\n"
        mark = "" if name in schema.get("required", ()) else "?"
        fields += f"{name}{mark}: {_to_typescript(spec)},"
        if "default" in known:
            default = known["default"]
            is_plain = isinstance(default, str) and "enum" in known
            fields += f" // default: {default if is_plain else json.dumps(default)}"
        fields += "\n"
    return fields


_GPT_OSS = ChatTemplate(
    name="gpt-oss",
    start="<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
    "Knowledge cutoff: 2024-06\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, "
    "final. Channel must be included for every message.<|end|>",
    system=("<|start|>developer<|message|>", "<|end|>"),
    system_frame=("# Instructions\n\n", ""),
    user=("<|start|>user<|message|>", "<|end|>"),
    # The analysis before an earlier answer is left out.
    assistant=("<|start|>assistant<|channel|>final<|message|>", "<|end|>"),
    generation_prompt="<|start|>assistant",
    tool_format=HarmonyToolFormat,
    control_marks=r"<\|[a-z]+\|>",
    hint=r"<\|start\|>",
    names=r"gpt-?oss",
)
FAMILY = Family(
    templates=(_GPT_OSS,),
    windows=(
        ContextWindow(r"gpt-4\.1", 1_047_576, 32_768),
        ContextWindow(r"gpt-5-chat", 128_000, 16_384),
        ContextWindow(r"gpt-5-pro", 400_000, 272_000),
        ContextWindow(r"gpt-5\.[45](?!-(?:mini|nano))", 1_050_000, 128_000),
        ContextWindow(r"gpt-5(?:\.[1-3]|\.4-mini)?(?![.\d])", 400_000, 128_000),
        ContextWindow(r"gpt-4o|chatgpt-4o", 128_000, 16_384),
        ContextWindow(r"gpt-oss", 131_072),
        ContextWindow(r"\bo1-mini\b", 128_000, 65_536),
        # Whole words only: a name such as `turbo3` contains `o3` too.
        ContextWindow(r"\bo[134](?:-mini|-pro)?\b", 200_000, 100_000),
    ),
    vision_names=r"gpt-4o|gpt-4\.1|gpt-5|\bo[134]\b",
    chat_names=r"gpt-oss",
    systemless_names=r"\bo1-(?:mini|preview)\b",
    hosted_names=r"\b(?:chat)?gpt-[345]|\bo[134]\b",
)

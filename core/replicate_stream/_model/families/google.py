"""Google's Gemma 1 to 4, instruction tuned; Gemini, which takes messages; and Flan-T5.

Sources: `chat_template` of google/gemma-7b-it and google/gemma-3-12b-it, tokenizer_config.json;
models/templates/google-gemma-4-31B-it.jinja of ggml-org/llama.cpp; `max_position_embeddings` in
config.json; the table of models at https://ai.google.dev/gemini-api/docs/models; the model card of
google/flan-t5-xl. Gemma 1 to 3 have no system role: the template of Gemma 3 puts the text before
the first user turn, as here. Their templates offer no tools. Gemma 4 answers behind an empty
thought, which is the default of its template.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from replicate_stream._model.families.call_syntax import parse_gemma
from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import (
    CallMark,
    ToolFormat,
    ToolResult,
    load_arguments,
)
from replicate_stream._model.families.turn import Calls, Tools, Turn

_QUOTE = '<|"|>'
_HANDLED = {
    "type", "description", "enum", "items", "nullable", "properties", "required",
    "title", "default",
}  # fmt: skip


class Gemma4ToolFormat(ToolFormat):
    """Declarations and calls in a notation of its own, in which a text stands between `<|"|>`.

    Results, and the answer behind them, go on in the turn of the calls. Unlike in the template, a
    text before calls stays before them, and a schema keeps the keys that the template has no place
    for, such as `anyOf`, and properties named like a key, such as `type`.
    """

    control_marks = r"<\|?tool(?:_call|_response)?\|?>"
    call_marks = (
        CallMark(
            "<|tool_call>",
            ("<tool_call|>",),
            header=r"\s*call:([\w.\-]+)(?=\{)",
            header_start=r"\s*(?:c(?:a(?:l(?:l(?::[\w.\-]*)?)?)?)?)?",
            parse=parse_gemma,
        ),
    )
    result_marks = ("<|tool_response>",)
    has_control_tokens = True
    after_results = ""

    def render_tools(self, tools: Tools) -> str:
        return "".join(
            f"<|tool>declaration:{tool.name}{{description:{self._dump(tool.description)}"
            f",parameters:{{{self._dump_schema(tool.parameters, is_root=True)}}}}}<tool|>"
            for tool in tools
        )

    def join_system(self, system: str, offer: str) -> str:
        return system + offer

    def render_answer(self, text: str, calls: Calls) -> Turn:
        return Turn("none", self.assistant[0] + text + self.render_calls(calls), is_rendered=True)

    def render_calls(self, calls: Calls) -> str:
        members = (self._dump_members(load_arguments(call)) for call in calls)
        return "".join(
            f"<|tool_call>call:{call.name}{{{arguments}}}<tool_call|>"
            for call, arguments in zip(calls, members, strict=True)
        )

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        text = "".join(
            f"<|tool_response>response:{each.name or 'unknown'}"
            f"{{value:{_QUOTE}{each.text}{_QUOTE}}}<tool_response|>"
            for each in results
        )
        return [Turn("none", text, is_rendered=True)]

    def prefill(self, name: str | None) -> str:
        return f"<|tool_call>call:{name or ''}"

    def _dump(self, value: Any, *, is_quoted: bool = True) -> str:
        """Render a value; the keys of objects in it are quoted in schemas, and not in calls."""
        if isinstance(value, str):
            return f"{_QUOTE}{self.neutralize(value)}{_QUOTE}"
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, Mapping):
            return f"{{{self._dump_members(value, is_quoted=is_quoted)}}}"
        if isinstance(value, Sequence):
            return f"[{','.join(self._dump(each, is_quoted=is_quoted) for each in value)}]"
        return str(value)

    def _dump_members(self, members: Any, *, is_quoted: bool = False) -> str:
        if not isinstance(members, Mapping):  # arguments as the model wrote them
            return self.neutralize(str(members))
        rendered = (
            (
                self._dump(key) if is_quoted else self.neutralize(key),
                self._dump(value, is_quoted=is_quoted),
            )
            for key, value in _sort(members)
        )
        return ",".join(f"{key}:{value}" for key, value in rendered)

    def _dump_schema(self, schema: Mapping[str, Any], *, is_root: bool = False) -> str:
        """Render the members of a JSON schema, with its types in capitals."""
        kinds = schema.get("type")
        kind = str(kinds if isinstance(kinds, str) else kinds[0] if kinds else "").upper()
        members: dict[str, str] = {}
        if schema.get("description") and not is_root:
            members["description"] = self._dump(schema["description"])
        if schema.get("enum"):
            members["enum"] = self._dump(schema["enum"])
        if isinstance(schema.get("items"), Mapping):
            members["items"] = f"{{{self._dump_items(schema['items'])}}}"
        for key in sorted(schema.keys() - _HANDLED):
            members[self.neutralize(key)] = self._dump(schema[key])
        if schema.get("nullable"):
            members["nullable"] = "true"
        properties = schema.get("properties") or {}
        if kind == "OBJECT" and (properties or not is_root):
            members["properties"] = f"{{{self._dump_properties(properties)}}}"
        if schema.get("required"):
            members["required"] = self._dump(schema["required"])
        members["type"] = self._dump(kind)
        return ",".join(f"{key}:{value}" for key, value in members.items())

    def _dump_properties(self, properties: Mapping[str, Any]) -> str:
        return ",".join(
            f"{self.neutralize(key)}:{{{self._dump_schema(schema)}}}"
            for key, schema in _sort(properties)
            if isinstance(schema, Mapping)
        )

    def _dump_items(self, items: Mapping[str, Any]) -> str:
        members = []
        for key, value in _sort(items):
            if key == "properties":
                text = f"{{{self._dump_properties(value)}}}"
            elif key == "type":
                text = self._dump(
                    value.upper() if isinstance(value, str) else [v.upper() for v in value]
                )
            else:
                text = self._dump(value)
            members.append(f"{self.neutralize(key)}:{text}")
        return ",".join(members)


def _sort(members: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(members.items(), key=lambda member: member[0].lower())


_GEMMA = ChatTemplate(
    name="gemma",
    start="<bos>",
    **mark_roles("<start_of_turn>{}\n", "<end_of_turn>\n", system=None, assistant="model"),
    trimmed_roles=("user", "assistant"),
    control_marks=r"<(?:start_of_turn|end_of_turn|bos|eos)>",
    hint=r"<start_of_turn>",
    names=r"gemma",
)
_GEMMA4 = ChatTemplate(
    name="gemma4",
    start="<bos>",
    **mark_roles("<|turn>{}\n", "<turn|>\n", assistant="model"),
    generation_prompt="<|turn>model\n<|channel>thought\n<channel|>",
    tool_format=Gemma4ToolFormat,
    trimmed_roles=("user", "assistant"),
    is_system_trimmed=True,
    control_marks=r"<\|(?:[a-z_]+\|?|\"\|)>|<[a-z_]+\|>|<(?:bos|eos)>",
    hint=r"<\|turn>",
    names=r"gemma-?4",
)
FAMILY = Family(
    # The pattern of Gemma 1 to 3 matches the names of all.
    templates=(_GEMMA4, _GEMMA),
    windows=(
        ContextWindow(r"gemini-2\.0", 1_048_576, 8_192),
        ContextWindow(r"gemini-(?:2\.5|3)", 1_048_576, 65_536),
        ContextWindow(r"flan-t5", 512),
        ContextWindow(r"gemma-?4-(?:e2b|e4b)", 131_072),
        ContextWindow(r"gemma-?4", 262_144),
        ContextWindow(r"gemma-?3-(?:1b|270m)", 32_768),
        ContextWindow(r"gemma-?3", 131_072),
        ContextWindow(r"gemma", 8_192),
    ),
    vision_names=r"gemini|gemma-?(?:4|3-(?:4|12|27)b)",
    thinking_tags=(("<|channel>thought\n", "<channel|>"),),
    hosted_names=r"gemini-",
)

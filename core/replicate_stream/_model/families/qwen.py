"""Qwen, QwQ and QVQ: ChatML, with tool results in the user's turn; Qwen 3 Coder's XML.

Sources: `chat_template` of Qwen/Qwen2-7B-Instruct, Qwen2.5-7B-Instruct, Qwen2.5-Math-7B-Instruct,
QwQ-32B-Preview, QwQ-32B, Qwen3-8B, Qwen3-30B-A3B-Thinking-2507, Qwen3-235B-A22B-Instruct-2507 and
Qwen3-VL-8B-Instruct, tokenizer_config.json; models/templates/Qwen3.5-4B.jinja of ggml-org/llama.cpp
and trl/chat_templates/qwen3_6.jinja of huggingface/trl for 3.5 and 3.6, with their default, which
is to reason; and `max_position_embeddings` in config.json. The thought that Qwen 3 writes into an
answer at the very end of a conversation is left out, because the model is to answer there. The
first Qwen 1.5 had no full stop behind its default system text; here all have it, as Qwen 2.
Further windows: `context_length` in xinference/model/llm/llm_family.json of xorbitsai/inference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from replicate_stream._model.families.call_syntax import parse_tags
from replicate_stream._model.families.chatml import CHATML
from replicate_stream._model.families.family import ContextWindow, Family
from replicate_stream._model.families.tool_format import (
    CallMark,
    HermesToolFormat,
    ToolResult,
    to_json,
)
from replicate_stream._model.families.turn import Calls, Tools, Turn

if TYPE_CHECKING:
    from replicate_stream._types.messages import ToolSpec

# The names may be quoted, as attributes are in XML.
_NAME = r"[\"']?([^<>\s\"']+)[\"']?"
_PARAMETER = r"<parameter=[\"']?(?P<key>[^<>]+?)[\"']?>\n?(?P<value>[\s\S]*?)\n?</parameter>"
_EMPTY_THOUGHT = "<think>\n\n</think>\n\n"
_CODER_SYSTEM = (
    "You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks."
)


class QwenToolFormat(HermesToolFormat):
    """The format of Hermes, but a result is the user's and carries no name."""

    result_role = "user"
    has_result_names = False


class QwqToolFormat(QwenToolFormat):
    """The same, but a blank line stands before the offer without a system text too."""

    def join_system(self, system: str, offer: str) -> str:
        return f"{system}\n\n{offer}"


class QwenCoderToolFormat(QwenToolFormat):
    """Tools and calls as XML, in which a value that is not text is JSON or Python's `str`.

    Source: `chat_template` of Qwen/Qwen3-Coder-480B-A35B-Instruct, tokenizer_config.json, which is
    examples/tool_chat_template_qwen3coder.jinja of vllm-project/vllm.
    """

    control_marks = rf"{HermesToolFormat.control_marks}|</?(?:function|parameter)(?:=[^<>\n]*)?>"
    call_marks = (
        *QwenToolFormat.call_marks,
        *(
            CallMark(
                opening,
                (closing,),
                header=rf"\s*{function}\s*{_NAME}\s*>",
                header_start=rf"\s*(?:{function[:1]}[^<>\s]*(?:\s+[^<>\s]*)?)?\s*",
                # Some models put all calls between one pair of the outer tags.
                parse=parse_tags(_PARAMETER, end, end and rf"<function=\s*{_NAME}\s*>"),
                needs_closing=not end,
            )
            for opening, closing, function, end in (
                ("<tool_call>", "</tool_call>", "<function=", "</function>"),
                ("<function=", "</function>", "", ""),
            )
        ),
    )
    before_calls = "\n\n"

    def render_tools(self, tools: Tools) -> str:
        listed = self.list_tools(tools)
        return (
            "# Tools\n\nYou have access to the following functions:\n\n"
            f"<tools>{listed}\n</tools>\n\n"
            "If you choose to call a function ONLY reply in the following format with NO suffix:"
            "\n\n<tool_call>\n<function=example_function_name>\n"
            "<parameter=example_parameter_1>\nvalue_1\n</parameter>\n"
            "<parameter=example_parameter_2>\nThis is the value for the second parameter\n"
            "that can span\nmultiple lines\n</parameter>\n</function>\n</tool_call>\n\n"
            "<IMPORTANT>\nReminder:\n- Function calls MUST follow the specified format: an inner "
            "<function=...></function> block must be nested within <tool_call></tool_call> XML "
            "tags\n- Required parameters MUST be specified\n- You may provide optional reasoning "
            "for your function call in natural language BEFORE the function call, but NOT after\n"
            "- If there is no function call available, answer the question like normal with your "
            "current knowledge and do not tell the user about function calls\n</IMPORTANT>"
        )

    def list_tools(self, tools: Tools) -> str:
        """Render the tools, each on lines of its own."""
        return "".join(map(self._render_tool, tools))

    def join_system(self, system: str, offer: str) -> str:
        return f"{system or _CODER_SYSTEM}\n\n{offer}"

    def render_calls(self, calls: Calls) -> str:
        layout = "<parameter={key}>\n{value}\n</parameter>\n"
        return "\n".join(
            f"<tool_call>\n<function={self.neutralize_name(call.name)}>\n"
            f"{self.dump_parameters(call, layout, self.dump_value)}</function>\n</tool_call>"
            for call in calls
        )

    def dump_value(self, value: Any) -> str:
        """Render the value of an argument that is not text."""
        return _dump(value)

    def render_answer(self, text: str, calls: Calls) -> Turn:
        return super().render_answer(text.strip(), calls)

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        written = "".join(f"<tool_response>\n{each.text}\n</tool_response>\n" for each in results)
        return [Turn(self.result_role, written, is_rendered=True)]

    def prefill(self, name: str | None) -> str:
        start = "<tool_call>\n<function="
        return start if name is None else f"{start}{self.neutralize_name(name)}>\n"

    def _render_tool(self, tool: ToolSpec) -> str:
        parameters = dict(tool.parameters)
        properties: Mapping[str, Any] = parameters.get("properties") or {}
        listed = "".join(
            f"\n<parameter>{self._tag('name', name)}{self._render_schema(schema)}\n</parameter>"
            for name, schema in properties.items()
        )
        others = {k: v for k, v in parameters.items() if k not in ("type", "properties")}
        return (
            f"\n<function>{self._tag('name', tool.name)}"
            f"{self._tag('description', tool.description.strip())}\n<parameters>{listed}"
            f"{self._render_tags(others)}\n</parameters>\n</function>"
        )

    def _render_schema(self, schema: Any) -> str:
        """Render the schema of one parameter, its type and description first."""
        if not isinstance(schema, Mapping):
            return ""
        tags = {"type": str(schema["type"])} if "type" in schema else {}
        if "description" in schema:
            tags["description"] = str(schema["description"]).strip()
        others = {k: v for k, v in schema.items() if k not in ("name", *tags)}
        return self._render_tags({**tags, **others})

    def _render_tags(self, values: Mapping[str, Any]) -> str:
        return "".join(self._tag(key, value) for key, value in values.items())

    def _tag(self, key: str, value: Any) -> str:
        text = value if isinstance(value, str) else _dump(value)
        return "\n" + self.neutralize(f"<{key}>{text}</{key}>")


class Qwen35ToolFormat(QwenCoderToolFormat):
    """The calls of Qwen 3 Coder; the tools are JSON, and the system text follows them."""

    is_before_system = True

    def join_system(self, system: str, offer: str) -> str:
        return HermesToolFormat.join_system(self, system, offer)

    def render_answer(self, text: str, calls: Calls) -> Turn:
        separator = self.before_calls if text.removesuffix(_EMPTY_THOUGHT) else ""
        return Turn("assistant", text + separator + self.render_calls(calls), is_rendered=True)

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        return HermesToolFormat.render_results(self, results)

    def list_tools(self, tools: Tools) -> str:
        return "".join(f"\n{self.dump_tool(tool)}" for tool in tools)


class Qwen36ToolFormat(Qwen35ToolFormat):
    """The same, with every value that is not text as JSON."""

    def dump_value(self, value: Any) -> str:
        return to_json(value)


def _dump(value: Any) -> str:
    return to_json(value) if isinstance(value, Mapping | list | tuple) else str(value)


# Without a hint: its turns look like those of any other model on ChatML.
_QWEN3 = CHATML._replace(
    control_marks=r"<\|(?:im_start|im_end|endoftext)\|>",
    hint=None,
    names=r"qwen-?3",
    tool_format=QwenToolFormat,
    thought_end=r"</think>\n*",
)
_INSTRUCT3 = _QWEN3._replace(names=r"qwen-?3.*(?:instruct|-vl)", thought_end=None)
_CODER3 = _INSTRUCT3._replace(names=r"qwen-?3.*coder", tool_format=QwenCoderToolFormat)
_THINKING = _QWEN3._replace(
    names=r"qwen-?3.*thinking", generation_prompt="<|im_start|>assistant\n<think>\n"
)
_QWQ = _THINKING._replace(
    names=r"qwq(?!.*preview)", tool_format=QwqToolFormat, thought_end=r"</think>\n*|\A\n+"
)
_QWEN35 = _THINKING._replace(
    names=r"qwen-?3[._][5-9]",
    tool_format=Qwen35ToolFormat,
    trimmed_roles=("user", "assistant", "tool"),
    is_system_trimmed=True,
    empty_thoughts=("", _EMPTY_THOUGHT),
)
_QWEN36 = _QWEN35._replace(names=r"qwen-?3[._][6-9]", tool_format=Qwen36ToolFormat)
_PREVIEW = _INSTRUCT3._replace(
    names=r"qwq|qvq",
    default_system="You are a helpful and harmless assistant. You are Qwen developed by Alibaba. "
    "You should think step-by-step.",
)
_MATH = _INSTRUCT3._replace(
    names=r"qwen-?2[._]?5-?math",
    default_system="Please reason step by step, and put your final answer within \\boxed{}.",
)
_QWEN25 = _INSTRUCT3._replace(
    names=r"qwen-?2[._]?5(?!-?(?:vl|omni))",
    default_system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
)
_QWEN = _QWEN25._replace(names=r"qwen", default_system="You are a helpful assistant.")
FAMILY = Family(
    templates=(
        _CODER3,
        _QWEN36,
        _QWEN35,
        _THINKING,
        _QWQ,
        _INSTRUCT3,
        _QWEN3,
        _PREVIEW,
        _MATH,
        _QWEN25,
        _QWEN,
    ),
    windows=(
        ContextWindow(r"qwen-?3(?:.*2507|[._-]?(?:coder|next|omni|vl)|[._][5-8])", 262_144),
        ContextWindow(r"qwq(?!.*preview)", 131_072),
        ContextWindow(r"qwen-?(?:3|2\.5|2|1\.5)|qwq|qvq|minicpm-v-?2[._]?6", 32_768),
    ),
    thinking_names=r"qwq",
    # From version 3 on only the untuned models have a suffix, `base`.
    chat_names=r"qwen-?3(?!.*base)|qwq",
    # The templates of QwQ and of the models that always think end with the opening tag.
    unopened_names=r"qwq|qwen-?3(?:.*thinking|[._][5-9](?!.*instruct))",
    thinking_tags=(("<think>", "</think>"),),
)

"""ChatGLM 3, GLM 4, and GLM 4.5 and later.

Sources: `chat_template` of THUDM/chatglm3-6b, tokenizer_config.json, and PROMPT.md of
THUDM/ChatGLM3 for the newline after each role, where the template has a space too (its `[gMASK]sop`
are two tokens that the tokenizer adds itself); `chat_template` of THUDM/glm-4-9b-chat,
tokenizer_config.json; chat_template.jinja of zai-org/GLM-4.5, GLM-4.6 and GLM-4.7-Flash (in
models/templates/ of ggml-org/llama.cpp), and GLM-5.1 (packages/jinja/test/e2e.test.js of
huggingface/huggingface.js); `max_position_embeddings` of zai-org/GLM-4.5. GLM 4 is
offered tools in Hermes's format: its template does it in a Chinese system text of its own.
GLM-4-0414 has the same marks (swift/llm/template/template/glm.py of modelscope/ms-swift; the
vendor's own template was not found), and offers tools in Chinese too. Thoughts behind the last
question stay as they are written; the templates strip white space in them. GLM 4.5 to 4.7 give each
system text a turn; here they share one.
Further windows: `context_length` in xinference/model/llm/llm_family.json of xorbitsai/inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from replicate_stream._model.families.call_syntax import parse_tags
from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import (
    CallMark,
    HermesToolFormat,
    ToolFormat,
    ToolResult,
)
from replicate_stream._model.families.turn import Calls, Tools, Turn

if TYPE_CHECKING:
    from replicate_stream._types.messages import ToolSpec

_ROLES = r"<\|(?:system|user|assistant|observation)\|>"


class GlmToolFormat(ToolFormat):
    """A name and pairs of keys and values between tags, one on a line.

    Attributes:
        line: The end of a line: empty for GLM 4.7, which writes all in one.
        before_name: The tags behind the mark of an answer, as far as that does not hold them.
    """

    control_marks = r"</?tool_(?:call|response)>|</?arg_(?:key|value)>|</?tools>"
    call_marks = (
        *HermesToolFormat.call_marks,
        *(
            CallMark(
                "<tool_call>",
                ("</tool_call>",),
                header=rf"\s*([\w.\-]+)\s*(?={follows})",
                header_start=r"\s*[\w.\-]*\s*(?:<[/a-z_]*)?",
                parse=parse_tags(
                    r"<arg_key>(?P<key>[^<>]+)</arg_key>\s*"
                    r"<arg_value>(?P<value>[\s\S]*?)</arg_value>"
                ),
                needs_closing=True,
                # In the format of another model a name alone is no call.
                is_own=follows == "</tool_call>",
            )
            for follows in ("<arg_key>", "</tool_call>")
        ),
    )
    result_marks = ("<tool_response>",)
    is_before_system = True
    has_own_turn = True
    line: ClassVar[str] = "\n"
    before_name: ClassVar[str] = "\n<think></think>\n"

    def render_tools(self, tools: Tools) -> str:
        listed = "\n".join(map(self.dump_offer, tools))
        pairs = "".join(
            f"<arg_key>{{arg-key-{n}}}</arg_key>{self.line}"
            f"<arg_value>{{arg-value-{n}}}</arg_value>{self.line}"
            for n in (1, 2)
        )
        return (
            "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
            "You are provided with function signatures within <tools></tools> XML tags:\n"
            f"<tools>\n{listed}\n</tools>\n\n"
            "For each function call, output the function name and arguments within the following "
            f"XML format:\n<tool_call>{{function-name}}{self.line}{pairs}...{self.line}</tool_call>"
        )

    def dump_offer(self, tool: ToolSpec) -> str:
        """Render an offered tool as JSON."""
        return self.dump_tool(tool)

    def render_calls(self, calls: Calls) -> str:
        layout = f"<arg_key>{{key}}</arg_key>{self.line}<arg_value>{{value}}</arg_value>{self.line}"
        return self.line.join(
            f"<tool_call>{call.name}{self.line}{self.dump_parameters(call, layout)}</tool_call>"
            for call in calls
        )

    def render_answer(self, text: str, calls: Calls) -> Turn:
        parts = [part for part in (text, self.render_calls(calls)) if part]
        return Turn("assistant", self.line.join(parts), is_rendered=True)

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        listed = self.line.join(
            f"<tool_response>{self.line}{result.text}{self.line}</tool_response>"
            for result in results
        )
        return [Turn("tool", listed, is_rendered=True)]

    def prefill(self, name: str | None) -> str:
        return f"{self.before_name}<tool_call>" + ("" if name is None else f"{name}{self.line}")


class Glm47ToolFormat(GlmToolFormat):
    """The tags of GLM 4.5 without line breaks."""

    line = ""
    before_name = ""

    def render_tools(self, tools: Tools) -> str:
        return f"\n{super().render_tools(tools)}"


class Glm5ToolFormat(Glm47ToolFormat):
    """The same, but tools are offered without the frame of OpenAI's format."""

    before_name = "<think></think>"

    def dump_offer(self, tool: ToolSpec) -> str:
        return self.dump_function(tool)


_GLM4 = ChatTemplate(
    name="glm4",
    start="[gMASK]<sop>",
    **mark_roles("<|{}|>\n", "", tool="observation"),
    control_marks=rf"{_ROLES}|\[gMASK\]|<sop>",
    hint=r"\[gMASK\] ?<sop>",
    names=r"glm-?4|glm-z1",
)
_GLM45 = _GLM4._replace(
    name="glm4.5",
    # A thought of an earlier answer is left out, and its tags are kept.
    assistant=("<|assistant|>\n<think></think>\n", ""),
    generation_prompt="<|assistant|>",
    trimmed_roles=("assistant",),
    is_empty_trimmed=True,
    thought_end="</think>",
    hint=None,
    names=r"glm-?4[._-][56]",
    tool_format=GlmToolFormat,
)
_GLM47 = _GLM45._replace(
    name="glm4.7",
    system=("<|system|>", ""),
    user=("<|user|>", ""),
    assistant=("<|assistant|></think>", ""),
    tool=("<|observation|>", ""),
    generation_prompt="<|assistant|><think>",
    names=r"glm-?4[._-]7",
    tool_format=Glm47ToolFormat,
)
_GLM5 = _GLM47._replace(
    name="glm5",
    assistant=("<|assistant|>", ""),
    empty_thoughts=("</think>", "<think></think>"),
    names=r"glm-?5",
    tool_format=Glm5ToolFormat,
)
_CHATGLM3 = ChatTemplate(
    name="chatglm3",
    **mark_roles("<|{}|>\n", "\n", tool="observation"),
    control_marks=_ROLES,
    hint=r"<\|observation\|>",
    names=r"chatglm3",
)
FAMILY = Family(
    templates=(_GLM5, _GLM47, _GLM45, _GLM4, _CHATGLM3),
    windows=(
        ContextWindow(r"glm-?5[._-]2", 1_048_576),
        ContextWindow(r"glm-?(?:4[._-][67]|5)", 202_752),
        ContextWindow(r"glm-?4[._-]5|glm-?4-9b-chat", 131_072),
        ContextWindow(r"glm-?4-.*0414", 32_768),
        ContextWindow(r"glm-?4v", 8_192),
    ),
    # The untuned models are those named `base`.
    chat_names=r"glm-?[45](?!.*base)|glm-z1",
    unopened_names=r"glm-?4[._-]7|glm-?5",
    thinking_tags=(("<think>", "</think>"),),
)

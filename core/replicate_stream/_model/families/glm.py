"""ChatGLM 3, GLM 4 and Z1, and GLM 4.5 and later.

Sources: `chat_template` of THUDM/chatglm3-6b, tokenizer_config.json, and PROMPT.md of
THUDM/ChatGLM3 for the newline after each role, where the template has a space too (its `[gMASK]sop`
are two tokens that the tokenizer adds itself); `chat_template` of THUDM/glm-4-9b-chat,
tokenizer_config.json (it leaves out messages without a text, which are turns here); the template of
GLM-4-9B-0414, src/inference/chat_template/fixtures/glm4_gguf_shipped.jinja of enapt/SwarmLLM;
chat_template.jinja of zai-org/GLM-4.5, GLM-4.6 and GLM-4.7-Flash (in models/templates/ of
ggml-org/llama.cpp), and GLM-5.1 (packages/jinja/test/e2e.test.js of huggingface/huggingface.js);
chat_template.jinja of zai-org/GLM-Z1-32B-0414 (as `GLM4Z1_CHAT_TEMPLATE` in constants.py of
BBC-Esq/VectorDB-Plugin); `max_position_embeddings` of zai-org/GLM-4.5. Thoughts behind the last
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
# "Use JSON for the arguments of calls of the function above."
_AS_JSON = (
    "\u5728\u8c03\u7528\u4e0a\u8ff0\u51fd\u6570\u65f6\uff0c\u8bf7\u4f7f\u7528 Json "
    "\u683c\u5f0f\u8868\u793a\u8c03\u7528\u7684\u53c2\u6570\u3002"
)
# "You are an assistant named ChatGLM, developed from Zhipu AI's GLM-4. Your task is to help."
_ABOUT = (
    "\u4f60\u662f\u4e00\u4e2a\u540d\u4e3a ChatGLM \u7684\u4eba\u5de5\u667a\u80fd\u52a9\u624b\u3002"
    "\u4f60\u662f\u57fa\u4e8e\u667a\u8c31AI\u8bad\u7ec3\u7684\u8bed\u8a00\u6a21\u578b GLM-4 "
    "\u6a21\u578b\u5f00\u53d1\u7684\uff0c\u4f60\u7684\u4efb\u52a1\u662f\u9488\u5bf9\u7528\u6237"
    "\u7684\u95ee\u9898\u548c\u8981\u6c42\u63d0\u4f9b\u9002\u5f53\u7684\u7b54\u590d\u548c\u652f"
    "\u6301\u3002\n\n"
)


class Glm4ToolFormat(ToolFormat):
    """GLM-4-0414: a turn of the system's with the tools, and calls as a turn without a mark.

    The tool's name directly follows the mark of the turn; other answers begin on the next line. The
    template takes that name from a member `metadata` of a message, and puts a space behind it: here
    it is written as the models write it.
    """

    control_marks = _ROLES
    call_marks = (
        CallMark(
            "<|assistant|>",
            header=r"\s*([\w.\-]+)[ \t]*\n\s*(?=\{)",
            header_start=r"\s*[\w.\-]*\s*",
            has_fence=False,
            is_own=True,
        ),
    )
    result_marks = ("<|observation|>",)
    has_control_tokens = True
    is_before_system = True
    has_own_turn = True
    call_start = "<|assistant|>"
    offer: ClassVar[str] = "# \u53ef\u7528\u5de5\u5177\n"
    separator: ClassVar[str] = "\n"

    def render_tools(self, tools: Tools) -> str:
        return f"{self.offer}\n{self.separator.join(map(self._render_tool, tools))}"

    def render_calls(self, calls: Calls) -> str:
        return "".join(
            f"<|assistant|>{self.neutralize_name(call.name)}\n{self.dump_arguments(call)}"
            for call in calls
        )

    def render_answer(self, text: str, calls: Calls) -> Turn:
        words = self.assistant[0] + text if text else ""
        return Turn("none", words + self.render_calls(calls), is_rendered=True)

    def prefill(self, name: str | None) -> str:
        return "" if name is None else f"{name}\n"

    def _render_tool(self, tool: ToolSpec) -> str:
        written = self.dump_function(tool, indent=4)
        return f"## {self.neutralize_name(tool.name)}\n\n{written}\n{_AS_JSON}"


class Glm4ChatToolFormat(Glm4ToolFormat):
    """GLM 4 of 2024: the same behind a text about the model, and with more blank lines."""

    offer = f"{_ABOUT}{Glm4ToolFormat.offer}"
    separator = "\n\n"


class GlmZ1ToolFormat(Glm4ToolFormat):
    """GLM Z1: the text about the model names a company, and no blank line follows the title."""

    offer = _ABOUT.replace("AI", " AI \u516c\u53f8") + Glm4ToolFormat.offer.rstrip()


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
    generation_prompt="<|assistant|>",  # the model goes on with a line break, or with a tool's name
    tool_format=Glm4ToolFormat,
    control_marks=rf"{_ROLES}|\[gMASK\]|<sop>",
    hint=r"\[gMASK\] ?<sop>",
    names=r"glm-?4.*0414",
)
_GLM4_CHAT = _GLM4._replace(tool_format=Glm4ChatToolFormat, hint=None, names=r"glm-?4")
_GLM_Z1 = _GLM4._replace(
    generation_prompt="<|assistant|>\n<think>",
    trimmed_roles=("user", "assistant", "tool"),
    thought_end="</think>",
    hint=None,
    names=r"glm-?z1",
    tool_format=GlmZ1ToolFormat,
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
    templates=(_GLM5, _GLM47, _GLM45, _GLM_Z1, _GLM4, _GLM4_CHAT, _CHATGLM3),
    windows=(
        ContextWindow(r"glm-?5[._-]2", 1_048_576),
        ContextWindow(r"glm-?(?:4[._-][67]|5)", 202_752),
        ContextWindow(r"glm-?4[._-]5|glm-?4-9b-chat", 131_072),
        ContextWindow(r"glm-?4-.*0414", 32_768),
        ContextWindow(r"glm-?4v", 8_192),
    ),
    # The untuned models are those named `base`.
    chat_names=r"glm-?[45](?!.*base)|glm-?z1",
    unopened_names=r"glm-?4[._-]7|glm-?5|glm-?z1",
    thinking_tags=(("<think>", "</think>"),),
)

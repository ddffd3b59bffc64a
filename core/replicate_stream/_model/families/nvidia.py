"""NVIDIA's Nemotron: Super and Nano 1.5 on Llama's marks, Nano 2, and Nemotron 3 on ChatML.

Sources: `chat_template` of nvidia/Llama-3_3-Nemotron-Super-49B-v1_5,
nvidia/NVIDIA-Nemotron-Nano-9B-v2 and nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16 (in
models/templates/ of ggml-org/llama.cpp). The older ones have the template of their Llama. White
space behind an answer without calls, which the template of Nemotron 3 strips, is kept, and so are
thoughts behind the last question, which that of Super 1.5 leaves out. The template
of Nano 2 is the one with two line breaks behind `<think>` and `<SPECIAL_12>`; a later copy in
ggml-org/llama.cpp has one.
"""

from collections.abc import Sequence

from replicate_stream._model.families.chatml import CHATML
from replicate_stream._model.families.family import ChatTemplate, Family, mark_roles
from replicate_stream._model.families.qwen import QwenCoderToolFormat
from replicate_stream._model.families.tool_format import (
    CallMark,
    ToolFormat,
    ToolResult,
)
from replicate_stream._model.families.turn import Calls, Tools, Turn


class NemotronToolFormat(ToolFormat):
    """Lists of JSON between tags: of the tools, of calls, and of results."""

    control_marks = r"</?(?:AVAILABLE_TOOLS|TOOLCALL|TOOL_RESPONSE)>"
    call_marks = (CallMark("<TOOLCALL>", ("</TOOLCALL>",)),)
    result_marks = ("<TOOL_RESPONSE>",)
    before_calls = ""
    calls_layout = ("<TOOLCALL>[", ", ", "]</TOOLCALL>")
    after_offer = (
        "Response from tool(s) will be returned in this format:\n"
        '<TOOL_RESPONSE>[{{"response": "tool_response1"}}, {{"response": "tool_response2"}}]'
        "</TOOL_RESPONSE>\n\nBased on the results returned by the tool(s), you can call additional "
        "tools if needed, correct tool calls if any errors are found, or just respond with the "
        "answer to the user."
    )

    def render_tools(self, tools: Tools) -> str:
        listed = ", ".join(map(self.dump_function, tools))
        return (
            "You can use the following tools to assist the user if required:\n"
            f"<AVAILABLE_TOOLS>[{listed}]</AVAILABLE_TOOLS>\n\n"
            "If you decide to call any tool(s), use the following format:\n"
            '<TOOLCALL>[{{"name": "tool_name1", "arguments": "tool_args1"}}, '
            '{{"name": "tool_name2", "arguments": "tool_args2"}}]</TOOLCALL>\n\n'
            f"{self.after_offer}"
        )

    def join_system(self, system: str, offer: str) -> str:
        return f"{system.rstrip()}\n\n{offer}" if system else offer

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        listed = ", ".join(result.text for result in results)
        return [Turn("tool", f"<TOOL_RESPONSE>[{listed}]</TOOL_RESPONSE>", is_rendered=True)]


class NemotronNanoToolFormat(NemotronToolFormat):
    """The format of Nemotron Super with other words, and results in the user's turn."""

    before_calls = "\n\n"
    after_offer = (
        "The user will execute tool-calls and return responses from tool(s) in this format:\n"
        '<TOOL_RESPONSE>[{{"tool_response1"}}, {{"tool_response2"}}]</TOOL_RESPONSE>\n\n'
        "Based on the tool responses, you can call additional tools if needed, correct tool calls "
        "if any errors are found, or just respond to the user."
    )


class Nemotron3ToolFormat(QwenCoderToolFormat):
    """The XML of Qwen 3 Coder, with a line break behind each call."""

    before_calls = "\n"

    def join_system(self, system: str, offer: str) -> str:
        return f"{system}\n\n{offer}" if system else offer

    def render_calls(self, calls: Calls) -> str:
        return f"{super().render_calls(calls)}\n"

    def render_answer(self, text: str, calls: Calls) -> Turn:
        # The line break before the calls is there without a text too.
        written = f"{text.rstrip()}\n{self.render_calls(calls)}"
        return Turn("assistant", written, is_rendered=True)


_SUPER = ChatTemplate(
    name="nemotron-super",
    start="<|begin_of_text|>",
    **mark_roles("<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>", tool="tool"),
    system_frame=("", "\n\n"),
    default_system="",
    thought_end=r"</think>\s*",
    tool_format=NemotronToolFormat,
    control_marks=r"<\|[a-z][a-z0-9_]*\|>",
    names=r"nemotron.*v1[._]5",
)
_NANO2 = ChatTemplate(
    name="nemotron-nano-2",
    system=("<SPECIAL_10>System\n", "\n\n"),
    default_system="",
    user=("<SPECIAL_11>User\n", "\n"),
    assistant=("<SPECIAL_11>Assistant\n", "\n<SPECIAL_12>\n\n"),
    tool=("<SPECIAL_11>User\n", "\n\n"),
    generation_prompt="<SPECIAL_11>Assistant\n<think>\n\n",
    thought_end="</think>",
    trimmed_roles=("user", "assistant"),
    is_system_trimmed=True,
    tool_format=NemotronNanoToolFormat,
    control_marks=r"<SPECIAL_\d+>",
    hint=r"<SPECIAL_1\d>",
    names=r"nemotron-nano.*v2",
)
_NEMOTRON3 = CHATML._replace(
    name="nemotron-3",
    control_marks=r"<\|(?:im_start|im_end|endoftext)\|>|</?s>|<SPECIAL_\d+>",
    assistant=("<|im_start|>assistant\n<think></think>", "<|im_end|>\n"),
    generation_prompt="<|im_start|>assistant\n<think>\n",
    thought_end="</think>",
    default_system="",
    hint=None,
    names=r"nemotron-3",
    tool_format=Nemotron3ToolFormat,
)
FAMILY = Family(
    templates=(_NEMOTRON3, _NANO2, _SUPER),
    tool_formats=((r"nemotron", NemotronToolFormat),),
    chat_names=r"nemotron-(?:3|nano|super)(?!.*base)",
    thinking_names=r"nemotron-(?:3|nano|super)",
    unopened_names=r"nemotron-(?:3|nano.*v2)",
    thinking_tags=(("<think>", "</think>"),),
)

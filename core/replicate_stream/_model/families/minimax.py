"""MiniMax Text 01 and M1, and M2.

Sources: examples/tool_chat_template_minimax_m1.jinja of vllm-project/vllm, for M1;
chat_template.jinja of MiniMaxAI/MiniMax-M2 (models/templates/unsloth-MiniMax-M2.jinja of
ggml-org/llama.cpp). M2.1 and later differ by their default system text (minimax.py among the
templates of modelscope/ms-swift). In the copy of M1's template in ggml-org/llama.cpp the assistant
is called `assistant`, as in Text 01, and not `MiniMax AI`, as in the examples of the vendor's
function_call_guide.md. A text before M1's calls, which the template leaves out, is kept.
The windows are `context_length` in xinference/model/llm/llm_family.json of xorbitsai/inference, and
for M1 the 1M tokens of the README.md of MiniMax-AI/MiniMax-M1.
"""

from collections.abc import Sequence

from replicate_stream._model.families.call_syntax import INVOKE
from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family
from replicate_stream._model.families.tool_format import (
    CallMark,
    ToolFormat,
    ToolResult,
)
from replicate_stream._model.families.turn import Calls, Tools, Turn

_BEGIN, _END = "<beginning_of_sentence>", "<end_of_sentence>\n"


class MiniMaxM1ToolFormat(ToolFormat):
    """The tools in a second turn of the system's, and calls as JSON lines between tags."""

    control_marks = r"</?tool(?:_call)?s>"
    call_marks = (CallMark("<tool_calls>", ("</tool_calls>",)),)
    calls_layout = ("<tool_calls>\n", "\n", "\n</tool_calls>")

    def render_tools(self, tools: Tools) -> str:
        listed = "\n".join(map(self.dump_tool, tools))
        return (
            f"You are provided with these tools:\n<tools>\n{listed}\n</tools>\n\n"
            "If you need to call tools, please respond with <tool_calls></tool_calls> XML tags, "
            "and provide tool-name and json-object of arguments, following the format below:\n"
            '<tool_calls>\n{"name": <tool-name>, "arguments": <args-json-object>}\n...\n'
            "</tool_calls>"
        )

    def join_system(self, system: str, offer: str) -> str:
        if self.system is None:
            return super().join_system(system, offer)
        return f"{system}{_END}{_BEGIN}system tool_setting=tools\n{offer}"

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        return [Turn("tool", f"tool result: {each.text}\n\n", is_rendered=True) for each in results]


class MiniMaxM2ToolFormat(ToolFormat):
    """Calls as XML, in which a value that is not text is JSON."""

    control_marks = r"</?minimax:tool_call>|</?(?:invoke|parameter|response|tools?)\b[^<>\n]*>"
    call_marks = (INVOKE,)
    frame_marks = ("<minimax:tool_call>", "</minimax:tool_call>")
    result_marks = ("<response>",)

    def render_tools(self, tools: Tools) -> str:
        listed = "".join(f"<tool>{self.dump_function(tool)}</tool>\n" for tool in tools)
        return (
            "# Tools\nYou may call one or more tools to assist with the user query.\n"
            f"Here are the tools available in JSONSchema format:\n\n<tools>\n{listed}</tools>\n\n"
            "When making tool calls, use XML format to invoke tools and pass parameters:\n\n"
            '<minimax:tool_call>\n<invoke name="tool-name-1">\n'
            '<parameter name="param-key-1">param-value-1</parameter>\n'
            '<parameter name="param-key-2">param-value-2</parameter>\n...\n</invoke>\n'
            "</minimax:tool_call>"
        )

    def render_calls(self, calls: Calls) -> str:
        layout = '<parameter name="{key}">{value}</parameter>\n'
        listed = "".join(
            f'<invoke name="{call.name}">\n{self.dump_parameters(call, layout)}</invoke>\n'
            for call in calls
        )
        return f"<minimax:tool_call>\n{listed}</minimax:tool_call>"

    def render_answer(self, text: str, calls: Calls) -> Turn:
        # The line break before the calls is there without a text too.
        return Turn("assistant", f"{text}\n{self.render_calls(calls)}", is_rendered=True)

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        listed = "\n".join(f"<response>{each.text}</response>" for each in results)
        return [Turn("tool", listed, is_rendered=True)]

    def prefill(self, name: str | None) -> str:
        start = '<minimax:tool_call>\n<invoke name="'
        return start if name is None else f'{start}{name}">\n'


_M1 = ChatTemplate(
    name="minimax-m1",
    start="<begin_of_document>",
    system=(f"{_BEGIN}system ai_setting=MiniMax AI\n", _END),
    default_system="You are a helpful assistant created by Minimax based on MiniMax-M1 model.",
    user=(f"{_BEGIN}user name=user\n", _END),
    assistant=(f"{_BEGIN}ai name=MiniMax AI\n", _END),
    tool=(f"{_BEGIN}tool name=tools\n", _END),
    tool_format=MiniMaxM1ToolFormat,
    trimmed_roles=("user", "assistant"),
    is_system_trimmed=True,
    control_marks=r"<(?:begin|beginning|end)_of_(?:document|sentence)>",
    hint=r"<beginning_of_sentence>",
    names=r"minimax-(?:m1|text)",
)
_M2 = ChatTemplate(
    name="minimax-m2",
    start="]~!b[",
    system=("]~b]system\n", "[e~[\n"),
    default_system="You are a helpful assistant.",
    user=("]~b]user\n", "[e~[\n"),
    assistant=("]~b]ai\n", "[e~[\n"),
    tool=("]~b]tool\n", "[e~[\n"),
    generation_prompt="]~b]ai\n<think>\n",
    thought_end=r"</think>\n*",
    tool_format=MiniMaxM2ToolFormat,
    control_marks=r"\]~!?b[\[\]]|\[e~\[",
    hint=r"\]~b\]",
    names=r"minimax-m2",
)
_LATER = tuple(
    _M2._replace(
        default_system="You are a helpful assistant. "
        f"Your name is MiniMax-M{version} and is built by MiniMax.",
        hint=None,
        names=rf"minimax-m{version[0]}[._-]?{version[-1]}\b",
    )
    for version in ("2.1", "2.5", "2.7")
)
FAMILY = Family(
    templates=(*_LATER, _M2, _M1),
    windows=(
        ContextWindow(r"minimax-m3", 1_048_576),
        ContextWindow(r"minimax-m2[._-]7", 204_800),
        ContextWindow(r"minimax-m2", 196_608),
        ContextWindow(r"minimax-(?:m1|text-01)", 1_000_000),
    ),
    chat_names=r"minimax-m[12]",
    thinking_names=r"minimax-m[12]",
    unopened_names=r"minimax-m2",
    thinking_tags=(("<think>", "</think>"),),
)

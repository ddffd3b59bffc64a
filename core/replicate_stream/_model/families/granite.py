"""IBM's Granite 3 and 4 instruct, and the older Granite code models, which use plain labels.

Sources: `chat_template` of ibm-granite/granite-3.0-8b-instruct, granite-3.2-8b-instruct (3.1 too),
granite-4.0-h-small and granite-8b-code-instruct-4k, tokenizer_config.json; for 3.3,
models/templates/ibm-granite-granite-3.3-2B-Instruct.jinja of ggml-org/llama.cpp; and
`max_position_embeddings` in config.json. The system text that 3.1 to 3.3 fill in is without its
sentence about the date of the day, because a prompt that changes from day to day could not be
repeated. Granite 4.1 differs from 4.0 in that it fills in none (src/llama-chat.cpp of
ggml-org/llama.cpp). The templates of Granite 3 leave calls out, or write them with line breaks
(examples/tool_chat_template_granite.jinja of vllm-project/vllm, without the text before them): here
calls are written as the models write them. Granite 20B Functioncalling is only read: the one
template for it (examples/tool_chat_template_granite_20b_fc.jinja of vllm-project/vllm) is not
IBM's, and its offer of tools is not valid JSON.
"""

from collections.abc import Sequence
from typing import ClassVar

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import (
    PIPE_CALL,
    CallMark,
    HermesToolFormat,
    ToolFormat,
    ToolResult,
)
from replicate_stream._model.families.turn import LINE_START, Tools, Turn

_HELPFUL = "You are a helpful AI assistant."
_REQUIRED = (
    "with access to the following tools. When a tool is required to answer the user's query, "
    "respond "
    f"{{}}with {PIPE_CALL.opening} followed by a JSON list of tools used. If a tool does not exist "
    f"in "
    "the provided list of tools, notify the user that you do not have the ability to fulfill the "
    "request."
)


class GraniteToolFormat(ToolFormat):
    """The tools in a turn of their own, and calls as a list behind a mark.

    The templates explain that mark only in the system text that they fill in.

    Attributes:
        offer_role: The role of the tools' turn.
        helpful: The sentence that replaces the last one of that system text.
    """

    control_marks = r"<\|tool_call\|>|</?function_call>"
    call_marks = (PIPE_CALL, CallMark("<function_call>", ("</function_call>",)))
    before_calls = ""
    calls_layout = (f"{PIPE_CALL.opening}[", ", ", "]")
    has_control_tokens = True
    offer_role: ClassVar[str] = "available_tools"
    helpful: ClassVar[str] = f"You are a helpful assistant {_REQUIRED.format('only ')}"

    def join_system(self, system: str, offer: str) -> str:
        if system not in _DEFAULTS:
            return system
        return system.removesuffix(_HELPFUL) + self.helpful

    def insert_tools(self, tools: Tools, turns: list[Turn]) -> list[Turn]:
        text = self.dump_tools(tools, indent=4)
        turn = f"<|start_of_role|>{self.offer_role}<|end_of_role|>{text}<|end_of_text|>\n"
        return [Turn("none", turn, is_rendered=True), *turns]


class Granite32ToolFormat(GraniteToolFormat):
    """Granite 3.1 and 3.2: the same in other words."""

    offer_role = "tools"
    helpful = f"{_HELPFUL.removesuffix('.')} {_REQUIRED.format('')}"


class Granite30ToolFormat(GraniteToolFormat):
    """Granite 3.0: the tools one after the other, before the system text."""

    def insert_tools(self, tools: Tools, turns: list[Turn]) -> list[Turn]:
        return turns

    def render_start(self, start: str, tools: Tools) -> str:
        text = "\n\n".join(self.dump_tool(tool, indent=4) for tool in tools)
        return f"{start}<|start_of_role|>available_tools<|end_of_role|>\n{text}<|end_of_text|>\n"


class Granite4ToolFormat(HermesToolFormat):
    """Granite 4: the format of Hermes in other words, which replace the text that is filled in."""

    result_role = "user"
    has_result_names = False

    def render_tools(self, tools: Tools) -> str:
        listed = "\n".join(map(self.dump_tool, tools))
        return (
            "You are a helpful assistant with access to the following tools. You may call one or "
            "more tools to assist with the user query.\n\nYou are provided with function "
            "signatures within "
            f"<tools></tools> XML tags:\n<tools>\n{listed}\n</tools>\n\nFor each tool call, return "
            f"a "
            "json object with function name and arguments within <tool_call></tool_call> XML "
            "tags:\n"
            '<tool_call>\n{"name": <function-name>, "arguments": '
            "<args-json-object>}\n</tool_call>. If a "
            "tool does not exist in the provided list of tools, notify the user that you do not "
            "have the ability to fulfill the request."
        )

    def join_system(self, system: str, offer: str) -> str:
        return super().join_system("" if system in _DEFAULTS else system, offer)

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        (turn,) = super().render_results(results)
        return [turn._replace(text=f"\n{turn.text}")]


_DEFAULTS = (
    f"Knowledge Cutoff Date: April 2024. You are Granite, developed by IBM. {_HELPFUL}",
    f"Knowledge Cutoff Date: April 2024.\nYou are Granite, developed by IBM. {_HELPFUL}",
    "You are a helpful assistant. Please ensure responses are professional, accurate, and safe.",
)
_GRANITE = ChatTemplate(
    name="granite",
    tool_format=GraniteToolFormat,
    **mark_roles("<|start_of_role|>{}<|end_of_role|>", "<|end_of_text|>\n", tool="tool"),
    default_system=_DEFAULTS[0],
    control_marks=r"<\|(?:start_of_role|end_of_role|end_of_text|tool_call)\|>",
    hint=r"<\|start_of_role\|>",
    names=r"granite-?[3-9]|granite-(?:speech|vision|guardian)",
)
# Without hints: their turns look like those of 3.3.
_GRANITE32 = _GRANITE._replace(
    tool_format=Granite32ToolFormat,
    default_system=_DEFAULTS[1],
    hint=None,
    names=r"granite-?3\.[12]",
)
_GRANITE30 = _GRANITE32._replace(
    tool_format=Granite30ToolFormat,
    default_system=None,
    tool=("<|start_of_role|>tool_response<|end_of_role|>", "<|end_of_text|>\n"),
    names=r"granite-?3\.0",
)
_GRANITE4 = _GRANITE32._replace(
    name="granite-4",
    tool_format=Granite4ToolFormat,
    default_system=_DEFAULTS[2],
    names=r"granite-?4",
)
_GRANITE41 = _GRANITE4._replace(default_system=None, names=r"granite-?4\.[1-9]")
_CODE = ChatTemplate(
    name="granite-code",
    **mark_roles("{}:\n", "\n\n", system="System", user="Question", assistant="Answer"),
    control_marks=rf"{LINE_START}(?:System|Question|Answer):|<\|endoftext\|>",
    hint=r"Question:\n\{prompt\}",
    names=r"granite-\d+b-code",
)
FAMILY = Family(
    # `granite-34b-code` would match the pattern of Granite 3 too.
    templates=(_CODE, _GRANITE41, _GRANITE4, _GRANITE30, _GRANITE32, _GRANITE),
    tool_formats=((r"granite-20b", GraniteToolFormat),),
    chat_names=r"granite-?[4-9](?!.*base)",
    windows=(
        ContextWindow(r"granite-?3\.0", 4_096),
        ContextWindow(r"granite-?(?:(?:vision-|speech-)?3\.[1-9]|4)", 131_072),
        ContextWindow(r"granite-20b-code", 8_192),
    ),
)

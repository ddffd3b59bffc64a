"""DeepSeek: R1 and its distillations, V3 to V3.2, V2 and the first chat models, and Coder V1.

Sources: `chat_template` of deepseek-ai/DeepSeek-V3, DeepSeek-R1, DeepSeek-V3.1, DeepSeek-V2-Chat
and deepseek-coder-33b-instruct, tokenizer_config.json; encoding/encoding_dsv32.py of
deepseek-ai/DeepSeek-V3.2; `max_position_embeddings` in config.json. The bars are U+FF5C, the low
line in `begin▁of▁sentence` is U+2581. From V3.1 on an answer begins with `</think>` if the
model is not to reason, which is the default of the templates; the copies of V3.1 and V3.2 in
ggml-org/llama.cpp have `<think></think>` there. Results of R1 stand on lines of their own as in V3
and in the distillations; a call behind results goes on where an answer does. The templates differ
from each other in both, and count calls over the whole conversation, which leaves out marks. An
answer before any question keeps its marks; the templates of V3.1 and V3.2 write none there, so that
it would go on behind the system text as if it were a part of it.
"""

from collections.abc import Sequence
from typing import ClassVar

from replicate_stream._model.families.call_syntax import parse_tags
from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family
from replicate_stream._model.families.tool_format import CallMark, ToolFormat, ToolResult, to_json
from replicate_stream._model.families.turn import LINE_START, Calls, Tools, Turn


def _mark(words: str) -> str:
    return f"<\uff5c{words.replace(' ', chr(0x2581))}\uff5c>"


_START, _END = _mark("begin of sentence"), _mark("end of sentence")
_USER, _ASSISTANT = _mark("User"), _mark("Assistant")
_CALLS = _mark("tool calls begin"), _mark("tool calls end")
_CALL = _mark("tool call begin"), _mark("tool call end")
_OUTPUTS = _mark("tool outputs begin"), _mark("tool outputs end")
_OUTPUT = _mark("tool output begin"), _mark("tool output end")
_SEPARATOR = _mark("tool sep")
_DSML = "\uff5cDSML\uff5c"  # of V3.2
# Any mark, known or not: they are single tokens, which no text of a user has to contain.
_ANY_MARK = r"(?:<\uff5c[^\uff5c<>]*\uff5c>|</?\uff5cDSML\uff5c)"


class DeepSeekToolFormat(ToolFormat):
    """DeepSeek V3: a control token for each part of a call, and the arguments in a code fence.

    Sources: `chat_template` of deepseek-ai/DeepSeek-V3, tokenizer_config.json, for calls and
    results. It offers no tools; the words are those of
    examples/tool_chat_template_deepseekv3.jinja of vllm-project/vllm, without its indentation.

    Attributes:
        call_header: The beginning of a call before its arguments, with a place for the name.
        call_end: The end of a call behind its arguments.
        call_separator: The text between two calls.
    """

    control_marks = _ANY_MARK
    call_marks = (
        CallMark(
            _CALL[0],
            (_CALL[1],),
            header=rf"\s*function\s*{_SEPARATOR}([\w.\-]+)\s*\n"
            rf"|(?!\s*function\s*{_SEPARATOR})([\s\S]{{0,200}}?){_SEPARATOR}",
        ),
        CallMark(
            f"<{_DSML}invoke name=",
            (f"</{_DSML}invoke>",),
            header=r"\"([^\"<>]+)\"\s*>",
            header_start=r"\"?[^\"<>]*\"?\s*",
            parse=parse_tags(
                rf'<{_DSML}parameter name="(?P<key>[^"]+)"(?: string="(?P<is_text>true|false)")?>'
                rf"(?P<value>[\s\S]*?)</{_DSML}parameter>"
            ),
            needs_closing=True,
        ),
    )
    frame_marks = (
        *_CALLS,  # and DSML's: of V3.2, and of V4 (vllm/tool_parsers/deepseekv4_tool_parser.py)
        *(f"<{end}{_DSML}{name}_calls>" for name in ("function", "tool") for end in ("", "/")),
    )
    result_marks: ClassVar[tuple[str, ...]] = (_OUTPUTS[0], _OUTPUT[0])
    before_calls = ""
    has_control_tokens = True
    after_results = ""
    call_header = f"function{_SEPARATOR}{{}}\n```json\n"
    call_end = "\n```"
    call_separator = "\n"

    def render_tools(self, tools: Tools) -> str:
        listed = "\n".join(map(self.dump_tool, tools))
        return (
            "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
            "You are provided with function signatures within <tools></tools> XML tags:\n"
            f"<tools>\n{listed}\n</tools>\n\n"
            f"For function call returns, you should first print {_CALLS[0]}\n"
            "For each function call, you should return object like:\n"
            f"{_CALL[0]}function{_SEPARATOR}<function_name>\n```json\n"
            f"<function_arguments_in_json_format>\n```{_CALL[1]}\n"
            f"At the end of function call returns, you should print {_CALLS[1]}{_END}"
        )

    def join_system(self, system: str, offer: str) -> str:
        return f"{system}\n\n{offer}"

    def render_calls(self, calls: Calls) -> str:
        listed = self.call_separator.join(
            f"{_CALL[0]}{self.call_header.format(each.name)}{self.dump_arguments(each)}"
            f"{self.call_end}{_CALL[1]}"
            for each in calls
        )
        return f"{_CALLS[0]}{listed}{_CALLS[1]}"

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        # All results share one frame, behind which the model goes on at once.
        listed = "\n".join(f"{_OUTPUT[0]}{result.text}{_OUTPUT[1]}" for result in results)
        return [Turn("none", f"{_OUTPUTS[0]}{listed}{_OUTPUTS[1]}", is_rendered=True)]

    def prefill(self, name: str | None) -> str:
        return _CALLS[0] + ("" if name is None else _CALL[0] + self.call_header.format(name))


class DeepSeekR1ToolFormat(DeepSeekToolFormat):
    """DeepSeek R1: the calls of V3.

    Source: examples/tool_chat_template_deepseekr1.jinja of vllm-project/vllm, because the template
    of deepseek-ai/DeepSeek-R1 offers no tools.
    """

    def render_tools(self, tools: Tools) -> str:
        listed = "".join(f"\n```json\n{self.dump_tool(tool)}\n```\n" for tool in tools)
        return (
            "You are a helpful assistant with tool calling capabilities. When a tool call is "
            "needed, you MUST use the following format to issue the call:\n"
            f"{_CALLS[0]}{_CALL[0]}function{_SEPARATOR}FUNCTION_NAME\n"
            f'```json\n{{"param1": "value1", "param2": "value2"}}\n```{_CALL[1]}{_CALLS[1]}\n\n'
            "Make sure the JSON is valid.## Tools\n\n### Function\n\n"
            f"You have the following functions available:\n\n{listed}"
        )


class DeepSeekV31ToolFormat(DeepSeekToolFormat):
    """DeepSeek V3.1: without code fences, and results without a frame.

    Sources: "ToolCall" in the model card of deepseek-ai/DeepSeek-V3.1, and its `chat_template`.
    """

    call_header = f"{{}}{_SEPARATOR}"
    call_end = call_separator = ""

    def render_tools(self, tools: Tools) -> str:
        listed = "".join(
            f"\n### {tool.name}\nDescription: {self.neutralize(tool.description)}\n\n"
            f"Parameters: {self.neutralize(to_json(dict(tool.parameters)))}\n"
            for tool in tools
        )
        shape = f"{_CALL[0]}tool_call_name{_SEPARATOR}tool_call_arguments{_CALL[1]}"
        return (
            f"## Tools\nYou have access to the following tools:\n{listed}\n"
            "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
            f"{_CALLS[0]}{shape}{{{{additional_tool_calls}}}}{_CALLS[1]}\n\n"
            "Where:\n\n- `tool_call_name` must be an exact match to one of the available tools\n"
            "- `tool_call_arguments` must be valid JSON that strictly follows the tool's "
            "Parameters Schema\n- For multiple tool calls, chain them directly without separators "
            "or spaces\n"
        )

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        listed = "".join(f"{_OUTPUT[0]}{result.text}{_OUTPUT[1]}" for result in results)
        return [Turn("none", listed, is_rendered=True)]


class DeepSeekV32ToolFormat(DeepSeekToolFormat):
    """DeepSeek V3.2: DSML, an XML of its own.

    Sources: encoding/encoding_dsv32.py of deepseek-ai/DeepSeek-V3.2, and
    models/templates/DeepSeek-V3.2.jinja of ggml-org/llama.cpp.
    """

    control_marks = rf"{_ANY_MARK}|</?function(?:_result)?s>|</?result>"
    result_marks = ("<function_results>",)
    after_results = "\n\n</think>"

    def render_tools(self, tools: Tools) -> str:
        listed = "\n".join(map(self.dump_function, tools))
        frame = f"<{_DSML}function_calls>", f"</{_DSML}function_calls>"
        return (
            "## Tools\n\nYou have access to a set of tools you can use to answer the user's "
            f'question.\nYou can invoke functions by writing a "{frame[0]}" block like the '
            f"following as part of your reply to the user:\n{frame[0]}\n"
            f'<{_DSML}invoke name="$FUNCTION_NAME">\n'
            f'<{_DSML}parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE'
            f"</{_DSML}parameter>\n...\n</{_DSML}invoke>\n"
            f'<{_DSML}invoke name="$FUNCTION_NAME2">\n...\n</{_DSML}invoke>\n{frame[1]}\n\n'
            "String and scalar parameters should be specified as is without any escaping or "
            'quotes, while lists and objects should use JSON format. The "string" attribute should '
            'be set to "true" for string type parameters and "false" for other types (numbers, '
            "booleans, arrays, objects).\n\nIf the thinking_mode is enabled, then after function "
            "results you should strongly consider outputting a thinking block. Here is an "
            f"example:\n\n{frame[0]}\n...\n{frame[1]}\n\n<function_results>\n...\n</function_results>\n\n"
            "<think>...thinking about results</think>\n\n"
            f"Here are the functions available in JSONSchema format:\n<functions>\n{listed}\n"
            "</functions>\n"
        )

    def render_calls(self, calls: Calls) -> str:
        layout = (
            f'<{_DSML}parameter name="{{key}}" string="{{is_text}}">{{value}}</{_DSML}parameter>\n'
        )
        listed = "".join(
            f'<{_DSML}invoke name="{call.name}">\n{self.dump_parameters(call, layout)}'
            f"</{_DSML}invoke>\n"
            for call in calls
        )
        return f"<{_DSML}function_calls>\n{listed}</{_DSML}function_calls>"

    def render_answer(self, text: str, calls: Calls) -> Turn:
        # The blank line before the calls is there without a text too.
        return Turn("assistant", f"{text}\n\n{self.render_calls(calls)}", is_rendered=True)

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        listed = "".join(f"<result>{result.text}</result>\n" for result in results)
        text = f"\n\n<function_results>\n{listed}</function_results>"
        return [Turn("none", text, is_rendered=True)]

    def prefill(self, name: str | None) -> str:
        start = f'\n\n<{_DSML}function_calls>\n<{_DSML}invoke name="'
        return start if name is None else f'{start}{name}">\n'


_V3 = ChatTemplate(
    name="deepseek",
    tool_format=DeepSeekToolFormat,
    start=_START,
    system=("", ""),
    user=(_USER, ""),
    assistant=(_ASSISTANT, _END),
    control_marks=_ANY_MARK,
    hint=_USER,
    names=r"deepseek-v3",
)
# It decides itself whether it reasons.
_R1_0528 = _V3._replace(tool_format=DeepSeekR1ToolFormat, hint=None, names=r"deepseek-r1-0528")
_R1 = _V3._replace(
    name="deepseek-r1",
    tool_format=DeepSeekR1ToolFormat,
    generation_prompt=f"{_ASSISTANT}<think>\n",
    thought_end="</think>",
    hint=rf"{_ASSISTANT}<think>",
    names=r"deepseek-r1",
)
_V31 = _V3._replace(
    name="deepseek-v3.1",
    tool_format=DeepSeekV31ToolFormat,
    assistant=(f"{_ASSISTANT}</think>", _END),
    thought_end="</think>",
    hint=rf"{_ASSISTANT}</think>",
    names=r"deepseek-v3[._-]?(?:1(?!\d)|2-exp)",
)
_V32 = _V31._replace(
    name="deepseek-v3.2",
    tool_format=DeepSeekV32ToolFormat,
    thought_end=None,
    hint=None,  # its turns look like those of V3.1
    names=r"deepseek-v3[._-]?2(?!-exp|\d)",
)
_V2 = ChatTemplate(
    name="deepseek-v2",
    start=_START,
    system=("", "\n\n"),
    user=("User: ", "\n\n"),
    assistant=("Assistant: ", _END),
    generation_prompt="Assistant:",
    control_marks=rf"{_ANY_MARK}|{LINE_START}(?:User|Assistant):",
    hint=rf"{_ANY_MARK}[\s\S]*User: \{{prompt\}}",
    names=r"deepseek-(?:v2|coder-v2|llm|math|moe|67b|7b-chat)",
)
_CODER = ChatTemplate(
    name="deepseek-coder",
    start=_START,
    system=("", ""),
    default_system="You are an AI programming assistant, utilizing the Deepseek Coder model, "
    "developed by Deepseek Company, and you only answer questions related to computer science. For "
    "politically sensitive questions, security and privacy issues, and other non-computer science "
    "questions, you will refuse to answer\n",
    user=("### Instruction:\n", "\n"),
    assistant=("### Response:\n", "\n<|EOT|>\n"),
    control_marks=rf"{_ANY_MARK}|<\|EOT\|>|###\s*(?:Instruction|Response):",
    hint=r"<\|EOT\|>",
    names=r"deepseek-coder",
)
FAMILY = Family(
    templates=(_R1_0528, _R1, _V32, _V31, _V3, _V2, _CODER),
    windows=(
        ContextWindow(r"deepseek-r1|deepseek-v3|deepseek-(?:coder-)?v2", 131_072),
        # Magicoder, WizardCoder 33B and Evolved Seeker are tunings of it.
        ContextWindow(r"deepseek-coder|magicoder|wizardcoder-33b|evolved-seeker", 16_384),
        ContextWindow(r"deepseek-(?:llm|math|67b)|numinamath-7b", 4_096),
    ),
    thinking_names=r"deepseek-r1",
    # The published V3 and R1 are tuned, except for those named `base`.
    chat_names=r"deepseek-(?:v3|r1)(?!.*base)",
    # Since February 2025 the template of R1 and of its distillations ends with the opening tag.
    unopened_names=r"deepseek-r1",
    thinking_tags=(("<think>", "</think>"),),
)

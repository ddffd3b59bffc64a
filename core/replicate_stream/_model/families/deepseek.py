"""DeepSeek: V3 and R1 with its distillations, V2 and the first chat models, and Coder V1.

Sources: `chat_template` of deepseek-ai/DeepSeek-V3, deepseek-ai/DeepSeek-V2-Chat and
deepseek-ai/deepseek-coder-33b-instruct, tokenizer_config.json, and `max_position_embeddings` in
config.json. The bars are U+FF5C, the low line in `begin▁of▁sentence` is U+2581.
"""

from collections.abc import Sequence

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
# Any mark, known or not: they are single tokens, which no text of a user has to contain.
_ANY_MARK = r"<\uff5c[^\uff5c<>]*\uff5c>"


class DeepSeekToolFormat(ToolFormat):
    """A control token for each part of a call, and the arguments without the tool's name.

    Source: `chat_template` of deepseek-ai/DeepSeek-V3.1, tokenizer_config.json, in the form
    without code fences, which its predecessors read too. They write calls as
    `function<sep>name` and a fenced block.
    """

    control_marks = _ANY_MARK
    call_marks = (
        CallMark(
            _CALL[0],
            (_CALL[1],),
            header=rf"\s*function\s*{_SEPARATOR}([\w.\-]+)\s*\n"
            rf"|(?!\s*function\s*{_SEPARATOR})([\s\S]{{0,200}}?){_SEPARATOR}",
        ),
    )
    frame_marks = _CALLS
    result_marks = (_OUTPUTS[0],)
    before_calls = ""
    has_control_tokens = True
    is_continued = True

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
            f"{_CALLS[0]}{shape}{{additional_tool_calls}}{_CALLS[1]}\n\n"
            "Where:\n\n- `tool_call_name` must be an exact match to one of the available tools\n"
            "- `tool_call_arguments` must be valid JSON that strictly follows the tool's "
            "Parameters Schema\n- For multiple tool calls, chain them directly without separators "
            "or spaces"
        )

    def render_calls(self, calls: Calls) -> str:
        chained = "".join(
            f"{_CALL[0]}{each.name}{_SEPARATOR}{self.dump_arguments(each)}{_CALL[1]}"
            for each in calls
        )
        return f"{_CALLS[0]}{chained}{_CALLS[1]}"

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        # All results share one frame, behind which the model goes on at once.
        listed = "".join(f"{_OUTPUT[0]}{result.text}{_OUTPUT[1]}" for result in results)
        return [Turn("none", f"{_OUTPUTS[0]}{listed}{_OUTPUTS[1]}", is_rendered=True)]

    def prefill(self, name: str | None) -> str:
        return _CALLS[0] if name is None else f"{_CALLS[0]}{_CALL[0]}{name}{_SEPARATOR}"


_V3 = ChatTemplate(
    name="deepseek",
    tool_format=DeepSeekToolFormat,
    start=_START,
    system=("", ""),
    user=(_USER, ""),
    assistant=(_ASSISTANT, _END),
    control_marks=_ANY_MARK,
    hint=_USER,
    names=r"deepseek-(?:v3|r1)",
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
    user=("### Instruction:\n", "\n"),
    assistant=("### Response:\n", "\n<|EOT|>\n"),
    control_marks=rf"{_ANY_MARK}|<\|EOT\|>|###\s*(?:Instruction|Response):",
    hint=r"<\|EOT\|>",
    names=r"deepseek-coder",
)
FAMILY = Family(
    templates=(_V3, _V2, _CODER),
    windows=(
        ContextWindow(r"deepseek-r1|deepseek-v3|deepseek-(?:coder-)?v2", 131_072),
        ContextWindow(r"deepseek-coder", 16_384),
        ContextWindow(r"deepseek-(?:llm|math|67b)", 4_096),
    ),
    thinking_names=r"deepseek-r1",
    # The published V3 and R1 are tuned, except for those named `base`.
    chat_names=r"deepseek-(?:v3|r1)(?!.*base)",
    thinking_tags=(("<think>", "</think>"),),
)

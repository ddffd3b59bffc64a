"""Meta's Llama: 2 chat and Code Llama instruct (7B to 34B), 3, 3.1 to 3.3, 4; Phind's Code Llama.

Sources: `chat_template` of meta-llama/Llama-2-7b-chat-hf and meta-llama/Meta-Llama-3-8B-Instruct,
tokenizer_config.json; models/templates/meta-llama-Llama-3.1-8B-Instruct.jinja of
ggml-org/llama.cpp, which 3.3 has too, and 3.2 but for the date; the template of Llama 4 in
models/llama4/convert_llama4_weights_to_hf.py of huggingface/transformers; `max_position_embeddings`
in config.json, and the model card of Phind/Phind-CodeLlama-34B-v2. In Llama 2 every exchange begins
with `<s>` again, and the system text is part of the first user turn. The system turn of 3.1 always
begins with two dates; the second is the template's own default, because a prompt that changes from
day to day could not be repeated.
The windows of Llama 4 are those of its release (https://huggingface.co/blog/llama4-release): 10M
and 1M tokens.
"""

from collections.abc import Sequence

from replicate_stream._model.families.call_syntax import parse_python
from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import CallMark, ToolFormat, ToolResult, to_json
from replicate_stream._model.families.turn import Calls, Tools, Turn

_CALL = r"\s*(?=(?:\[\s*)?[A-Za-z_][\w.]*\s*\()"
_PYTHON_MARKS = {
    "<|python_tag|>": ("<|eom_id|>", "<|eot_id|>"),
    "<|python_start|>": ("<|python_end|>", "<|eom|>", "<|eot|>"),
}


class LlamaToolFormat(ToolFormat):
    """JSON without marks, which is the whole answer.

    Source: the template of Llama 3.1 with `tools_in_user_message=false`. It has no place for a text
    before a call, nor for a second call. Here a second one stands on a line of its own, and a text
    before `<|python_tag|>`, because JSON behind words alone may be an example, and is not read as a
    call. The models write that token before JSON, too, and `<function=name>{…}</function>`, the
    custom format of Llama 3.1's documentation
    (https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/).
    """

    control_marks = r"</?function(?:=[\w.-]*)?>|<\|python_\w+\|>"
    call_marks = (
        CallMark(
            "<function=",
            ("</function>",),
            header=r"\s*[\"']?([\w.\-]+)[\"']?\s*>",
            header_start=r"\s*[^<>\s]*\s*",
            has_fence=False,
        ),
        # As the template of Llama 4 writes earlier calls.
        CallMark("<|python_start|>", _PYTHON_MARKS["<|python_start|>"], words_end="<|python_end|>"),
        *(
            CallMark(opening, closings, header, header_start, False, False, parse, opens_code=True)
            for opening, closings in _PYTHON_MARKS.items()
            for header, header_start, parse in (
                (None, "", None),
                (_CALL, r"\s*(?:\[\s*)?(?:[A-Za-z_][\w.]*)?\s*", parse_python),
            )
        ),
    )
    arguments_key = "parameters"

    def render_tools(self, tools: Tools) -> str:
        return (
            "You have access to the following functions. To call a function, please respond with "
            f"JSON for a function call.{self.list_tools(tools)}"
        )

    def list_tools(self, tools: Tools) -> str:
        """Render the format of a call, and the tools."""
        listed = "".join(f"{self.dump_tool(tool, indent=4)}\n\n" for tool in tools)
        return (
            'Respond in the format {"name": function name, "parameters": dictionary of argument '
            f"name and its value}}.Do not use variables.\n\n{listed}"
        )

    def join_system(self, system: str, offer: str) -> str:
        if self.system is None:  # a text for a template that the model applies itself
            return offer + system
        return f"{_ENVIRONMENT}{_DATES}{offer}{system.removeprefix(_DATES)}"

    def render_answer(self, text: str, calls: Calls) -> Turn:
        if self.system is None or not text:
            return super().render_answer(text, calls)
        written = f"{text}<|python_tag|>{self.render_calls(calls)}"
        return Turn("assistant", written, is_rendered=True)

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        return [Turn("tool", to_json(each.text), is_rendered=True) for each in results]


class Llama4ToolFormat(LlamaToolFormat):
    """The tools at the head of the first question, and a mark before calls.

    Source: the template of Llama 4 with its default, `tools_in_user_message=true`.
    """

    def join_system(self, system: str, offer: str) -> str:
        if self.system is None:
            return super().join_system(system, offer)
        return _ENVIRONMENT + system if system else ""

    def insert_tools(self, tools: Tools, turns: list[Turn]) -> list[Turn]:
        offer = (
            "Given the following functions, please respond with a JSON for a function call with "
            "its "
            f"proper arguments that best answers the given prompt.\n\n{self.list_tools(tools)}"
        )
        at = next((at for at, turn in enumerate(turns) if turn.role == "user"), None)
        if at is None:
            return [Turn("user", offer, is_rendered=True), *turns]
        first = Turn("user", offer + turns[at].text.strip(), is_rendered=True)
        return [*turns[:at], first, *turns[at + 1 :]]

    def render_answer(self, text: str, calls: Calls) -> Turn:
        if self.system is None:
            return super().render_answer(text, calls)
        written = "".join(map(self.dump_call, calls))
        return Turn("assistant", f"<|python_start|>{text}<|python_end|>{written}", is_rendered=True)


_ENVIRONMENT = "Environment: ipython\n"
_DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
_LLAMA2 = ChatTemplate(
    name="llama2",
    user=("<s>[INST] ", " [/INST]"),
    assistant=(" ", " </s>"),
    generation_prompt="",  # the end of the user's turn is enough
    system_in_user=("<<SYS>>\n", "\n<</SYS>>\n\n"),
    trimmed_roles=("user", "assistant"),
    control_marks=r"\[/?INST\]|<</?SYS>>|</?s>",
    hint=r"<<SYS>>",
    names=r"llama-?2.*chat|codellama-(?:7|13|34)b-instruct|codellama.*-instruct-vllm",
)
_LLAMA3 = ChatTemplate(
    name="llama3",
    start="<|begin_of_text|>",
    **mark_roles("<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>", tool="ipython"),
    trimmed_roles=("user", "assistant"),
    is_system_trimmed=True,
    control_marks=r"<\|[a-z][a-z0-9_]*\|>",
    hint=r"<\|start_header_id\|>",
    # Not Llama 3.1 and later, nor a size: `llama-33b` is a Llama 1.
    names=r"llama-?3(?![.\d])",
)
_LLAMA31 = _LLAMA3._replace(
    name="llama3.1",
    tool_format=LlamaToolFormat,
    system_frame=(_DATES, ""),
    default_system=_DATES,
    hint=r"Cutting Knowledge Date",
    names=r"llama-?3[._][123]",
)
_LLAMA4 = ChatTemplate(
    name="llama4",
    tool_format=Llama4ToolFormat,
    start="<|begin_of_text|>",
    **mark_roles("<|header_start|>{}<|header_end|>\n\n", "<|eot|>", tool="ipython"),
    is_system_trimmed=True,
    control_marks=r"<\|[a-z][a-z0-9_]*\|>",
    hint=r"<\|header_start\|>",
    names=r"llama-?4",
)
_PHIND = ChatTemplate(
    name="phind",
    **mark_roles(
        "### {}\n", "\n\n", system="System Prompt", user="User Message", assistant="Assistant"
    ),
    default_system="You are an intelligent programming assistant.",
    control_marks=r"###\s*(?:System Prompt|User Message|Assistant)",
    hint=r"### User Message\n",
    names=r"phind",
)
FAMILY = Family(
    templates=(_PHIND, _LLAMA4, _LLAMA31, _LLAMA3, _LLAMA2),
    windows=(
        ContextWindow(r"llama-?4.*scout", 10_485_760),
        ContextWindow(r"llama-?4.*maverick", 1_048_576),
        # NexusRaven, SQLCoder and WizardCoder Python are tunings of Code Llama.
        ContextWindow(r"code-?llama|nexusraven-13b|sqlcoder-7b-2|wizardcoder-python", 16_384),
        ContextWindow(r"llama-?3[._-][123]\b|nemotron-70b|reflection-70b", 131_072),
        ContextWindow(r"llama-?3(?![.\d])", 8_192),
        ContextWindow(
            r"llama-?2(?![.\d])|orca-2|platypus2|goliath|marcoroni-13b|alma-7b|towerinstruct"
            r"|digital-socrates",
            4_096,
        ),
        ContextWindow(r"llama-?7b", 2_048),
    ),
    vision_names=r"llama-4",
    chat_names=r"tulu|guanaco|phind",
    # Reflection, a tuning of Llama 3.1, writes both (mattshumer/Reflection-Llama-3.1-70B).
    thinking_tags=(("<thinking>", "</thinking>"), ("<reflection>", "</reflection>")),
)

"""IBM's Granite 3 instruct, and the older Granite code models, which use plain labels.

Sources: `chat_template` of ibm-granite/granite-3.0-8b-instruct and
ibm-granite/granite-8b-code-instruct-4k, tokenizer_config.json, and `max_position_embeddings` in
config.json. The templates of Granite 3.1 and later fill in a dated system text for a
conversation without one; it is left out, because it changes from day to day.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import PIPE_CALL, CallMark, ToolFormat
from replicate_stream._model.families.turn import LINE_START, Tools, Turn


class GraniteToolFormat(ToolFormat):
    """The tools in a turn of their own, and calls as a list behind a mark.

    Source: `chat_template` of ibm-granite/granite-3.1-8b-instruct, tokenizer_config.json.
    """

    control_marks = r"<\|tool_call\|>|</?function_call>"
    call_marks = (PIPE_CALL, CallMark("<function_call>", ("</function_call>",)))
    before_calls = ""
    calls_layout = (f"{PIPE_CALL.opening}[", ", ", "]")
    has_control_tokens = True

    def render_tools(self, tools: Tools) -> str:
        return (
            "You are a helpful AI assistant with access to the following tools. When a tool is "
            f"required to answer the user's query, respond with {PIPE_CALL.opening} followed by a "
            "JSON list of tools used. If a tool does not exist in the provided list of tools, "
            "notify the user that you do not have the ability to fulfill the request."
        )

    def insert_tools(self, tools: Tools, turns: list[Turn]) -> list[Turn]:
        text = self.dump_tools(tools, indent=4)
        turn = f"<|start_of_role|>available_tools<|end_of_role|>{text}<|end_of_text|>\n"
        return [Turn("none", turn, is_rendered=True), *turns]


_GRANITE = ChatTemplate(
    name="granite",
    tool_format=GraniteToolFormat,
    **mark_roles("<|start_of_role|>{}<|end_of_role|>", "<|end_of_text|>\n", tool="tool_response"),
    control_marks=r"<\|(?:start_of_role|end_of_role|end_of_text|tool_call)\|>",
    hint=r"<\|start_of_role\|>",
    names=r"granite-?[3-9]|granite-(?:speech|vision|guardian)",
)
_CODE = ChatTemplate(
    name="granite-code",
    **mark_roles("{}:\n", "\n\n", system="System", user="Question", assistant="Answer"),
    control_marks=rf"{LINE_START}(?:System|Question|Answer):|<\|endoftext\|>",
    hint=r"Question:\n\{prompt\}",
    names=r"granite-\d+b-code",
)
FAMILY = Family(
    # `granite-34b-code` would match the pattern of Granite 3 too.
    templates=(_CODE, _GRANITE),
    tool_formats=((r"granite-20b", GraniteToolFormat),),
    chat_names=r"granite-?[4-9](?!.*base)",
    windows=(
        ContextWindow(r"granite-?3\.0", 4_096),
        ContextWindow(r"granite-?(?:3\.[1-9]|4)", 131_072),
        ContextWindow(r"granite-20b-code", 8_192),
    ),
)

"""ChatML and the models that were tuned on it: Hermes 2 to 4, Dolphin, OpenOrca, Yi, SmolLM.

Hermes has a tool format of its own; the other models are offered tools in Qwen's words.

Sources: `chat_template` of teknium/OpenHermes-2.5-Mistral-7B, 01-ai/Yi-34B-Chat,
internlm/internlm2-chat-7b and HuggingFaceTB/SmolLM2-1.7B-Instruct, tokenizer_config.json, and
`max_position_embeddings` in config.json. Hermes 4 70B and 405B have the marks of Llama 3 ("Prompt
Format" in the model card of NousResearch/Hermes-4-405B). Parts of their template are in commit
d6da177 of lmstudio-community/Hermes-4-70B-MLX-6bit, and its offer of tools, rendered, in
hermes/templates/system-hermes-4.txt of gittensor-model-hub/Spark-Hermes. The rest is that of
Qwen2.5, from which it was made: docs/golden-pass-evidence/template-conformance-2026-09-07.txt of
Joakimpalm-Zen/xyntetik-runner finds calls and results of Hermes 4 14B as long as Qwen's. Earlier
thoughts are left out, which the card calls the default of `keep_cots`. Qwen has a file of its own.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import HermesToolFormat
from replicate_stream._model.families.turn import SPECIAL_TOKENS, Tools


class NousToolFormat(HermesToolFormat):
    """Hermes's own words, in a turn of the system's before that of the system text.

    Source: the template `tool_use` of NousResearch/Hermes-2-Pro-Llama-3-8B and
    Hermes-3-Llama-3.1-8B, tokenizer_config.json, but for the tools and results: they are JSON as in
    the models' cards, because the template does not escape what it writes into JSON.
    """

    is_before_system = True
    has_own_turn = True

    def render_tools(self, tools: Tools) -> str:
        listed = "\n".join(map(self.dump_tool, tools))
        return (
            "You are a function calling AI model. You are provided with function signatures "
            "within <tools></tools> XML tags. You may call one or more functions to assist with "
            "the user query. Don't make assumptions about what values to plug into functions. Here "
            f"are the available tools: <tools> {listed} </tools>Use the following pydantic model "
            'json schema for each tool call you will make: {"properties": {"name": {"title": '
            '"Name", "type": "string"}, "arguments": {"title": "Arguments", "type": "object"}}, '
            '"required": ["name", "arguments"], "title": "FunctionCall", "type": '
            '"object"}}\nFor each function call return a json object with function name '
            "and arguments within <tool_call></tool_call> XML tags as follows:\n<tool_call>\n"
            '{"name": <function-name>, "arguments": <args-dict>}\n</tool_call>'
        )


class Hermes4ToolFormat(HermesToolFormat):
    """Hermes 4: the words of Qwen, nearly, behind the system text, and results as the user's."""

    result_role = "user"
    has_result_names = False

    def render_tools(self, tools: Tools) -> str:
        return (
            super()
            .render_tools(tools)
            .replace("\n\nYou may", "\n\nYou are a function calling AI model. You may", 1)
            .replace("\n</tools>\n\n", "\n</tools>\n")
            .replace('{"name": <function-name>,', '{"name": "<function-name>",')
        )


class Hermes4LlamaToolFormat(Hermes4ToolFormat):
    """The same behind one line break, where a system text without tools has two."""

    def join_system(self, system: str, offer: str) -> str:
        return super().join_system(system.removeprefix("\n"), offer)


CHATML = ChatTemplate(
    name="chatml",
    **mark_roles("<|im_start|>{}\n", "<|im_end|>\n", tool="tool"),
    # The models were tuned from several others, whose marks are tokens for them too.
    control_marks=SPECIAL_TOKENS,
    # Some schemas only mention the format's name, in a description.
    hint=r"<\|im_start\|>|(?i:\bchat-?ml\b)",
    names=r"dolphin|hermes|openorca|orca-2|\byi-.*chat|smollm|chatml|aquila",
)
_HERMES = CHATML._replace(hint=None, names=r"hermes", tool_format=NousToolFormat)
_HERMES4 = _HERMES._replace(
    names=r"hermes-4",
    default_system="You are Hermes, created by Nous Research.",
    thought_end=r"</think>\n*",
    tool_format=Hermes4ToolFormat,
)
_HERMES4_LLAMA = _HERMES4._replace(
    name="llama3",
    start="<|begin_of_text|>",
    **mark_roles("<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>", tool="tool"),
    names=r"hermes-4.*(?:70|405)b",
)._replace(
    system=("<|start_header_id|>system<|end_header_id|>\n", "<|eot_id|>"),
    system_frame=("\n", ""),
    default_system=f"\n{_HERMES4.default_system}",
    tool_format=Hermes4LlamaToolFormat,
)
_INTERNLM2 = CHATML._replace(start="<s>", hint=None, names=r"internlm2")
FAMILY = Family(
    templates=(_HERMES4_LLAMA, _HERMES4, _HERMES, _INTERNLM2, CHATML),
    windows=(
        ContextWindow(r"\byi-\d+b", 4_096),
        ContextWindow(r"internlm2", 32_768),
        ContextWindow(r"smollm2", 8_192),
    ),
    chat_names=r"hermes|dolphin|orca",
)

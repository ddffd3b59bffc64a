"""Microsoft's Phi 3 and 3.5, Phi 4, and Phi 4 mini, which has Phi 3's marks without the newlines.

Sources: `chat_template` of microsoft/Phi-3-mini-4k-instruct (July 2024, when the system role came),
microsoft/phi-4 and microsoft/Phi-4-mini-instruct, tokenizer_config.json, and
`max_position_embeddings` in config.json. The templates of Phi 3 and Phi 4 offer no tools.
"""

from collections.abc import Sequence

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import (
    PIPE_CALL,
    CallMark,
    ToolFormat,
    ToolResult,
    to_json,
)
from replicate_stream._model.families.turn import Tools, Turn


class Phi4MiniToolFormat(ToolFormat):
    """The tools as a JSON list behind the system text, and calls as a list between marks.

    Sources: "Tool-enabled function-calling format" and the example of a call in the model card of
    microsoft/Phi-4-mini-instruct. Its template has no results; the mark before them is the one in
    models/templates/llama-cpp-microsoft-Phi-4-mini-instruct.jinja of ggml-org/llama.cpp.
    """

    control_marks = r"<\|/?tool(?:_call|_response)?\|>|functools(?=\s*[\[{])"
    call_marks = (PIPE_CALL, CallMark("functools", has_fence=False, ends_broken_call=False))
    result_marks = ("<|tool_response|>",)
    before_calls = ""
    calls_layout = ("<|tool_call|>[", ", ", "]<|/tool_call|>")
    has_control_tokens = True

    def render_tools(self, tools: Tools) -> str:
        return f"<|tool|>[{', '.join(map(self.dump_function, tools))}]<|/tool|>"

    def join_system(self, system: str, offer: str) -> str:
        return (system or "You are a helpful assistant with some tools.") + offer

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        texts = (f"<|tool_response|>{to_json(each.text)}<|end|>" for each in results)
        return [Turn("none", text, is_rendered=True) for text in texts]


_PHI3 = ChatTemplate(
    name="phi3",
    **mark_roles("<|{}|>\n", "<|end|>\n"),
    control_marks=r"<\|(?:system|user|assistant|tool|end|endoftext)\|>",
    hint=r"<\|end\|>\n",
    # Dolphin and Hermes on Phi 3 were trained on ChatML.
    names=r"^(?!.*(?:dolphin|hermes|orca)).*phi-?3",
)
_PHI4_MINI = _PHI3._replace(
    name="phi4-mini",
    **mark_roles("<|{}|>", "<|end|>"),
    tool_format=Phi4MiniToolFormat,
    hint=r"<\|end\|>(?!\n)",  # Phi 3 has a newline there
    names=r"phi-?4-(?:mini|multimodal)",
)
_PHI4 = ChatTemplate(
    name="phi4",
    **mark_roles("<|im_start|>{}<|im_sep|>", "<|im_end|>"),
    control_marks=r"<\|(?:im_start|im_sep|im_end|endoftext)\|>",
    hint=r"<\|im_sep\|>",
    names=r"phi-?4",
)
FAMILY = Family(
    # `phi-4-mini` matches the pattern of Phi 4 too.
    templates=(_PHI4_MINI, _PHI4, _PHI3),
    # Only the tuned models of Phi 3 and 4 are published.
    chat_names=r"phi-?[34]",
    windows=(
        ContextWindow(r"phi-?4-mini|phi-?3(?:\.5)?-vision", 131_072),
        ContextWindow(r"phi-?4", 16_384),
        ContextWindow(r"phi-?2\b|phixtral", 2_048),
    ),
)

"""Microsoft's Phi 3 and 3.5, Phi 4, and Phi 4 mini, which has Phi 3's marks without the newlines.

Sources: `chat_template` of microsoft/Phi-3-mini-4k-instruct (July 2024, when the system role came),
microsoft/phi-4 and microsoft/Phi-4-mini-instruct, tokenizer_config.json, and
`max_position_embeddings` in config.json; the model card of microsoft/Phi-4-mini-instruct for its
mark of calls.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import PIPE_CALL, CallMark, HermesToolFormat


class PhiToolFormat(HermesToolFormat):
    """The format of Hermes, and the marks behind which Phi 4 mini writes calls by itself."""

    control_marks = (
        rf"{HermesToolFormat.control_marks}|<\|/?tool(?:_call)?\|>|functools(?=\s*[\[{{])"
    )
    call_marks = (
        *HermesToolFormat.call_marks,
        PIPE_CALL,
        CallMark("functools", has_fence=False, ends_broken_call=False),
    )


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
    tool_format=PhiToolFormat,
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
        ContextWindow(r"phi-?4-mini", 131_072),
        ContextWindow(r"phi-?4", 16_384),
        ContextWindow(r"phi-?2\b", 2_048),
    ),
)

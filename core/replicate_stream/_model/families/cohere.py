"""Cohere's Command R and R+, and Aya.

Source: `chat_template` of CohereForAI/c4ai-command-r-plus, tokenizer_config.json, and
`max_position_embeddings` in config.json. The tags around the reasoning are those of
CohereLabs/command-a-reasoning-08-2025.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import CallMark, HermesToolFormat


class CommandToolFormat(HermesToolFormat):
    """The format of Hermes, and the marks behind which Command R and R7B write calls themselves."""

    control_marks = rf"{HermesToolFormat.control_marks}|Action:(?=\s*(?:```|[\[{{]))|<\|[A-Z_]+\|>"
    call_marks = (
        *HermesToolFormat.call_marks,
        CallMark("Action:", ends_broken_call=False),
        CallMark("<|START_ACTION|>", ("<|END_ACTION|>",)),
    )


_COMMAND_R = ChatTemplate(
    name="command-r",
    start="<BOS_TOKEN>",
    **mark_roles(
        "<|START_OF_TURN_TOKEN|><|{}_TOKEN|>",
        "<|END_OF_TURN_TOKEN|>",
        system="SYSTEM",
        user="USER",
        assistant="CHATBOT",
        tool="SYSTEM",  # the template has results in a turn of the system
    ),
    tool_format=CommandToolFormat,
    is_trimmed=True,
    control_marks=r"<\|[A-Z_]+_TOKEN\|>|<(?:BOS|EOS)_TOKEN>",
    hint=r"<\|START_OF_TURN_TOKEN\|>",
    names=r"command-?r|c4ai|\baya\b",
)
FAMILY = Family(
    templates=(_COMMAND_R,),
    windows=(ContextWindow(r"command-?r", 131_072),),
    chat_names=r"command-?r",
    thinking_tags=(("<|START_THINKING|>", "<|END_THINKING|>"),),
)

"""Qwen, QwQ and QVQ: ChatML, with tool results in the user's turn.

Sources: `chat_template` of Qwen/Qwen2.5-7B-Instruct and Qwen/Qwen3-8B, tokenizer_config.json, and
`max_position_embeddings` in config.json. The templates of Qwen 1.5 to 2.5 fill in a system text for
a conversation without one; it asks for nothing that the models do not do anyway, and is left out.
"""

from replicate_stream._model.families.chatml import CHATML
from replicate_stream._model.families.family import ContextWindow, Family
from replicate_stream._model.families.tool_format import HermesToolFormat


class QwenToolFormat(HermesToolFormat):
    """The format of Hermes, but a result is the user's and carries no name."""

    result_role = "user"
    has_result_names = False


FAMILY = Family(
    # Without a hint: its turns look like those of any other model on ChatML.
    templates=(CHATML._replace(hint=None, names=r"qwen|qwq|qvq", tool_format=QwenToolFormat),),
    windows=(
        ContextWindow(r"qwen-?3.*2507", 262_144),
        ContextWindow(r"qwq", 131_072),
        ContextWindow(r"qwen-?(?:3|2\.5|2|1\.5)", 32_768),
    ),
    thinking_names=r"qwq",
    # From version 3 on only the untuned models have a suffix, `base`.
    chat_names=r"qwen-?3(?!.*base)|qwq",
    thinking_tags=(("<think>", "</think>"),),
)

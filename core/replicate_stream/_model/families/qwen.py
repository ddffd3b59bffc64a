"""Qwen, QwQ and QVQ: ChatML, with tool results in the user's turn.

Sources: `chat_template` of Qwen/Qwen2.5-7B-Instruct and Qwen/Qwen3-8B, tokenizer_config.json, and
`max_position_embeddings` in config.json. The templates of Qwen 1.5 to 2.5 fill in a system text for
a conversation without one; it asks for nothing that the models do not do anyway, and is left out.
"""

from replicate_stream._model.families.call_syntax import parse_tags
from replicate_stream._model.families.chatml import CHATML
from replicate_stream._model.families.family import ContextWindow, Family
from replicate_stream._model.families.tool_format import CallMark, HermesToolFormat

_PARAMETER = r"<parameter=(?P<key>[^<>]+?)>\n?(?P<value>[\s\S]*?)\n?</parameter>"


class QwenToolFormat(HermesToolFormat):
    """The format of Hermes, but a result is the user's and carries no name."""

    result_role = "user"
    has_result_names = False


class QwenCoderToolFormat(QwenToolFormat):
    """The format of Qwen, and the tags in which Qwen3-Coder writes calls by itself.

    Source: `chat_template` of Qwen/Qwen3-Coder-30B-A3B-Instruct, tokenizer_config.json.
    """

    call_marks = (
        *QwenToolFormat.call_marks,
        *(
            CallMark(
                opening,
                (closing,),
                header=rf"\s*{function}\s*([^<>\s]+)\s*>",
                header_start=rf"\s*(?:{function[:1]}[^<>\s]*)?\s*",
                parse=parse_tags(_PARAMETER, r"</function>"),
            )
            for opening, closing, function in (
                ("<tool_call>", "</tool_call>", "<function="),
                ("<function=", "</function>", ""),
            )
        ),
    )


FAMILY = Family(
    # Without a hint: its turns look like those of any other model on ChatML.
    templates=(CHATML._replace(hint=None, names=r"qwen|qwq|qvq", tool_format=QwenToolFormat),),
    tool_formats=((r"qwen-?3-coder", QwenCoderToolFormat),),
    windows=(
        ContextWindow(r"qwen-?3.*2507", 262_144),
        ContextWindow(r"qwq", 131_072),
        ContextWindow(r"qwen-?(?:3|2\.5|2|1\.5)", 32_768),
    ),
    thinking_names=r"qwq",
    # From version 3 on only the untuned models have a suffix, `base`.
    chat_names=r"qwen-?3(?!.*base)|qwq",
    # The templates of QwQ and of the models that always think end with the opening tag.
    unopened_names=r"qwq|qwen-?3.*thinking",
    thinking_tags=(("<think>", "</think>"),),
)

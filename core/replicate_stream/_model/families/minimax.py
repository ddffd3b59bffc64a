"""MiniMax M1 and M2, which take messages.

Sources: `chat_template` of MiniMaxAI/MiniMax-M1-80k, tokenizer_config.json, and
`chat_template.jinja` of MiniMaxAI/MiniMax-M2.
"""

from replicate_stream._model.families.call_syntax import INVOKE
from replicate_stream._model.families.family import Family
from replicate_stream._model.families.tool_format import CallMark, HermesToolFormat


class MiniMaxToolFormat(HermesToolFormat):
    """The format of Hermes, and the tags in which M1 (JSON) and M2 write calls by themselves."""

    call_marks = (
        *HermesToolFormat.call_marks,
        CallMark("<tool_calls>", ("</tool_calls>",)),
        INVOKE,
    )
    frame_marks = ("<minimax:tool_call>", "</minimax:tool_call>")


FAMILY = Family(tool_formats=((r"minimax", MiniMaxToolFormat),))

"""ChatGLM 3 and GLM 4.

Source: `chat_template` of THUDM/chatglm3-6b, tokenizer_config.json, and PROMPT.md of
THUDM/ChatGLM3 for the newline after each role; `max_position_embeddings` of zai-org/GLM-4.5.
"""

from replicate_stream._model.families.call_syntax import parse_tags
from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import CallMark, HermesToolFormat


class GlmToolFormat(HermesToolFormat):
    """The format of Hermes, and the tags in which GLM 4.5 and later write calls by themselves.

    Source: `chat_template.jinja` of zai-org/GLM-4.5.
    """

    call_marks = (
        *HermesToolFormat.call_marks,
        CallMark(
            "<tool_call>",
            ("</tool_call>",),
            header=r"\s*([\w.\-]+)\s*(?=<arg_key>)",
            header_start=r"\s*[\w.\-]*\s*(?:<[arg_key]*)?",
            parse=parse_tags(
                r"<arg_key>(?P<key>[^<>]+)</arg_key>\s*"
                r"<arg_value>(?P<value>[\s\S]*?)</arg_value>"
            ),
            needs_closing=True,
        ),
    )


_CHATGLM3 = ChatTemplate(
    name="chatglm3",
    **mark_roles("<|{}|>\n", "\n", tool="observation"),
    control_marks=r"<\|(?:system|user|assistant|observation)\|>",
    hint=r"<\|observation\|>",
    names=r"chatglm3|glm-4",
)
FAMILY = Family(
    templates=(_CHATGLM3,),
    tool_formats=((r"glm-4", GlmToolFormat),),
    windows=(ContextWindow(r"glm-4\.5", 131_072),),
)

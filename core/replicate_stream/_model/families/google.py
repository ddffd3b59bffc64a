"""Google's Gemma 1 to 3, instruction tuned; Gemini, which takes messages; and Flan-T5.

Sources: `chat_template` of google/gemma-7b-it and google/gemma-3-12b-it, tokenizer_config.json, and
`max_position_embeddings` in config.json; the table of models at
https://ai.google.dev/gemini-api/docs/models; the model card of google/flan-t5-xl. Gemma has no
system role: the template of Gemma 3 puts the text before the first user turn, as here.
"""

from replicate_stream._model.families.call_syntax import parse_gemma
from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import CallMark, HermesToolFormat


class Gemma4ToolFormat(HermesToolFormat):
    """The format of Hermes, and the marks behind which Gemma 4 writes calls by itself.

    Source: `chat_template.jinja` of google/gemma-4-31B-it.
    """

    call_marks = (
        *HermesToolFormat.call_marks,
        CallMark(
            "<|tool_call>",
            ("<tool_call|>",),
            header=r"\s*call:([\w.\-]+)(?=\{)",
            header_start=r"\s*(?:c(?:a(?:l(?:l(?::[\w.\-]*)?)?)?)?)?",
            parse=parse_gemma,
        ),
    )


_GEMMA = ChatTemplate(
    name="gemma",
    start="<bos>",
    **mark_roles("<start_of_turn>{}\n", "<end_of_turn>\n", system=None, assistant="model"),
    is_trimmed=True,
    control_marks=r"<(?:start_of_turn|end_of_turn|bos|eos)>",
    hint=r"<start_of_turn>",
    names=r"gemma",
)
FAMILY = Family(
    templates=(_GEMMA,),
    tool_formats=((r"gemma-?4", Gemma4ToolFormat),),
    windows=(
        ContextWindow(r"gemini-2\.0", 1_048_576, 8_192),
        ContextWindow(r"gemini-(?:2\.5|3)", 1_048_576, 65_536),
        ContextWindow(r"flan-t5", 512),
        ContextWindow(r"gemma-?3-(?:1b|270m)", 32_768),
        ContextWindow(r"gemma-?3", 131_072),
        ContextWindow(r"gemma", 8_192),
    ),
    vision_names=r"gemini|gemma-?3-(?:4|12|27)b",
    hosted_names=r"gemini-",
)

"""Moonshot's Kimi.

Source: `max_position_embeddings` of moonshotai/Kimi-K2-Instruct and moonshotai/Kimi-K2-Thinking,
config.json. The tags around the reasoning are those of moonshotai/Kimi-VL-A3B-Thinking.
"""

from replicate_stream._model.families.family import ContextWindow, Family
from replicate_stream._model.families.tool_format import CallMark, HermesToolFormat


class KimiToolFormat(HermesToolFormat):
    """The format of Hermes, and the marks behind which Kimi K2 writes calls by itself.

    Source: `chat_template.jinja` of moonshotai/Kimi-K2-Instruct.
    """

    call_marks = (
        *HermesToolFormat.call_marks,
        CallMark(
            "<|tool_call_begin|>",
            ("<|tool_call_end|>",),
            header=r"\s*(?:functions\.)?([\w.\-]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>",
            header_start=r"\s*[\w.\-]*(?::\d*)?\s*(?:<[|\w]*)?",
            has_fence=False,
        ),
    )
    frame_marks = ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")


FAMILY = Family(
    tool_formats=((r"kimi", KimiToolFormat),),
    windows=(ContextWindow(r"kimi-k2-thinking", 262_144), ContextWindow(r"kimi-k2", 131_072)),
    thinking_tags=(("\u25c1think\u25b7", "\u25c1/think\u25b7"),),
)

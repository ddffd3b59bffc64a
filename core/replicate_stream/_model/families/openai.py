"""OpenAI's models, which take messages: GPT 4o, 4.1 and 5, the o series, and gpt-oss.

Source: the table of models at https://platform.openai.com/docs/models.
"""

from replicate_stream._model.families.family import ContextWindow, Family
from replicate_stream._model.families.tool_format import CallMark, HermesToolFormat


class HarmonyToolFormat(HermesToolFormat):
    """The format of Hermes, and the channel in which gpt-oss writes calls by itself.

    Source: https://developers.openai.com/cookbook/articles/openai-harmony.
    """

    call_marks = (
        *HermesToolFormat.call_marks,
        CallMark(
            "<|channel|>commentary to=",
            ("<|call|>",),
            header=r"(?:functions\.)?([^<\s]+)<\|message\|>",
            header_start=r"[^<\s]*(?:<[|a-z]*)?",
            has_fence=False,
        ),
    )


FAMILY = Family(
    tool_formats=((r"gpt-oss", HarmonyToolFormat),),
    windows=(
        ContextWindow(r"gpt-4\.1", 1_047_576, 32_768),
        ContextWindow(r"gpt-5-chat", 128_000, 16_384),
        ContextWindow(r"gpt-5", 400_000, 128_000),
        ContextWindow(r"gpt-4o|chatgpt-4o", 128_000, 16_384),
        ContextWindow(r"gpt-oss", 131_072),
        ContextWindow(r"\bo1-mini\b", 128_000, 65_536),
        # Whole words only: a name such as `turbo3` contains `o3` too.
        ContextWindow(r"\bo[134](?:-mini|-pro)?\b", 200_000, 100_000),
    ),
    vision_names=r"gpt-4o|gpt-4\.1|gpt-5|\bo[134]\b",
    hosted_names=r"\b(?:chat)?gpt-[345]|\bo[134]\b",
)

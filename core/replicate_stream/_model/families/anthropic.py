"""Anthropic's Claude, which takes its text through inputs of its own.

Source: the table of models at https://docs.anthropic.com/en/docs/about-claude/models/overview.
"""

from replicate_stream._model.families.call_syntax import INVOKE, parse_tags
from replicate_stream._model.families.family import ContextWindow, Family
from replicate_stream._model.families.tool_format import CallMark, HermesToolFormat

_PREFIX = "antml:"  # of the same tags, in newer models


class ClaudeToolFormat(HermesToolFormat):
    """The format of Hermes, and the tags in which Claude writes calls by itself.

    Source: https://docs.anthropic.com/en/docs/legacy-tool-use, and for the attributes the prompts
    at https://docs.anthropic.com/en/docs/build-with-claude/tool-use/overview.
    """

    call_marks = (
        *HermesToolFormat.call_marks,
        INVOKE,
        INVOKE._replace(opening=f"<{_PREFIX}invoke name=", closings=(f"</{_PREFIX}invoke>",)),
        CallMark(
            "<invoke>",
            ("</invoke>",),
            header=r"\s*<tool_name>([^<>]+)</tool_name>\s*<parameters>",
            parse=parse_tags(
                r"<(?P<key>[\w.\-]+)>(?P<value>[\s\S]*?)</(?P=key)>", end="</parameters>"
            ),
            needs_closing=True,
        ),
    )
    result_marks = ("<function_results>", f"<{_PREFIX}function_results>")
    frame_marks = tuple(
        f"<{end}{prefix}function_calls>" for prefix in ("", _PREFIX) for end in ("", "/")
    )


FAMILY = Family(
    tool_formats=((r"claude", ClaudeToolFormat),),
    windows=(
        ContextWindow(r"claude-(?:3\.5|3-5)", 200_000, 8_192),
        ContextWindow(r"claude-(?:4-opus|opus-4\.1|4\.1-opus)", 200_000, 32_000),
        ContextWindow(r"claude-(?:3\.7|4-sonnet|4\.5|opus-4\.5)", 200_000, 64_000),
        ContextWindow(r"claude", 200_000),
    ),
    vision_names=r"claude",
    hosted_names=r"claude-",
)

"""Anthropic's Claude, which takes its text through inputs of its own.

Source: the table of models at https://docs.anthropic.com/en/docs/about-claude/models/overview.
"""

from replicate_stream._model.families.family import ContextWindow, Family

FAMILY = Family(
    windows=(
        ContextWindow(r"claude-(?:3\.5|3-5)", 200_000, 8_192),
        ContextWindow(r"claude-(?:4-opus|opus-4\.1|4\.1-opus)", 200_000, 32_000),
        ContextWindow(r"claude-(?:3\.7|4-sonnet|4\.5|opus-4\.5)", 200_000, 64_000),
        ContextWindow(r"claude", 200_000),
    ),
    vision_names=r"claude",
    hosted_names=r"claude-",
)

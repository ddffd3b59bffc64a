"""xAI's Grok.

Source: the table of models at https://docs.x.ai/docs/models.
"""

from replicate_stream._model.families.family import ContextWindow, Family

FAMILY = Family(
    windows=(ContextWindow(r"grok-4", 256_000), ContextWindow(r"grok-3", 131_072)),
    vision_names=r"grok-4",
    hosted_names=r"\bgrok-[2-9]",
)

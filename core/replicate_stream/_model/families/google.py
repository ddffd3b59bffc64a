"""Google's Gemini, and Flan-T5. Gemma has a file of its own.

Source: the table of models at https://ai.google.dev/gemini-api/docs/models; the model card of
google/flan-t5-xl.
"""

from replicate_stream._model.families.family import ContextWindow, Family

FAMILY = Family(
    windows=(
        ContextWindow(r"gemini-2\.0", 1_048_576, 8_192),
        ContextWindow(r"gemini-(?:2\.5|3)", 1_048_576, 65_536),
        ContextWindow(r"flan-t5", 512),
    ),
    vision_names=r"gemini",
)

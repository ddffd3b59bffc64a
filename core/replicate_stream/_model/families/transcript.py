"""A readable transcript, for models whose format is not known, or that apply one themselves.

Roles are labels at the beginning of a line, as in a printed interview. The file also holds the
facts of models without a chat template here, and tags that the tunings of several families write.

Source: `max_position_embeddings` of databricks/dbrx-instruct, databricks/dolly-v2-12b,
EleutherAI/gpt-j-6b, OpenAssistant/oasst-sft-4-pythia-12b-epoch-3.5 and
Snowflake/snowflake-arctic-instruct, config.json.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family
from replicate_stream._model.families.turn import LINE_START

TRANSCRIPT = ChatTemplate(
    name="transcript",
    system=("", "\n\n"),
    user=("User: ", "\n\n"),
    assistant=("Assistant: ", "\n\n"),
    tool=("Tool: ", "\n\n"),
    generation_prompt="Assistant:",
    control_marks=rf"{LINE_START}(?:System|User|Assistant|Tool):",
)
FAMILY = Family(
    templates=(TRANSCRIPT,),
    windows=(
        ContextWindow(r"dbrx", 32_768),
        ContextWindow(r"snowflake-arctic", 4_096),
        ContextWindow(r"dolly|gpt-j|oasst", 2_048),
    ),
    thinking_tags=(("<thought>", "</thought>"), ("<reasoning>", "</reasoning>")),
)

"""Models without a chat template here, and tags that the tunings of several families write.

Source: `max_position_embeddings` of databricks/dbrx-instruct, databricks/dolly-v2-12b,
EleutherAI/gpt-j-6b, OpenAssistant/oasst-sft-4-pythia-12b-epoch-3.5 and
Snowflake/snowflake-arctic-instruct, config.json.
"""

from replicate_stream._model.families.family import ContextWindow, Family

FAMILY = Family(
    windows=(
        ContextWindow(r"dbrx", 32_768),
        ContextWindow(r"snowflake-arctic", 4_096),
        ContextWindow(r"dolly|gpt-j|oasst", 2_048),
    ),
    thinking_tags=(("<thought>", "</thought>"), ("<reasoning>", "</reasoning>")),
)

"""Upstage's Solar instruct.

Source: `chat_template` of upstage/SOLAR-10.7B-Instruct-v1.0, tokenizer_config.json, and
`max_position_embeddings` in config.json.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family

_SOLAR = ChatTemplate(
    name="solar",
    system=("### System:\n", "\n\n"),
    user=("### User:\n", "\n\n"),
    assistant=("### Assistant:\n", ""),  # nothing ends an answer
    control_marks=r"###\s*(?:System|User|Assistant):|</?s>",
    hint=r"### User:\n",
    names=r"solar.*(?:instruct|uncensored)",
)
FAMILY = Family(
    templates=(_SOLAR,), windows=(ContextWindow(r"solar-10|solar-uncensored|borealis-10", 4_096),)
)

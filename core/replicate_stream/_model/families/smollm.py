"""SmolLM and SmolLM 2: ChatML.

Sources: `chat_template` of HuggingFaceTB/SmolLM2-1.7B-Instruct, tokenizer_config.json, and
`max_position_embeddings` in config.json.
"""

from dataclasses import replace

from replicate_stream._model.families.family import ContextWindow, Family
from replicate_stream._model.families.hermes import CHATML

FAMILY = Family(
    templates=(replace(CHATML, hint=None, names=r"smollm"),),
    windows=(ContextWindow(r"smollm2", 8_192),),
)

"""Yi chat: ChatML.

Sources: `chat_template` of 01-ai/Yi-34B-Chat, tokenizer_config.json, and
`max_position_embeddings` in config.json.
"""

from dataclasses import replace

from replicate_stream._model.families.family import ContextWindow, Family
from replicate_stream._model.families.hermes import CHATML

FAMILY = Family(
    templates=(replace(CHATML, hint=None, names=r"\byi-.*chat"),),
    windows=(ContextWindow(r"\byi-\d+b", 4_096),),
)

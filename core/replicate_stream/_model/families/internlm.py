"""InternLM 2: ChatML.

Sources: `chat_template` of internlm/internlm2-chat-7b, tokenizer_config.json, and
`max_position_embeddings` in config.json.
"""

from dataclasses import replace

from replicate_stream._model.families.family import ContextWindow, Family
from replicate_stream._model.families.hermes import CHATML

FAMILY = Family(
    templates=(replace(CHATML, hint=None, names=r"internlm2"),),
    windows=(ContextWindow(r"internlm2", 32_768),),
)

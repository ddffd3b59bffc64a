"""Command R and R+, and Aya.

Source: `chat_template` of CohereForAI/c4ai-command-r-plus, tokenizer_config.json.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import Family, Marks


def _turn(role: str) -> Marks:
    return f"<|START_OF_TURN_TOKEN|><|{role}_TOKEN|>", "<|END_OF_TURN_TOKEN|>"


COMMAND_R = Family(
    name="command-r",
    start="<BOS_TOKEN>",
    system=_turn("SYSTEM"),
    user=_turn("USER"),
    assistant=_turn("CHATBOT"),
    tool=_turn("SYSTEM"),
    answer=_turn("CHATBOT")[0],
    is_trimmed=True,
    control=re.compile(r"<\|[A-Z_]+_TOKEN\|>|<(?:BOS|EOS)_TOKEN>"),
    hint=re.compile(r"<\|START_OF_TURN_TOKEN\|>"),
    names=re.compile(r"command-?r|c4ai|\baya\b"),
)

"""OpenChat 3.5 and Starling.

Source: `chat_template` of openchat/openchat-3.5-0106, tokenizer_config.json.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import Family, Marks


def _turn(role: str) -> Marks:
    return f"GPT4 Correct {role}: ", "<|end_of_turn|>"


OPENCHAT = Family(
    name="openchat",
    start="<s>",
    system=_turn("System"),
    user=_turn("User"),
    assistant=_turn("Assistant"),
    answer="GPT4 Correct Assistant:",
    control=re.compile(r"GPT4 Correct \w+:|<\|end_of_turn\|>|</?s>"),
    hint=re.compile(r"GPT4? Correct User:"),
    names=re.compile(r"openchat|starling"),
)

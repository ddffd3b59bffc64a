"""Zephyr and StableLM Zephyr.

Source: `chat_template` of HuggingFaceH4/zephyr-7b-beta, tokenizer_config.json.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import Family, Marks


def _turn(role: str) -> Marks:
    return f"<|{role}|>\n", "</s>\n"


ZEPHYR = Family(
    name="zephyr",
    system=_turn("system"),
    user=_turn("user"),
    assistant=_turn("assistant"),
    answer="<|assistant|>\n",
    control=re.compile(r"<\|(?:system|user|assistant)\|>|</?s>"),
    hint=re.compile(r"<\|user\|>\n\{prompt\}</s>"),
    names=re.compile(r"zephyr|tinyllama.*chat"),
)

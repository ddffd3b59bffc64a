"""Llama 4 instruct.

Source: `chat_template` of meta-llama/Llama-4-Scout-17B-16E-Instruct, tokenizer_config.json.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import Family, Marks


def _turn(role: str) -> Marks:
    return f"<|header_start|>{role}<|header_end|>\n\n", "<|eot|>"


LLAMA4 = Family(
    name="llama4",
    dialect="llama",
    start="<|begin_of_text|>",
    system=_turn("system"),
    user=_turn("user"),
    assistant=_turn("assistant"),
    tool=_turn("ipython"),
    answer=_turn("assistant")[0],
    is_system_trimmed=True,
    control=re.compile(r"<\|[a-z][a-z0-9_]*\|>"),
    hint=re.compile(r"<\|header_start\|>"),
    names=re.compile(r"llama-?4"),
)

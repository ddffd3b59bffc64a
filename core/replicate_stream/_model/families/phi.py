"""Phi 3 and 3.5, Phi 4, and Phi 4 mini, which has Phi 3's marks without the newlines.

Sources: `chat_template` of microsoft/Phi-3-mini-4k-instruct (July 2024, when the system role came),
microsoft/phi-4 and microsoft/Phi-4-mini-instruct, tokenizer_config.json.
"""

from __future__ import annotations

import re
from dataclasses import replace

from replicate_stream._model.families.family import Family, Marks


def _turn(role: str) -> Marks:
    return f"<|{role}|>\n", "<|end|>\n"


def _turn4(role: str) -> Marks:
    return f"<|im_start|>{role}<|im_sep|>", "<|im_end|>"


PHI3 = Family(
    name="phi3",
    system=_turn("system"),
    user=_turn("user"),
    assistant=_turn("assistant"),
    answer="<|assistant|>\n",
    control=re.compile(r"<\|(?:system|user|assistant|tool|end|endoftext)\|>"),
    hint=re.compile(r"<\|end\|>\n"),
    names=re.compile(r"phi-?3"),
)
PHI4_MINI = replace(
    PHI3,
    name="phi4-mini",
    system=("<|system|>", "<|end|>"),
    user=("<|user|>", "<|end|>"),
    assistant=("<|assistant|>", "<|end|>"),
    answer="<|assistant|>",
    hint=re.compile(r"<\|end\|>(?!\n)"),
    names=re.compile(r"phi-?4-(?:mini|multimodal)"),
)
PHI4 = Family(
    name="phi4",
    system=_turn4("system"),
    user=_turn4("user"),
    assistant=_turn4("assistant"),
    answer=_turn4("assistant")[0],
    control=re.compile(r"<\|(?:im_start|im_sep|im_end|endoftext)\|>"),
    hint=re.compile(r"<\|im_sep\|>"),
    names=re.compile(r"phi-?4"),
)

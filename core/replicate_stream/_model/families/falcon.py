"""Falcon 7B and 40B instruct, Falcon 180B chat, and Falcon 3.

Sources: `chat_template` of tiiuae/falcon-7b-instruct and tiiuae/Falcon3-7B-Instruct,
tokenizer_config.json; the model card of tiiuae/falcon-180B-chat.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import LINE_START, Family

_LABELS = rf"{LINE_START}(?:System|User|Assistant|Falcon):"

FALCON = Family(
    name="falcon",
    system=("", ""),
    user=("\n\nUser: ", ""),
    assistant=("\n\nAssistant: ", ""),
    answer="\n\nAssistant:",
    is_trimmed=True,
    is_system_trimmed=True,
    control=re.compile(rf"{_LABELS}|<\|endoftext\|>"),
    hint=re.compile(r"User: \{prompt\}\n+Assistant:"),
    names=re.compile(r"falcon"),
)
FALCON_180B = Family(
    name="falcon-180b",
    system=("System: ", "\n"),
    user=("User: ", "\n"),
    assistant=("Falcon: ", "\n"),
    answer="Falcon:",
    control=re.compile(rf"{_LABELS}|<\|endoftext\|>"),
    hint=re.compile(r"\nFalcon:"),
    names=re.compile(r"falcon-?180b"),
)
FALCON3 = Family(
    name="falcon3",
    system=("<|system|>\n", "\n"),
    user=("<|user|>\n", "\n"),
    assistant=("<|assistant|>\n", "<|endoftext|>\n"),
    answer="<|assistant|>\n",
    control=re.compile(r"<\|(?:system|user|assistant|endoftext)\|>"),
    hint=re.compile(r"<\|user\|>\n\{prompt\}\n<\|assistant\|>"),
    names=re.compile(r"falcon-?3"),
)

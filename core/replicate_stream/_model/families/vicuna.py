"""Vicuna 1.1 and later, and what was trained like it: WizardLM, Airoboros, LLaVA, Capybara.

Source: the `vicuna_v1.1` conversation of lm-sys/FastChat, fastchat/conversation.py; the checkpoints
have no template of their own. Without a system text its usual preamble is used.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import Family

VICUNA = Family(
    name="vicuna",
    system=("", " "),
    default_system="A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    user=("USER: ", " "),
    assistant=("ASSISTANT: ", "</s>"),
    answer="ASSISTANT:",
    control=re.compile(r"(?:USER|ASSISTANT):|</?s>"),
    hint=re.compile(r"USER: ?[\s\S]*ASSISTANT:"),
    names=re.compile(r"vicuna|wizardlm|airoboros|capybara|goliath"),
)

"""Mistral and Mixtral instruct: four versions that differ in spaces and in the system text.

Sources: `chat_template` of mistralai/Mistral-7B-Instruct-v0.2 and Mixtral-8x7B-Instruct-v0.1 (v1),
Mistral-7B-Instruct-v0.3 (v3), Mistral-Nemo-Instruct-2407 (v3-tekken),
Mistral-Large-Instruct-2411 (v7), Mistral-Small-24B-Instruct-2501 (v7-tekken). v3 puts the system
text into the last user turn, where it would come after what was said before: here it is the first.
"""

from __future__ import annotations

import re
from dataclasses import replace

from replicate_stream._model.families.family import Family

MISTRAL = Family(
    name="mistral",
    start="<s>",
    user=(" [INST] ", " [/INST]"),
    assistant=(" ", "</s>"),
    answer="",
    control=re.compile(r"\[/?[A-Z][A-Z_]+\]|</?s>"),
    hint=re.compile(r"\[INST\] ?\{prompt\} \[/INST\]"),
    names=re.compile(r"mi[sx]tral"),
)
MISTRAL_V3 = replace(
    MISTRAL,
    name="mistral-v3",
    dialect="mistral",
    user=("[INST] ", "[/INST]"),
    hint=re.compile(r"\[INST\] \{prompt\}\[/INST\]"),
    names=re.compile(r"mistral-7b-instruct-v0\.3|mixtral-8x22b|mistral-large|codestral"),
)
MISTRAL_V3_TEKKEN = replace(
    MISTRAL,
    name="mistral-v3-tekken",
    dialect="mistral",
    user=("[INST]", "[/INST]"),
    assistant=("", "</s>"),
    hint=re.compile(r"\[INST\]\{prompt\}\[/INST\]"),
    names=re.compile(r"mistral-nemo|ministral|pixtral-12b"),
)
MISTRAL_V7 = replace(
    MISTRAL_V3,
    name="mistral-v7",
    system=("[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"),
    hint=re.compile(r"\[SYSTEM_PROMPT\] "),
    names=re.compile(r"mistral-large.*2411|pixtral-large"),
)
MISTRAL_V7_TEKKEN = replace(
    MISTRAL_V3_TEKKEN,
    name="mistral-v7-tekken",
    system=("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    hint=re.compile(r"\[SYSTEM_PROMPT\]"),
    names=re.compile(r"mistral-small.*(?:250\d|24b|3\.\d)|magistral|devstral|mistral-medium"),
)

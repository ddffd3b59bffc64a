"""Solar instruct, and Phind's Code Llama with headings of the same kind.

Source: `chat_template` of upstage/SOLAR-10.7B-Instruct-v1.0, tokenizer_config.json, and the model
card of Phind/Phind-CodeLlama-34B-v2.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import Family

SOLAR = Family(
    name="solar",
    start="<s>",
    system=("### System:\n", "\n\n"),
    user=("### User:\n", "\n\n"),
    assistant=("### Assistant:\n", "</s>\n\n"),
    answer="### Assistant:\n",
    control=re.compile(r"###\s*(?:System|User|Assistant):|</?s>"),
    hint=re.compile(r"### User:\n"),
    names=re.compile(r"solar.*(?:instruct|uncensored)"),
)
PHIND = Family(
    name="phind",
    system=("### System Prompt\n", "\n\n"),
    user=("### User Message\n", "\n\n"),
    assistant=("### Assistant\n", "\n\n"),
    answer="### Assistant\n",
    control=re.compile(r"###\s*(?:System Prompt|User Message|Assistant)"),
    hint=re.compile(r"### User Message\n"),
    names=re.compile(r"phind"),
)

"""Llama 2 chat and Code Llama instruct (7B to 34B).

Source: `chat_template` of meta-llama/Llama-2-7b-chat-hf, tokenizer_config.json. Every exchange
begins with `<s>` again; the system text is part of the first user turn.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import Family, literals

LLAMA2 = Family(
    name="llama2",
    user=("<s>[INST] ", " [/INST]"),
    assistant=(" ", " </s>"),
    answer="",
    system_in_user=("<<SYS>>\n", "\n<</SYS>>\n\n"),
    is_trimmed=True,
    control=literals("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>"),
    hint=re.compile(r"<<SYS>>"),
    names=re.compile(r"llama-?2.*chat|codellama-(?:7|13|34)b-instruct|codellama.*-instruct-vllm"),
)

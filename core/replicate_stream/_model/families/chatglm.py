"""ChatGLM 3 and GLM 4.

Source: `chat_template` of THUDM/chatglm3-6b, tokenizer_config.json, and PROMPT.md of
THUDM/ChatGLM3 for the newline after each role.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import Family

CHATGLM3 = Family(
    name="chatglm3",
    system=("<|system|>\n", "\n"),
    user=("<|user|>\n", "\n"),
    assistant=("<|assistant|>\n", "\n"),
    tool=("<|observation|>\n", "\n"),
    answer="<|assistant|>\n",
    control=re.compile(r"<\|(?:system|user|assistant|observation)\|>"),
    hint=re.compile(r"<\|observation\|>"),
    names=re.compile(r"chatglm3|glm-4"),
)

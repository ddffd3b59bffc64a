"""DeepSeek: V3 and R1 with its distillations, V2 and the first chat models, and Coder V1.

Sources: `chat_template` of deepseek-ai/DeepSeek-V3, deepseek-ai/DeepSeek-V2-Chat and
deepseek-ai/deepseek-coder-33b-instruct, tokenizer_config.json. The bars are U+FF5C, the low line in
`begin▁of▁sentence` is U+2581.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import LINE_START, Family

_START = "<\uff5cbegin\u2581of\u2581sentence\uff5c>"
_END = "<\uff5cend\u2581of\u2581sentence\uff5c>"
_MARK = r"<\uff5c[^\uff5c<>]*\uff5c>"

DEEPSEEK = Family(
    name="deepseek",
    dialect="deepseek",
    start=_START,
    system=("", ""),
    user=("<\uff5cUser\uff5c>", ""),
    assistant=("<\uff5cAssistant\uff5c>", _END),
    answer="<\uff5cAssistant\uff5c>",
    control=re.compile(_MARK),
    hint=re.compile(r"<\uff5cUser\uff5c>"),
    names=re.compile(r"deepseek-(?:v3|r1)"),
)
DEEPSEEK_V2 = Family(
    name="deepseek-v2",
    start=_START,
    system=("", "\n\n"),
    user=("User: ", "\n\n"),
    assistant=("Assistant: ", _END),
    answer="Assistant:",
    control=re.compile(rf"{_MARK}|{LINE_START}(?:User|Assistant):"),
    hint=re.compile(rf"{_MARK}[\s\S]*User: \{{prompt\}}"),
    names=re.compile(r"deepseek-(?:v2|coder-v2|llm|math|moe|67b|7b-chat)"),
)
DEEPSEEK_CODER = Family(
    name="deepseek-coder",
    start=_START,
    system=("", ""),
    user=("### Instruction:\n", "\n"),
    assistant=("### Response:\n", "\n<|EOT|>\n"),
    answer="### Response:\n",
    control=re.compile(rf"{_MARK}|<\|EOT\|>|###\s*(?:Instruction|Response):"),
    hint=re.compile(r"<\|EOT\|>"),
    names=re.compile(r"deepseek-coder"),
)

"""Gemma 1 to 3, instruction tuned.

Source: `chat_template` of google/gemma-7b-it and google/gemma-3-12b-it, tokenizer_config.json.
There is no system role: Gemma 3's template puts the text before the first user turn, as here.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import Family

GEMMA = Family(
    name="gemma",
    start="<bos>",
    user=("<start_of_turn>user\n", "<end_of_turn>\n"),
    assistant=("<start_of_turn>model\n", "<end_of_turn>\n"),
    answer="<start_of_turn>model\n",
    is_trimmed=True,
    control=re.compile(r"<(?:start_of_turn|end_of_turn|bos|eos)>"),
    hint=re.compile(r"<start_of_turn>"),
    names=re.compile(r"gemma"),
)

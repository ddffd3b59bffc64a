"""Llama 3 (instruct), and 3.1 to 3.3, whose system turn always begins with two dates.

Sources: `chat_template` of meta-llama/Meta-Llama-3-8B-Instruct and
meta-llama/Llama-3.1-8B-Instruct, tokenizer_config.json; the second date is the template's own
default, because a prompt that changes from day to day could not be repeated.
"""

from __future__ import annotations

import re
from dataclasses import replace

from replicate_stream._model.families.family import Family, Marks

_END = "<|eot_id|>"
_DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"


def _turn(role: str) -> Marks:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n", _END


LLAMA3 = Family(
    name="llama3",
    start="<|begin_of_text|>",
    system=_turn("system"),
    user=_turn("user"),
    assistant=_turn("assistant"),
    tool=_turn("ipython"),
    answer=_turn("assistant")[0],
    is_trimmed=True,
    is_system_trimmed=True,
    control=re.compile(r"<\|[a-z][a-z0-9_]*\|>"),
    hint=re.compile(r"<\|start_header_id\|>"),
    names=re.compile(r"llama-?3(?![.\d])"),
)
LLAMA31 = replace(
    LLAMA3,
    name="llama3.1",
    dialect="llama",
    system=(_turn("system")[0] + _DATES, _END),
    default_system="",
    hint=re.compile(r"Cutting Knowledge Date"),
    names=re.compile(r"llama-?3[._][123]"),
)

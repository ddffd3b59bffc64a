"""Granite 3 instruct, and the older Granite code models, which use plain labels.

Sources: `chat_template` of ibm-granite/granite-3.0-8b-instruct and
ibm-granite/granite-8b-code-instruct-4k, tokenizer_config.json. Granite 3.1 and later fill in a
dated system text of their own if there is none; it is left out, because it changes from day to day.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import LINE_START, Family, Marks


def _turn(role: str) -> Marks:
    return f"<|start_of_role|>{role}<|end_of_role|>", "<|end_of_text|>\n"


GRANITE = Family(
    name="granite",
    dialect="granite",
    system=_turn("system"),
    user=_turn("user"),
    assistant=_turn("assistant"),
    tool=_turn("tool_response"),
    answer=_turn("assistant")[0],
    control=re.compile(r"<\|(?:start_of_role|end_of_role|end_of_text|tool_call)\|>"),
    hint=re.compile(r"<\|start_of_role\|>"),
    names=re.compile(r"granite-?[3-9]|granite-(?:speech|vision|guardian)"),
)
GRANITE_CODE = Family(
    name="granite-code",
    system=("System:\n", "\n\n"),
    user=("Question:\n", "\n\n"),
    assistant=("Answer:\n", "\n\n"),
    answer="Answer:\n",
    control=re.compile(rf"{LINE_START}(?:System|Question|Answer):|<\|endoftext\|>"),
    hint=re.compile(r"Question:\n\{prompt\}"),
    names=re.compile(r"granite-\d+b-code"),
)

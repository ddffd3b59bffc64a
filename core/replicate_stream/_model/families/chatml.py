"""ChatML: Qwen, Yi, Hermes 2 and later, Dolphin, OpenOrca, InternLM 2, SmolLM.

Source: `chat_template` of teknium/OpenHermes-2.5-Mistral-7B and Qwen/Qwen3-8B,
tokenizer_config.json. Qwen 1.5 to 2.5 fill in a system text of their own if there is none; it says
nothing that the models do not do anyway, and is left out.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import Family, Marks


def _turn(role: str) -> Marks:
    return f"<|im_start|>{role}\n", "<|im_end|>\n"


CHATML = Family(
    name="chatml",
    system=_turn("system"),
    user=_turn("user"),
    assistant=_turn("assistant"),
    tool=_turn("tool"),
    answer=_turn("assistant")[0],
    control=re.compile(r"<\|(?:im_start|im_end|endoftext)\|>"),
    hint=re.compile(r"<\|im_start\|>|\bchat-?ml\b", re.IGNORECASE),
    names=re.compile(
        r"qwen|qwq|qvq|\byi-.*chat|dolphin|hermes|openorca|orca-2|internlm2|smollm|chatml|aquila"
    ),
)

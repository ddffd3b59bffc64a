"""The chat formats, one file per family, and the table that finds the right one.

To add a family: one file beside this one, and its name in `FAMILIES`, before any family whose
`hint` or `names` would match its models too.
"""

from __future__ import annotations

from replicate_stream._model.families.alpaca import ALPACA
from replicate_stream._model.families.chatglm import CHATGLM3
from replicate_stream._model.families.chatml import CHATML
from replicate_stream._model.families.command_r import COMMAND_R
from replicate_stream._model.families.deepseek import DEEPSEEK, DEEPSEEK_CODER, DEEPSEEK_V2
from replicate_stream._model.families.falcon import FALCON, FALCON3, FALCON_180B
from replicate_stream._model.families.family import Family, Speaker, Turn
from replicate_stream._model.families.gemma import GEMMA
from replicate_stream._model.families.granite import GRANITE, GRANITE_CODE
from replicate_stream._model.families.llama2 import LLAMA2
from replicate_stream._model.families.llama3 import LLAMA3, LLAMA31
from replicate_stream._model.families.llama4 import LLAMA4
from replicate_stream._model.families.mistral import (
    MISTRAL,
    MISTRAL_V3,
    MISTRAL_V3_TEKKEN,
    MISTRAL_V7,
    MISTRAL_V7_TEKKEN,
)
from replicate_stream._model.families.openchat import OPENCHAT
from replicate_stream._model.families.phi import PHI3, PHI4, PHI4_MINI
from replicate_stream._model.families.solar import PHIND, SOLAR
from replicate_stream._model.families.transcript import TRANSCRIPT
from replicate_stream._model.families.vicuna import VICUNA
from replicate_stream._model.families.zephyr import ZEPHYR

__all__ = ["FAMILIES", "TRANSCRIPT", "Family", "Speaker", "Turn", "by_hint", "by_model", "by_name"]

# Fine-tunes bring their own format along and keep the name of what they were made from
# (dolphin-2.9-llama3, starling on mistral), so their families come before those of base models.
FAMILIES: tuple[Family, ...] = (
    DEEPSEEK,
    DEEPSEEK_V2,
    DEEPSEEK_CODER,
    OPENCHAT,
    ZEPHYR,
    ALPACA,
    VICUNA,
    SOLAR,
    PHIND,
    PHI4_MINI,
    PHI4,
    CHATML,
    COMMAND_R,
    GRANITE_CODE,
    GRANITE,
    FALCON_180B,
    FALCON3,
    FALCON,
    CHATGLM3,
    GEMMA,
    PHI3,
    MISTRAL_V7_TEKKEN,
    MISTRAL_V7,
    MISTRAL_V3_TEKKEN,
    MISTRAL_V3,
    MISTRAL,
    LLAMA4,
    LLAMA31,
    LLAMA3,
    LLAMA2,
    TRANSCRIPT,
)


def by_name(name: str) -> Family | None:
    """The family that `prompt_format=` names; None if there is none of that name."""
    return next((family for family in FAMILIES if family.name == name), None)


def by_hint(text: str) -> Family | None:
    """The family whose marks a template, an example or a description shows; None if none does."""
    return next((f for f in FAMILIES if f.hint is not None and f.hint.search(text)), None)


def by_model(model: str) -> Family | None:
    """The family that a model's name tells; None if it tells none."""
    name = model.lower()
    return next((f for f in FAMILIES if f.names is not None and f.names.search(name)), None)

"""ChatML and the models that were tuned on it: Hermes 2 and later, Dolphin, OpenOrca.

Source: `chat_template` of teknium/OpenHermes-2.5-Mistral-7B, tokenizer_config.json.
"""

from replicate_stream._model.families.family import ChatTemplate, Family
from replicate_stream._model.families.turn import mark_roles

_turn = mark_roles("<|im_start|>{}\n", "<|im_end|>\n")

CHATML = ChatTemplate(
    name="chatml",
    system=_turn("system"),
    user=_turn("user"),
    assistant=_turn("assistant"),
    tool=_turn("tool"),
    generation_prompt=_turn("assistant")[0],
    control_marks=r"<\|(?:im_start|im_end|endoftext)\|>",
    # Some schemas only mention the format's name, in a description.
    hint=r"<\|im_start\|>|(?i:\bchat-?ml\b)",
    names=r"dolphin|hermes|openorca|orca-2|chatml|aquila",
)
FAMILY = Family(templates=(CHATML,), chat_names=r"hermes|dolphin|orca")

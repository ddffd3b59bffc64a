"""Falcon 7B and 40B instruct, Falcon 180B chat, and Falcon 3.

Sources: `chat_template` of tiiuae/falcon-7b-instruct and tiiuae/Falcon3-7B-Instruct,
tokenizer_config.json; the model card of tiiuae/falcon-180B-chat; `max_position_embeddings` in
config.json.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.turn import LINE_START

_LABELS = rf"{LINE_START}(?:System|User|Assistant|Falcon):|<\|endoftext\|>"

_FALCON = ChatTemplate(
    name="falcon",
    system=("", ""),
    user=("\n\nUser: ", ""),
    assistant=("\n\nAssistant: ", ""),
    generation_prompt="\n\nAssistant:",
    trimmed_roles=("user", "assistant"),
    is_system_trimmed=True,
    control_marks=_LABELS,
    hint=r"User: \{prompt\}\n+Assistant:",
    names=r"falcon",
)
_FALCON_180B = ChatTemplate(
    name="falcon-180b",
    **mark_roles("{}: ", "\n", system="System", user="User", assistant="Falcon"),
    generation_prompt="Falcon:",
    control_marks=_LABELS,
    hint=r"\nFalcon:",
    names=r"falcon-?180b",
)
_FALCON3 = ChatTemplate(
    name="falcon3",
    system=("<|system|>\n", "\n"),
    user=("<|user|>\n", "\n"),
    assistant=("<|assistant|>\n", "<|endoftext|>\n"),
    control_marks=r"<\|(?:system|user|assistant|endoftext)\|>",
    hint=r"<\|user\|>\n\{prompt\}\n<\|assistant\|>",
    names=r"falcon-?3",
)
FAMILY = Family(
    # The pattern of the first models matches the names of all.
    templates=(_FALCON_180B, _FALCON3, _FALCON),
    chat_names=r"falcon-?3(?!.*base)",
    windows=(ContextWindow(r"falcon-?3", 32_768), ContextWindow(r"falcon", 2_048)),
)

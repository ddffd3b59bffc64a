"""Vicuna 1.1 and later, and what was trained like it: WizardLM, Airoboros, LLaVA, Capybara.

Source: the `vicuna_v1.1` conversation of lm-sys/FastChat, fastchat/conversation.py; the checkpoints
have no template of their own. Without a system text its usual preamble is used. The windows are
`max_position_embeddings` of lmsys/vicuna-13b-v1.5 and v1.1.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family

_VICUNA = ChatTemplate(
    name="vicuna",
    system=("", " "),
    default_system="A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    user=("USER: ", " "),
    assistant=("ASSISTANT: ", "</s>"),
    generation_prompt="ASSISTANT:",
    # Everywhere, not only at the start of a line: turns are joined with a space.
    control_marks=r"(?:USER|ASSISTANT):|</?s>",
    hint=r"USER: ?[\s\S]*ASSISTANT:",
    names=r"vicuna|wizardlm|airoboros|capybara|goliath",
)
FAMILY = Family(
    templates=(_VICUNA,),
    windows=(
        ContextWindow(r"capybara-34b", 200_000),  # a tuning of Yi 34B 200K
        ContextWindow(r"vicuna.*v1\.5|\bllava-(?:v?1\.[56]-)?(?:vicuna-)?(?:7|13)b", 4_096),
        ContextWindow(r"vicuna", 2_048),
    ),
    vision_names=r"llava",  # a Vicuna with an image encoder
    chat_names=r"vicuna|airoboros|capybara|wizard",
)

"""Zephyr, StableLM Zephyr, and TinyLlama chat.

Source: `chat_template` of HuggingFaceH4/zephyr-7b-beta and stabilityai/stablelm-zephyr-3b, which
has another end mark, tokenizer_config.json, and `max_position_embeddings` of
TinyLlama/TinyLlama-1.1B-Chat-v1.0.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles

_ZEPHYR = ChatTemplate(
    name="zephyr",
    **mark_roles("<|{}|>\n", "</s>\n"),
    control_marks=r"<\|(?:system|user|assistant)\|>|</?s>",
    # With the end mark: Falcon 3 and ChatGLM open turns in the same way.
    hint=r"<\|user\|>\n\{prompt\}</s>",
    names=r"zephyr|tinyllama.*chat",
)
_STABLELM = _ZEPHYR._replace(
    name="stablelm-zephyr",
    **mark_roles("<|{}|>\n", "<|endoftext|>\n"),
    control_marks=r"<\|(?:system|user|assistant|endoftext)\|>",
    hint=r"<\|user\|>\n\{prompt\}<\|endoftext\|>",
    names=r"stablelm-zephyr",
)
FAMILY = Family(
    templates=(_STABLELM, _ZEPHYR),
    windows=(ContextWindow(r"tinyllama", 2_048),),
    chat_names=r"zephyr",
)

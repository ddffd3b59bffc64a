"""ChatML and the models that were tuned on it: Hermes 2 and later, Dolphin, OpenOrca, Yi, SmolLM.

Sources: `chat_template` of teknium/OpenHermes-2.5-Mistral-7B, 01-ai/Yi-34B-Chat,
internlm/internlm2-chat-7b and HuggingFaceTB/SmolLM2-1.7B-Instruct, tokenizer_config.json, and
`max_position_embeddings` in config.json. Qwen has a file of its own.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles

CHATML = ChatTemplate(
    name="chatml",
    **mark_roles("<|im_start|>{}\n", "<|im_end|>\n", tool="tool"),
    control_marks=r"<\|(?:im_start|im_end|endoftext)\|>",
    # Some schemas only mention the format's name, in a description.
    hint=r"<\|im_start\|>|(?i:\bchat-?ml\b)",
    names=r"dolphin|hermes|openorca|orca-2|\byi-.*chat|internlm2|smollm|chatml|aquila",
)
FAMILY = Family(
    templates=(CHATML,),
    windows=(
        ContextWindow(r"\byi-\d+b", 4_096),
        ContextWindow(r"internlm2", 32_768),
        ContextWindow(r"smollm2", 8_192),
    ),
    chat_names=r"hermes|dolphin|orca",
)

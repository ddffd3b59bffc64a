"""ChatGLM 3 and GLM 4.

Source: `chat_template` of THUDM/chatglm3-6b, tokenizer_config.json, and PROMPT.md of
THUDM/ChatGLM3 for the newline after each role; `max_position_embeddings` of zai-org/GLM-4.5.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles

_CHATGLM3 = ChatTemplate(
    name="chatglm3",
    **mark_roles("<|{}|>\n", "\n", tool="observation"),
    control_marks=r"<\|(?:system|user|assistant|observation)\|>",
    hint=r"<\|observation\|>",
    names=r"chatglm3|glm-4",
)
FAMILY = Family(templates=(_CHATGLM3,), windows=(ContextWindow(r"glm-4\.5", 131_072),))

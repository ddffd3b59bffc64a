"""OpenChat 3.5 and Starling.

Source: `chat_template` of openchat/openchat-3.5-0106, tokenizer_config.json, and
`max_position_embeddings` in config.json.
"""

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles

_OPENCHAT = ChatTemplate(
    name="openchat",
    start="<s>",
    **mark_roles(
        "GPT4 Correct {}: ", "<|end_of_turn|>", system="System", user="User", assistant="Assistant"
    ),
    generation_prompt="GPT4 Correct Assistant:",
    control_marks=r"GPT4 Correct \w+:|<\|end_of_turn\|>|</?s>",
    hint=r"GPT4? Correct User:",
    names=r"openchat|starling",
)
FAMILY = Family(
    templates=(_OPENCHAT,),
    windows=(ContextWindow(r"openchat|starling", 8_192),),
    chat_names=r"openchat|starling",
)

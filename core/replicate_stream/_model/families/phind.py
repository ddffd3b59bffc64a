"""Phind's Code Llama.

Source: the model card of Phind/Phind-CodeLlama-34B-v2.
"""

from replicate_stream._model.families.family import ChatTemplate, Family

_PHIND = ChatTemplate(
    name="phind",
    system=("### System Prompt\n", "\n\n"),
    user=("### User Message\n", "\n\n"),
    assistant=("### Assistant\n", "\n\n"),
    generation_prompt="### Assistant\n",
    control_marks=r"###\s*(?:System Prompt|User Message|Assistant)",
    hint=r"### User Message\n",
    names=r"phind",
)
FAMILY = Family(templates=(_PHIND,), chat_names=r"phind")

"""BigCode's StarCoder, which completes code: it has no chat template.

Sources: https://huggingface.co/docs/transformers/model_doc/starcoder2, the README.md of
bigcode-project/starcoder, and https://arxiv.org/abs/2301.03988 for SantaCoder.
"""

from replicate_stream._model.families.family import ContextWindow, Family

FAMILY = Family(
    windows=(
        ContextWindow(r"starcoder-?2", 16_384),
        ContextWindow(r"starcoder|wizardcoder-15b", 8_192),
        ContextWindow(r"santacoder", 2_048),
    ),
)

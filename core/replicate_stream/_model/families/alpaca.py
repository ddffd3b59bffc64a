"""Alpaca, and what was trained like it: WizardCoder, the first Nous Hermes, OpenInstruct.

Source: the prompt of tatsu-lab/stanford_alpaca (README.md, "Data Release"), for one instruction
without an input; later turns repeat its labels, as FastChat's `alpaca` conversation does.
"""

from replicate_stream._model.families.family import ChatTemplate, Family

_ALPACA = ChatTemplate(
    name="alpaca",
    system=("", "\n\n"),
    default_system="Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.",
    user=("### Instruction:\n", "\n\n"),
    assistant=("### Response:\n", "\n\n"),
    # `Input` too: it opens a section in the data that the models were trained on.
    control_marks=r"###\s*(?:Instruction|Input|Response):|</?s>",
    hint=r"### Instruction:[\s\S]*### Response:",
    names=r"alpaca|wizardcoder|nous-hermes-(?:llama|13b)|openinstruct|metamath|magicoder|claude2",
)
FAMILY = Family(templates=(_ALPACA,), chat_names=r"alpaca|wizard")

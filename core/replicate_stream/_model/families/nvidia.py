"""NVIDIA's Nemotron, tuned from Llama, Qwen and Mistral.

Source: `chat_template` of nvidia/NVIDIA-Nemotron-Nano-9B-v2, tokenizer_config.json.
"""

from replicate_stream._model.families.family import Family
from replicate_stream._model.families.tool_format import CallMark, HermesToolFormat


class NemotronToolFormat(HermesToolFormat):
    """The format of Hermes, and the tag in which Nemotron writes a list of calls by itself."""

    call_marks = (*HermesToolFormat.call_marks, CallMark("<TOOLCALL>", ("</TOOLCALL>",)))


FAMILY = Family(tool_formats=((r"nemotron", NemotronToolFormat),))

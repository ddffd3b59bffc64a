"""The formats of tool calling, one file each, and the one that a model knows.

To add one: a file beside this one, its class here, and its name in the chat formats of its models
(`Family.dialect`).
"""

from __future__ import annotations

from replicate_stream._model.families.family import Family
from replicate_stream._model.tool_formats.deepseek import DeepSeek
from replicate_stream._model.tool_formats.granite import Granite
from replicate_stream._model.tool_formats.llama import Llama
from replicate_stream._model.tool_formats.mistral import Mistral
from replicate_stream._model.tool_formats.tool_format import Clean, Qwen, Result, ToolFormat

__all__ = ["Clean", "Result", "ToolFormat", "tool_format_for"]

_ANYWHERE: dict[str, type[ToolFormat]] = {"hermes": ToolFormat, "llama": Llama, "qwen": Qwen}
# Their marks are control tokens, which stand between the turns.
_BETWEEN_TURNS: dict[str, type[ToolFormat]] = {
    "mistral": Mistral,
    "granite": Granite,
    "deepseek": DeepSeek,
}


def tool_format_for(
    known: Family | None, written: Family | None, model: str, clean: Clean
) -> ToolFormat:
    """The format that a model is told its tools in.

    Args:
        known: The family of the model, as far as it is known.
        written: The chat format that its prompt is written in; None where the model puts its own
            template around the prompt.
        model: The model's name.
        clean: Breaks the marks of that format in a text.
    """
    name = known.dialect if known is not None else "hermes"
    if known is not None and known.name == "chatml" and "qw" in model.lower():
        name = "qwen"
    kinds = _ANYWHERE if written is None else {**_ANYWHERE, **_BETWEEN_TURNS}
    return kinds.get(name, ToolFormat)(
        clean, written.assistant if written is not None else ("", "")
    )

"""How a model writes calls, format by format, and results that it invents."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from replicate_stream.testing._tool_user._conversation import Call, Result
from replicate_stream.testing._tool_user._deepseek import CALL, CALLS, SEPARATOR
from replicate_stream.testing._tool_user._json import dump
from replicate_stream.testing._tool_user._style import Style


def write_hermes(calls: Sequence[Call], style: Style) -> str:
    """Hermes and Qwen: marks around each."""
    each = (style.block(style.call(call.name, call.arguments, "arguments")) for call in calls)
    return "\n".join(f"<tool_call>\n{text}\n</tool_call>" for text in each)


def write_llama(calls: Sequence[Call], style: Style) -> str:
    """Llama: nothing but JSON, one call a line."""
    each = (style.call(call.name, call.arguments, "parameters") for call in calls)
    return style.block("\n".join(each))


def write_mistral(calls: Sequence[Call], style: Style) -> str:
    """Mistral: a list behind a mark, with ids."""
    each = ", ".join(
        style.call(call.name, call.arguments, "arguments", id=_nine(call, at))
        for at, call in enumerate(calls)
    )
    return f"[TOOL_CALLS] {style.block(f'[{each}]')}"


def _nine(call: Call, at: int) -> str:
    """An id as Mistral's models make them: nine letters or digits."""
    return hashlib.sha256(f"{at}{call!r}".encode()).hexdigest()[:9]


def write_granite(calls: Sequence[Call], style: Style) -> str:
    """Granite: a list behind a mark."""
    each = ", ".join(style.call(call.name, call.arguments, "arguments") for call in calls)
    return f"<|tool_call|>{style.block(f'[{each}]')}"


def write_deepseek(calls: Sequence[Call], style: Style) -> str:
    """DeepSeek: a mark for each part; with fences in the older of its two forms."""
    texts = []
    for call in calls:
        arguments = style.value(call.arguments)
        if style.is_fenced:  # as DeepSeek V3 and R1 write it; V3.1 does without
            body = f"function{SEPARATOR}{call.name}\n{style.block(arguments)}"
        else:
            body = f"{call.name}{SEPARATOR}{arguments}"
        texts.append(f"{CALL[0]}{body}{CALL[1]}")
    return f"{CALLS[0]}{''.join(texts)}{CALLS[1]}"


def invent_hermes(result: Result) -> str:
    """A result as Hermes gets them."""
    body = dump({"name": result.name, "content": result.text})
    return f"\n<tool_response>\n{body}\n</tool_response>\n"

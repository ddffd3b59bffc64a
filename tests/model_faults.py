"""Faults of language models, as changes of a scripted model's replies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from replicate_stream.testing import Reply, ToolUser

if TYPE_CHECKING:
    from tests.prompt_reader import Prompt

Input: TypeAlias = Mapping[str, Any]
Fault: TypeAlias = "Callable[[Input, Prompt, Reply], Reply]"

REFUSAL = "I would rather not do that."
CALL_STARTS = ("<tool_call>", "[TOOL_CALLS]", "<|tool_call|>", "<\uff5ctool", '{"name": "')
DEMAND = re.compile(r"must call|nswer with (?:one )?JSON")
DEEPSEEK_FENCE = re.compile("begin\uff5c>([^<]+)<\uff5ctool\u2581sep\uff5c>```")
# A result of a tool in each format, as it would follow a call.
INVENTED_RESULTS = {
    "hermes": '\n<tool_response>\n{"name": "weather", "content": "7"}\n</tool_response>\n',
    "llama": '\n{"output": "7"}\n',
    "mistral": '[TOOL_RESULTS] {"content": "7"}[/TOOL_RESULTS]',
    "granite": "\n<|start_of_role|>tool_response<|end_of_role|>7<|end_of_text|>\n",
    "deepseek": "<\uff5ctool\u2581outputs\u2581begin\uff5c>"
    "<\uff5ctool\u2581output\u2581begin\uff5c>7"
    "<\uff5ctool\u2581output\u2581end\uff5c><\uff5ctool\u2581outputs\u2581end\uff5c>",
}


def write_prose_first(values: Input, prompt: Prompt, reply: Reply) -> Reply:
    """Write a sentence before calls, or before JSON.

    Llama's calls have no marks: behind a sentence they are no calls.
    """
    prose = "I will use a tool."
    if isinstance(reply.output, dict):
        return replace(reply, output={**reply.output, "content": prose})
    text = _text(reply)
    is_json = text.startswith((*CALL_STARTS, "{"))
    if prompt.prefix or not is_json or (prompt.format == "llama" and '"name": "' in text):
        return reply
    return replace(reply, tokens=_split(f"{prose}\n\n{text}"))


def think_first(values: Input, prompt: Prompt, reply: Reply) -> Reply:
    """Write thoughts between tags first, where the prompt has not begun a call."""
    if isinstance(reply.output, dict) or prompt.prefix:
        return reply
    return replace(reply, tokens=_split(f"<think>\nLet me see.\n</think>\n\n{_text(reply)}"))


def put_in_fences(values: Input, prompt: Prompt, reply: Reply) -> Reply:
    """Put code fences around JSON, where the prompt has not begun a call."""
    text = _text(reply)
    if prompt.prefix or not text:
        return reply
    fenced = _change_json(text, lambda written, _: f"```json\n{written}\n```")
    fenced = fenced.replace("\n```\n```json\n", "\n")  # one fence around calls in consecutive lines
    # Mistral's newer models write arguments, and no call, behind a mark of their own.
    fenced = re.sub(r"\[ARGS\]```json\n(.*?)\n```", r"[ARGS]\1", fenced)
    # DeepSeek V3 and R1 write fences in a format of their own.
    fenced = DEEPSEEK_FENCE.sub("begin\uff5c>function<\uff5ctool\u2581sep\uff5c>\\1\n```", fenced)
    return replace(reply, tokens=_split(fenced))


def write_python(values: Input, prompt: Prompt, reply: Reply) -> Reply:
    """Write JSON as Python's literals, where the prompt has not begun a call."""
    if isinstance(reply.output, dict):
        calls = reply.output["tool_calls"]
        functions = [
            {**call["function"], "arguments": repr(json.loads(call["function"]["arguments"]))}
            for call in calls
        ]
        changed = [{**call, "function": each} for call, each in zip(calls, functions, strict=True)]
        return replace(reply, output={**reply.output, "tool_calls": changed})
    if prompt.prefix:
        return reply
    return replace(reply, tokens=_split(_change_json(_text(reply), lambda _, value: repr(value))))


def refuse_first(values: Input, prompt: Prompt, reply: Reply) -> Reply:
    """Answer in prose where a call or JSON is demanded, until asked again."""
    is_free = values.get("tool_choice", "auto") == "auto" and not values.get("response_format")
    if (is_free and not DEMAND.search(str(values))) or REFUSAL in str(values):
        return reply
    return Reply(_split(REFUSAL))


def invent_results(values: Input, prompt: Prompt, reply: Reply) -> Reply:
    """Go on after calls with results that no tool has given.

    Llama's calls have no marks: with more behind them they are no calls.
    """
    text = _text(reply)
    if prompt.format not in INVENTED_RESULTS or not text:
        return reply
    if prompt.format == "llama" and not prompt.prefix:
        return reply
    if not (prompt.prefix or text.startswith(CALL_STARTS)):
        return reply
    invented = f"{INVENTED_RESULTS[prompt.format]}The result is 7."
    return replace(reply, tokens=_split(f"{text}{invented}"))


def make_faulty(
    fault: Fault, read_input: Callable[[Input], Prompt]
) -> Callable[..., Callable[[Input], Reply]]:
    """Make a constructor like `ToolUser`, of models with a fault."""

    def make(**options: Any) -> Callable[[Input], Reply]:
        model = ToolUser(**options)
        return lambda values: fault(values, read_input(values), model(values))

    return make


def _text(reply: Reply) -> str:
    return "".join(map(str, reply.tokens)) if isinstance(reply.tokens, list) else ""


def _split(text: str) -> list[str]:
    """A text as tokens: words with the space before them."""
    return re.findall(r"\s*\S+|\s+$", text)


def _change_json(text: str, change: Callable[[str, Any], str]) -> str:
    """Change each JSON object or list in a text, given as written and as value."""
    changed, at = "", 0
    for start in re.finditer(r"[\[{]", text):
        with suppress(ValueError):
            if start.start() >= at:
                value, end = json.JSONDecoder().raw_decode(text, start.start())
                changed += text[at : start.start()] + change(text[start.start() : end], value)
                at = end
    return changed + text[at:]

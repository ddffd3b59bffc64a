"""What was called and what came of it, read back out of the turns of a conversation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from replicate_stream.testing._tool_user._conversation import Call, Result, as_call
from replicate_stream.testing._tool_user._deepseek import CALL, CALLS, OUTPUT, SEPARATOR
from replicate_stream.testing._tool_user._dialects import DIALECTS
from replicate_stream.testing._tool_user._json import dump, value_after, value_at

_RESULT_KEYS = frozenset({"name", "content", "call_id"})
_WRITTEN = re.compile(
    r"<tool_call>(?P<hermes>.*?)(?:</tool_call>|$)"
    r"|<\|tool_call\|>(?P<granite>\s*\[.*)"
    r"|\[TOOL_CALLS\](?P<mistral>.*)"
    rf"|{CALL[0]}(?P<deepseek>.*?){CALL[1]}"
    rf"|{CALLS[0]}|{CALLS[1]}"
    r"|<function=(?P<function>[^>]+>.*?)</function>",
    re.DOTALL,
)


def read_calls(text: str, dialect: str | None) -> tuple[str, list[Call]]:
    """What was said, and what was called, in a turn of the model's.

    Args:
        text: The turn.
        dialect: The format that tools were offered in before it; None if there were none.
    """
    offered = DIALECTS.get(dialect or "")
    if offered is not None and offered.read is not None:
        return text, offered.read(text)
    calls: list[Call] = []

    def take(match: re.Match[str]) -> str:
        for kind, body in match.groupdict().items():
            if body is not None:
                calls.extend(_calls_in(kind, body))
        return ""

    said = _WRITTEN.sub(take, text)
    if dialect in {None, "llama"} and not calls:
        said, calls = _bare(said)
    return said.strip(), calls


def _calls_in(kind: str, body: str) -> list[Call]:
    if kind == "deepseek":
        name, _, arguments = body.partition(SEPARATOR)
        if name == "function":
            name, _, arguments = arguments.partition("\n")
        return [Call(name, _object_in(arguments))]
    if kind == "function":
        name, _, arguments = body.partition(">")
        return [Call(name, _object_in(arguments))]
    found = value_after(body, 0, "[{")
    values = found[0] if found else None
    listed = values if isinstance(values, list) else [values]
    read = [call for value in listed if (call := as_call(value))]
    told = re.search(r'"name"\s*:\s*"([^"]*)"', body)
    return read or [Call(told[1] if told else "", body.strip())]


def _object_in(text: str) -> Mapping[str, Any] | str:
    found = value_after(text, 0)
    return found[0] if found else text


def _bare(text: str) -> tuple[str, list[Call]]:
    calls: list[Call] = []
    said, at = "", 0
    while found := value_after(text, at):
        call = as_call(found[0])
        said += text[at : found[1]] if call else text[at : found[2]]
        if call:
            calls.append(call)
        at = found[2]
    return said + text[at:], calls


def read_results(text: str) -> list[Result]:
    """What tools gave, in a turn of theirs."""
    framed = re.findall(r"<tool_response>\n?(.*?)\n?</tool_response>", text, re.DOTALL)
    framed += re.findall(rf"{OUTPUT[0]}(.*?){OUTPUT[1]}", text, re.DOTALL)
    return [_result(each) for each in framed or [text]]


def _result(text: str) -> Result:
    found = value_at(text, 0)
    if found and not text[found[1] :].strip():
        value = found[0]
        if isinstance(value, str):
            return Result(value)
        if isinstance(value, Mapping) and "content" in value and set(value) <= _RESULT_KEYS:
            content, name = value["content"], value.get("name")
            whole = content if isinstance(content, str) else dump(content)
            return Result(whole, name if isinstance(name, str) else None)
    return Result(text.strip())

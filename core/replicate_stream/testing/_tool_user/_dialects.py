"""The formats of tool calling: how offers, calls and results look in a prompt, and in an answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replicate_stream.testing._tool_user import _spelled
from replicate_stream.testing._tool_user._conversation import (
    Call,
    Offer,
    Result,
    Tool,
    as_call,
    as_tool,
)
from replicate_stream.testing._tool_user._json import dump, value_after, value_at
from replicate_stream.testing._tool_user._style import Style


@dataclass(frozen=True, slots=True)
class Dialect:
    """One format.

    Attributes:
        find: Finds an offer of tools in a text.
        write: Writes calls, as the vendor's template has them.
        invent: Writes a result, as the vendor's template has it, for a model that invents one.
        say: Writes an answer that is no call.
        read: Reads the calls in an earlier answer, where no vendor's marks are around them.
    """

    find: Callable[[str], Offer | None]
    write: Callable[[Sequence[Call], Style], str]
    invent: Callable[[Result], str]
    say: Callable[[str], str] = str
    read: Callable[[str], list[Call]] | None = None


def _mark(words: str) -> str:
    return f"<\uff5c{words.replace(' ', chr(0x2581))}\uff5c>"


_CALLS = _mark("tool calls begin"), _mark("tool calls end")
_CALL = _mark("tool call begin"), _mark("tool call end")
_OUTPUTS = _mark("tool outputs begin"), _mark("tool outputs end")
_OUTPUT = _mark("tool output begin"), _mark("tool output end")
_SEPARATOR = _mark("tool sep")

# Offers


def _find_hermes(text: str) -> Offer | None:
    listed = re.search(r"<tools>\n(.*?)\n</tools>", text, re.DOTALL)
    if listed is None:
        return None
    head = text.rfind("# Tools\n", 0, listed.start())
    foot = re.compile(r".*?</tools>.*?</tool_call>", re.DOTALL).match(text, listed.start())
    if foot is None:  # not told how to call
        return None
    tools = [tool for value in _values(listed[1]) if (tool := as_tool(value))]
    return tools, (head if head >= 0 else listed.start(), foot.end())


_LLAMA_OFFER = re.compile(
    r"You have access to the following functions\..*?Respond in the format \{[^{}]*\}\."
    r"(?: Do not use variables\.)?",
    re.DOTALL,
)


def _find_llama(text: str) -> Offer | None:
    intro = _LLAMA_OFFER.search(text)
    if intro is None:
        return None
    tools, end = [], intro.end()
    while (found := value_at(text, end)) and (tool := as_tool(found[0])):
        tools.append(tool)
        end = found[1]
    return tools, (intro.start(), end)


def _find_granite(text: str) -> Offer | None:
    """The words alone; the tools stand in a turn of their own."""
    told = re.search(
        r"(?:You are a helpful AI assistant with access to the following tools\. )?When a tool is "
        r"required to answer the user's query, respond with <\|tool_call\|>[^\n]*",
        text,
    )
    return ([], told.span()) if told else None


def _find_deepseek(text: str) -> Offer | None:
    head = text.find("## Tools\nYou have access to the following tools:")
    if head < 0:
        return None
    tools, end = [], head
    each = re.compile(r"### (\S+)\nDescription: (.*?)\n\nParameters: ", re.DOTALL)
    while told := each.search(text, end):
        found = value_at(text, told.end())
        if found is None or not isinstance(found[0], Mapping):
            break
        tools.append(Tool(told[1], told[2], found[0]))
        end = found[1]
    foot = text.find("without separators or spaces", end)
    return tools, (head, end if foot < 0 else foot + len("without separators or spaces"))


def _find_nothing(text: str) -> Offer | None:  # noqa: ARG001 - there are no words about the tools
    return None


def _values(text: str) -> list[object]:
    values, at = [], 0
    while found := value_at(text, at):
        values.append(found[0])
        at = found[1]
    return values


def listed_tools(text: str) -> list[Tool]:
    """The tools in a JSON list, as Mistral and Granite have them in a place of their own."""
    found = value_after(text, 0, "[")
    values = found[0] if found and isinstance(found[0], list) else []
    return [tool for value in values if (tool := as_tool(value))]


# Calls and results


def _write_hermes(calls: Sequence[Call], style: Style) -> str:
    each = (style.block(style.call(call.name, call.arguments, "arguments")) for call in calls)
    return "\n".join(f"<tool_call>\n{text}\n</tool_call>" for text in each)


def _write_llama(calls: Sequence[Call], style: Style) -> str:
    each = (style.call(call.name, call.arguments, "parameters") for call in calls)
    return style.block("\n".join(each))


def _write_mistral(calls: Sequence[Call], style: Style) -> str:
    each = ", ".join(
        style.call(call.name, call.arguments, "arguments", id=_nine(call, at))
        for at, call in enumerate(calls)
    )
    return f"[TOOL_CALLS] {style.block(f'[{each}]')}"


def _nine(call: Call, at: int) -> str:
    """An id as Mistral's models make them: nine letters or digits."""
    return hashlib.sha256(f"{at}{call!r}".encode()).hexdigest()[:9]


def _write_granite(calls: Sequence[Call], style: Style) -> str:
    each = ", ".join(style.call(call.name, call.arguments, "arguments") for call in calls)
    return f"<|tool_call|>{style.block(f'[{each}]')}"


def _write_deepseek(calls: Sequence[Call], style: Style) -> str:
    texts = []
    for call in calls:
        arguments = style.value(call.arguments)
        if style.is_fenced:  # as DeepSeek V3 and R1 write it; V3.1 does without
            body = f"function{_SEPARATOR}{call.name}\n{style.block(arguments)}"
        else:
            body = f"{call.name}{_SEPARATOR}{arguments}"
        texts.append(f"{_CALL[0]}{body}{_CALL[1]}")
    return f"{_CALLS[0]}{''.join(texts)}{_CALLS[1]}"


def _invent_hermes(result: Result) -> str:
    body = dump({"name": result.name, "content": result.text})
    return f"\n<tool_response>\n{body}\n</tool_response>\n"


DIALECTS: Mapping[str, Dialect] = {
    "hermes": Dialect(_find_hermes, _write_hermes, _invent_hermes),
    "llama": Dialect(_find_llama, _write_llama, lambda r: f"\n{dump({'output': r.text})}\n"),
    "granite": Dialect(
        _find_granite,
        _write_granite,
        lambda r: f"\n<|start_of_role|>tool_response<|end_of_role|>{r.text}<|end_of_text|>\n",
    ),
    "deepseek": Dialect(
        _find_deepseek,
        _write_deepseek,
        lambda r: f"{_OUTPUTS[0]}{_OUTPUT[0]}{r.text}{_OUTPUT[1]}{_OUTPUTS[1]}",
    ),
    "mistral": Dialect(
        _find_nothing,
        _write_mistral,
        lambda r: f"[TOOL_RESULTS] {dump({'content': r.text})}[/TOOL_RESULTS]",
    ),
    "react": Dialect(
        _spelled.find_react,
        _spelled.write_react,
        lambda r: f"\nObservation: {r.text}\n",
        _spelled.say_react,
        _spelled.read_react,
    ),
    "code": Dialect(
        _spelled.find_code,
        _spelled.write_code,
        lambda r: f"\nResult of executing the code given:\n\n{r.text}\n\n",
        read=_spelled.read_code,
    ),
}

_WRITTEN = re.compile(
    r"<tool_call>(?P<hermes>.*?)(?:</tool_call>|$)"
    r"|<\|tool_call\|>(?P<granite>\s*\[.*)"
    r"|\[TOOL_CALLS\](?P<mistral>.*)"
    rf"|{_CALL[0]}(?P<deepseek>.*?){_CALL[1]}"
    rf"|{_CALLS[0]}|{_CALLS[1]}"
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
        name, _, arguments = body.partition(_SEPARATOR)
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
    framed += re.findall(rf"{_OUTPUT[0]}(.*?){_OUTPUT[1]}", text, re.DOTALL)
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


_RESULT_KEYS = frozenset({"name", "content", "call_id"})

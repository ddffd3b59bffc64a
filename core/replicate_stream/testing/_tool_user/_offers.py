"""How tools are told in a prompt, format by format: found, and read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from replicate_stream.testing._tool_user._conversation import Offer, Tool, as_tool
from replicate_stream.testing._tool_user._json import value_after, value_at


def find_hermes(text: str) -> Offer | None:
    """Hermes and Qwen: one JSON a line, and how to call."""
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


def find_llama(text: str) -> Offer | None:
    """Llama 3.1 and later: indented JSON after the words."""
    intro = _LLAMA_OFFER.search(text)
    if intro is None:
        return None
    tools, end = [], intro.end()
    while (found := value_at(text, end)) and (tool := as_tool(found[0])):
        tools.append(tool)
        end = found[1]
    return tools, (intro.start(), end)


def find_granite(text: str) -> Offer | None:
    """The words alone; the tools stand in a turn of their own."""
    told = re.search(
        r"(?:You are a helpful AI assistant with access to the following tools\. )?When a tool is "
        r"required to answer the user's query, respond with <\|tool_call\|>[^\n]*",
        text,
    )
    return ([], told.span()) if told else None


def find_deepseek(text: str) -> Offer | None:
    """DeepSeek: a heading for each tool, and its parameters as JSON."""
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


def find_nothing(text: str) -> Offer | None:  # noqa: ARG001 - there are no words about the tools
    """Mistral: nothing is said; the tools have a place of their own."""
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

"""Independent reader of the tools that a prompt offers, for `prompt_reader.py`.

It is written from the vendors' chat templates and shares no code with the client.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Formats with a frame around the offer: its pattern, with the tools in a group.
FRAMED_OFFERS = {
    "glm": r"# Tools\n(?:(?!# Tools).)*?<tools>\n(.*?)\n</tools>\n\nFor each function call, output "
    r".*?</arg_value>\n?\.\.\.\n?</tool_call>",
    "deepseek-v3": r"# Tools\n\nYou may call .*?<tools>\n(.*?)\n</tools>\n\nFor function call "
    r"returns, .*?you should print <\uff5ctool\u2581calls\u2581end\uff5c>"
    r"(?:<[^<>]*sentence\uff5c>)?",
    "deepseek-r1": r"You are a helpful assistant with tool calling capabilities\..*?following "
    r"functions available:\n(.*)\n```",
    "dsml": r"## Tools\n\nYou have access to a set of tools .*?"
    r"<functions>\n(\{.*?)\n</functions>\n?",
    "minimax-m1": r"You are provided with these tools:\n<tools>\n(.*?)\n</tools>.*</tool_calls>",
    "nemotron": r"You can use the following tools .*?<AVAILABLE_TOOLS>(.*?)</AVAILABLE_TOOLS>"
    r".*?or just respond [\w ]*to the user\.",
    "qwen-coder": r"# Tools\n\nYou have access to the following functions:\n\n"
    r"<tools>(.*?)\n</tools>.*?</IMPORTANT>",
    "nous": r"You are a function calling AI model\..*?<tools> (.*?) </tools>.*?</tool_call>",
    "minimax": r"# Tools\nYou may call .*?<tools>\n(.*?)\n</tools>.*?</minimax:tool_call>",
    "harmony": r"# Tools\n\n## functions\n\nnamespace functions \{(.*?)\n\} // namespace functions",
}


@dataclass(frozen=True, slots=True)
class Tool:
    """An offered tool."""

    name: str
    description: str
    parameters: Mapping[str, Any]


Offer = tuple[list[Tool], int, int]


def _find_hermes(text: str) -> Offer | None:
    """Hermes and Qwen: one JSON a line between marks, then how to call."""
    listed = re.search(r"<tools>\n(.*?)\n</tools>", text, re.DOTALL)
    if listed is None:
        return None
    usage = re.compile(r".*?</tools>.*?<tool_call>\n.*?\n</tool_call>", re.DOTALL)
    end = usage.match(text, listed.start())
    if end is None:
        return None
    start = text.rfind("# Tools\n", 0, listed.start())
    tools = [to_tool(json.loads(line)) for line in listed[1].splitlines()]
    return tools, start if start >= 0 else listed.start(), end.end()


def _find_llama(text: str) -> Offer | None:
    """Llama 3.1 in the system text, 4 in the first question: indented JSON after the words."""
    words = re.compile(
        r"(?:You have access to|Given) the following functions.*?Respond in the format \{[^{}]*\}\."
        r"Do not use variables\.",
        re.DOTALL,
    ).search(text)
    if words is None:
        return None
    tools, end = [], words.end()
    while (found := json_at(text, end)) and "function" in found[0]:
        tools.append(to_tool(found[0]))
        end = found[1]
    return tools, words.start(), end


def _find_granite(text: str) -> Offer | None:
    """Granite: words alone; the tools stand in a turn of their own."""
    words = re.search(
        r"You are a helpful (?:AI )?assistant with access to the following tools\. When a tool is "
        r"required to answer the user's query, respond (?:only )?with <\|tool_call\|>[^\n]*",
        text,
    )
    return ([], *words.span()) if words else None


def _find_deepseek(text: str) -> Offer | None:
    """DeepSeek: a heading for each tool, and its parameters as JSON."""
    start = text.find("## Tools\nYou have access to the following tools:")
    if start < 0:
        return None
    tools, end = [], start
    heading = re.compile(r"### (\S+)\nDescription: (.*?)\n\nParameters: ", re.DOTALL)
    while words := heading.search(text, end):
        found = json_at(text, words.end())
        if found is None:
            break
        tools.append(Tool(words[1], words[2], found[0]))
        end = found[1]
    last_words = "without separators or spaces"
    foot = text.find(last_words, end)
    return tools, start, end if foot < 0 else foot + len(last_words)


def _find_framed(name: str) -> Callable[[str], Offer | None]:
    def find(text: str) -> Offer | None:
        found = re.search(FRAMED_OFFERS[name], text, re.DOTALL)
        return (list(_read_tools(found[1])), *found.span()) if found else None

    return find


def _read_tools(text: str) -> Iterator[Tool]:
    """The tools of an offer: JSON values, XML of Qwen 3 Coder, or types of TypeScript."""
    for name, description, body in re.findall(
        r"<name>(\w+)</name>\n<description>([^<]*)</description>\n<parameters>(.*?)</parameters>",
        text,
        re.DOTALL,
    ):
        fields = re.findall(r"<name>(\w+)</name>\n<type>(\w+)</type>", body)
        required = re.search(r"<required>(.*?)</required>", body)
        yield _make_tool(name, description, fields, json.loads(required[1]) if required else [])
    for description, name, body in re.findall(
        r"// (.*)\ntype (\w+) = \(_: \{\n(.*?)\}\) => any;", text, re.DOTALL
    ):
        fields = re.findall(r"^(\w+)\??: (\w+),", body, re.MULTILINE)
        yield _make_tool(name, description, fields, re.findall(r"^(\w+):", body, re.MULTILINE))
    if text.startswith("[{"):
        yield from (to_tool({"function": value}) for value in json.loads(text))
        return
    for line in re.sub("</?tool>", "", text).splitlines():
        if line.startswith("{"):
            value = json.loads(line)
            yield to_tool(value if "function" in value else {"function": value})


def _make_tool(name: str, description: str, fields: Any, required: Any) -> Tool:
    properties = {key: {"type": kind} for key, kind in fields}
    return Tool(
        name, description, {"type": "object", "properties": properties, "required": required}
    )


def _find_phi(text: str) -> Offer | None:
    """Phi 4 mini: a JSON list between marks."""
    listed = re.search(r"<\|tool\|>(.*?)<\|/tool\|>", text, re.DOTALL)
    if listed is None:
        return None
    return [to_tool({"function": value}) for value in json.loads(listed[1])], *listed.span()


def _find_cohere(text: str) -> Offer | None:
    """Command R7B: a JSON list within the template's own system text, which the user's ends."""
    listed = re.search(r"# System Preamble\n.*?```json\n(\[.*?\n\])\n```", text, re.DOTALL)
    if listed is None:
        return None
    tools = [to_tool({"function": value}) for value in json.loads(listed[1])]
    own = re.search(r"# Developer Preamble\n[^\n]*\n", text)
    return tools, listed.start(), own.end() if own else len(text)


def _find_signatures(text: str) -> Offer | None:
    """Command R: functions in Python at the end of the system text."""
    start = text.find("## Available Tools\nHere is a list of tools")
    if start < 0:
        return None
    kinds = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
    tools = []
    for code in re.findall(r"```python\n(.*?)```", text[start:], re.DOTALL):
        function = ast.parse(code).body[0]
        assert isinstance(function, ast.FunctionDef)
        names = [argument.arg for argument in function.args.args]
        hints = [ast.unparse(each.annotation or function) for each in function.args.args]
        hints = [hint.removeprefix("Optional[").removesuffix("]") for hint in hints]
        properties = {n: {"type": kinds[hint]} for n, hint in zip(names, hints, strict=True)}
        required = names[: len(names) - len(function.args.defaults)]
        parameters = {"type": "object", "properties": properties, "required": required}
        description = (ast.get_docstring(function) or "").partition("\n\nArgs:")[0]
        tools.append(Tool(function.name, description, parameters))
    return tools, start, len(text)


def _find_gemma(text: str) -> Offer | None:
    """Gemma 4: declarations between marks, at the end of the system text."""
    found = list(re.finditer(r"<\|tool>declaration:(\w+)(\{.*?\})<tool\|>", text, re.DOTALL))
    if not found:
        return None
    tools = [
        to_tool({"function": {"name": each[1], **_lower_types(read_gemma(each[2]))}})
        for each in found
    ]
    return tools, found[0].start(), found[-1].end()


def read_gemma(text: str) -> Any:
    """A value in Gemma 4's notation, whose keys are bare and whose quotes are marks."""
    quoted = re.sub(r"([{,])([\w$]+):", r'\1"\2":', text).replace('<|"|>', '"')
    try:
        return json.loads(quoted, strict=False)
    except ValueError:
        return text  # arguments as the model wrote them


def _lower_types(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: v.lower() if k == "type" else _lower_types(v) for k, v in value.items()}
    return value


OFFERS: dict[str, Callable[[str], Offer | None]] = {
    **{name: _find_framed(name) for name in FRAMED_OFFERS},
    "phi": _find_phi,
    "cohere": _find_cohere,
    "command-r": _find_signatures,
    "gemma": _find_gemma,
    "hermes": _find_hermes,
    "llama": _find_llama,
    "granite": _find_granite,
    "deepseek": _find_deepseek,
}


def to_tool(value: Mapping[str, Any]) -> Tool:
    function = value["function"]
    return Tool(function["name"], function.get("description", ""), function["parameters"])


def json_at(text: str, start: int) -> tuple[Any, int] | None:
    """The JSON value at a place, after white space, and its end."""
    start += len(text[start:]) - len(text[start:].lstrip())
    try:
        return json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        return None

"""Tools without any marks of a vendor: ReAct's words, and code that calls them.

Agents tell a model of these in their prompts, and models that were never trained on them follow.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from replicate_stream.testing._tool_user._conversation import Call, Offer, Tool
from replicate_stream.testing._tool_user._json import value_at
from replicate_stream.testing._tool_user._style import Style

RESULT = re.compile(r"(?:Observation|Result of executing the code given):\s*")
"""What a result begins with, in a turn of the user's or a tool's."""

_REACT_TOOL = re.compile(r"> Tool Name: (\S+)\nTool Description: (.*?)\nTool Args: ", re.DOTALL)
_REACT_CALL = re.compile(r"Action: *(\S+)\s+Action Input: *(\{.*\})", re.DOTALL)
_REACT_END = re.compile(r".*Answer: \[[^\n]*\n(?:```)?", re.DOTALL)
_DEF = re.compile(r"^def [^\n]*:(?:\n\s*\"\"\"\n?.*?\"\"\")?", re.DOTALL | re.MULTILINE)
_EXECUTE = re.compile(r"<execute>(.*?)</execute>", re.DOTALL)
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array"}


def find_react(text: str) -> Offer | None:
    """Tools as ReAct prompts list them; the words up to the last form of an answer are theirs."""
    tools: list[Tool] = []
    end = start = -1
    for told in _REACT_TOOL.finditer(text):
        found = value_at(text, told.end())
        if found and isinstance(found[0], Mapping):
            tools.append(Tool(told[1], told[2], found[0]))
            start, end = (told.start() if start < 0 else start), found[1]
    if not tools or "Action Input:" not in text:
        return None
    rest = _REACT_END.match(text, end)
    return tools, (start, rest.end() if rest else end)


def write_react(calls: Sequence[Call], style: Style) -> str:
    """The first of the calls: there is no form for several."""
    call = calls[0]
    thought = "Thought: I need to use a tool to help me answer the question."
    given = style.block(style.value(call.arguments))
    return f"{thought}\nAction: {call.name}\nAction Input: {given}"


def say_react(text: str) -> str:
    """An answer in ReAct's words."""
    return f"Thought: I can answer without using any more tools.\nAnswer: {text}"


def read_react(text: str) -> list[Call]:
    """The call in a turn of the model's."""
    told = _REACT_CALL.search(text)
    return [Call(told[1], _literal(told[2]))] if told else []


def _literal(text: str) -> Mapping[str, Any] | str:
    """A dict as JSON or as Python writes it."""
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, dict):
            return value
    return text


def find_code(text: str) -> Offer | None:
    """Tools as the heads of Python functions, for a model that is to write code."""
    if "<execute>" not in text:
        return None
    head = re.search(r"use the following functions:\n", text)
    if head is None:
        return None
    tools: list[Tool] = []
    end = head.end()
    for told in _DEF.finditer(text, head.end()):
        if tool := _function(told.group()):
            tools.append(tool)
            end = told.end()
    return (tools, (text.find("You will be given a task") % len(text), end)) if tools else None


def _function(head: str) -> Tool | None:
    try:
        parsed = ast.parse(f"{head.rstrip()}\n  ...").body[0]
    except SyntaxError:
        return None
    if not isinstance(parsed, ast.FunctionDef):
        return None
    properties = {arg.arg: _schema(arg.annotation) for arg in parsed.args.args}
    names = list(properties)
    needed = names[: len(names) - len(parsed.args.defaults)]
    schema = {"type": "object", "properties": properties, "required": needed}
    return Tool(parsed.name, ast.get_docstring(parsed) or "", schema)


def _schema(annotation: ast.expr | None) -> dict[str, Any]:
    name = ast.unparse(annotation).partition("[")[0] if annotation is not None else ""
    return {"type": _TYPES[name]} if name in _TYPES else {}


def write_code(calls: Sequence[Call], style: Style) -> str:  # noqa: ARG001 - code has one style
    """Code that calls the functions and prints what they give."""
    lines = [f"print({_expression(call)})" for call in calls]
    return "<execute>\n" + "\n".join(lines) + "\n</execute>"


def _expression(call: Call) -> str:
    arguments = call.arguments if isinstance(call.arguments, Mapping) else {}
    return f"{call.name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def read_code(text: str) -> list[Call]:
    """The calls in the code of a turn of the model's, as `write_code` writes them."""
    calls: list[Call] = []
    for code in _EXECUTE.findall(text):
        try:
            statements = ast.parse(code.strip()).body
        except SyntaxError:
            continue
        for node in (each for statement in statements for each in ast.walk(statement)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                given = {k.arg: k.value for k in node.keywords if k.arg}
                if node.func.id != "print" and all(isinstance(v, ast.expr) for v in given.values()):
                    calls.append(Call(node.func.id, _values(given)))
    return calls


def _values(given: Mapping[str, ast.expr]) -> dict[str, Any]:
    return {name: _value(expression) for name, expression in given.items()}


def _value(expression: ast.expr) -> Any:
    try:
        return ast.literal_eval(expression)
    except ValueError:
        return ast.unparse(expression)

"""Syntaxes of tool calls other than JSON: tags around each argument, and calls as Python.

Each function parses the text behind a mark, as `CallMark.parse`. Text that can mean two things is
malformed: the arguments of a call are exactly those that the model wrote.
"""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from replicate_stream._model.families.tool_format import (
    CallMark,
    ParsedCall,
    Schemas,
    resolve_name,
)
from replicate_stream._types.strict_json import parse_strict_json

Parse: TypeAlias = Callable[[str, str, Schemas], "Sequence[ParsedCall] | None"]

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict,
    "array": list, "null": type(None),
}  # fmt: skip
# The words of JSON and of Python, which models mix up.
_WORDS = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None,
}  # fmt: skip
_MAX_REFERENCES = 8  # of schemas that refer to others, before one must be recursive
_GEMMA_TOKEN = re.compile(
    r'<\|"\|>(?P<text>[\s\S]*?)<\|"\|>|"(?:[^"\\]|\\.)*"|(?P<key>[A-Za-z_$][\w$.\-]*)(?=\s*:)'
)


def parse_tags(argument: str, end: str = "", header: str = "") -> Parse:
    """Make a parser of arguments that each stand in a tag.

    Args:
        argument: A pattern with the groups `key` and `value`, and `is_text` if the tag itself says
            `true` for a text and `false` for JSON. Else the tool's schema decides.
        end: A pattern for what closes the call, before its closing mark.
        header: A pattern for the header of a further call behind that, with the tool's name in its
            only group; empty if a block holds one call.
    """
    pattern = re.compile(rf"\s*{argument}")
    last = re.compile(rf"\s*{end}\s*" + (rf"(?:{header}|\Z)" if header else r"\Z"))

    def parse(text: str, name: str, schemas: Schemas) -> Sequence[ParsedCall] | None:
        calls: list[ParsedCall] = []
        tool: str | None = name
        at = 0
        while tool is not None:
            arguments: dict[str, Any] | None = {}
            while (found := pattern.match(text, at)) is not None:
                groups, at = found.groupdict(), found.end()
                types = _find_types(schemas.get(tool, {}), groups["key"])
                if groups.get("is_text"):
                    types = {"string"} if groups["is_text"] == "true" else types - {"string"}
                arguments = _add(arguments, groups["key"], groups["value"], types)
            closed = last.match(text, at)
            if closed is None:
                return None
            calls.append((tool, arguments))
            tool, at = closed[1] if header else None, closed.end()
            tool = tool and resolve_name(tool, schemas)
        return calls

    return parse


def parse_python(text: str, name: str, schemas: Schemas) -> Sequence[ParsedCall] | None:
    """Parse `f(a=1)`, `f.call(a=1)`, several of them in lines or in a list, and `print(f(a=1))`.

    A result may get a name, with which nothing happens but that it is printed.
    """
    try:
        with warnings.catch_warnings():  # about an unknown escape in a string
            warnings.simplefilter("ignore")
            lines = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    calls: list[ParsedCall] = []
    names: set[str] = set()  # of results
    for line in lines:
        if _prints(line, names):
            continue
        value = line.value if isinstance(line, ast.Expr | ast.Assign) else None
        if isinstance(line, ast.Assign):
            names |= {each.id for each in line.targets if isinstance(each, ast.Name)}
        for item in value.elts if isinstance(value, ast.List | ast.Tuple) else [value]:
            call = _parse_python_call(item)
            if call is None:
                return None
            calls.append((resolve_name(call[0], schemas), call[1]))
    return calls or None


def parse_gemma(text: str, name: str, schemas: Schemas) -> Sequence[ParsedCall] | None:
    """Parse `{city:<|"|>Paris<|"|>,days:2}`: JSON with bare keys, and a mark for quotes."""
    with suppress(ValueError):
        arguments = parse_strict_json(_GEMMA_TOKEN.sub(_quote, text))
        return [(name, arguments if isinstance(arguments, dict) else None)]
    return None


# As in Anthropic's API; MiniMax M2 writes the same.
INVOKE = CallMark(
    "<invoke name=",
    ("</invoke>",),
    header=r"[\"']([^\"'<>]+)[\"']\s*>",
    header_start=r"[\"']?[^\"'<>]*[\"']?\s*",
    parse=parse_tags(
        r"<(?:antml:)?parameter name=[\"'](?P<key>[^\"'<>]+)[\"']>"
        r"(?P<value>[\s\S]*?)</(?:antml:)?parameter>"
    ),
    needs_closing=True,
)
"""A call whose tool and arguments stand in tags with an attribute `name`."""


def _add(
    arguments: dict[str, Any] | None, key: str, text: str, types: set[str]
) -> dict[str, Any] | None:
    """Add an argument; None if it is malformed, or one before it was."""
    if arguments is None or key in arguments:
        return None
    with suppress(ValueError):
        return {**arguments, key: _convert(text, types)}
    return None


def _convert(text: str, types: set[str]) -> Any:
    """Convert the text in a tag to one of the types; an empty set stands for any type.

    Raises:
        ValueError: It has none of the types.
    """
    word = text.strip()
    if "string" in types and not (word in {"null", "None"} and "null" in types):
        return text
    try:
        value = _WORDS[word] if word in _WORDS else parse_strict_json(word)
    except ValueError:
        if types:
            raise
        return text
    if types and not any(_has_type(value, each) for each in types):
        raise ValueError("The argument has another type than its schema says")
    return value


def _has_type(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, ()))


def _find_types(schema: Mapping[str, Any], key: str) -> set[str]:
    """Find the types that a schema allows for a property; an empty set for any type."""
    properties = schema.get("properties")
    declared = properties.get(key) if isinstance(properties, Mapping) else None
    return _collect_types(declared, schema, _MAX_REFERENCES)


def _collect_types(declared: Any, root: Mapping[str, Any], depth: int) -> set[str]:
    if not isinstance(declared, Mapping) or not depth:
        return set()
    if "$ref" in declared:
        target: Any = root
        for part in str(declared["$ref"]).split("/")[1:]:
            target = target.get(part) if isinstance(target, Mapping) else None
        return _collect_types(target, root, depth - 1)
    values = declared.get("enum", [declared["const"]] if "const" in declared else [])
    if isinstance(values, list) and values and "type" not in declared:
        return {name for name in _TYPES for value in values if _has_type(value, name)}
    kinds = declared.get("type", [])
    types = {kinds} if isinstance(kinds, str) else set(kinds)
    for option in (*declared.get("anyOf", ()), *declared.get("oneOf", ())):
        types |= _collect_types(option, root, depth - 1)
    return types


def _prints(line: ast.stmt, names: set[str]) -> bool:
    match line:
        case ast.Expr(ast.Call(ast.Name("print"), [ast.Name(name)], [])):
            return name in names
    return False


def _parse_python_call(node: ast.AST | None) -> ParsedCall | None:
    """Parse one call; None for any other expression."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
        return None
    name = ast.unparse(node.func).removesuffix(".call")
    if name == "print" and len(node.args) == 1 and not node.keywords:
        return _parse_python_call(node.args[0])
    arguments = {keyword.arg: keyword.value for keyword in node.keywords}
    # Arguments without names have no certain meaning, those in `**` are no literals, and of two
    # with one name either may be meant.
    if node.args or None in arguments or len(arguments) < len(node.keywords):
        return name, None
    try:
        return name, {key or "": _evaluate(value) for key, value in arguments.items()}
    except (TypeError, ValueError, RecursionError):  # a key of a dict may be a list
        return name, None


def _evaluate(node: ast.AST | None) -> Any:
    """Evaluate a literal that JSON has too. Python's own function takes sets and bytes as well.

    Raises:
        ValueError: It is not such a literal, or a number that no float can hold.
    """
    match node:
        case ast.Constant(value=str() | bool() | int() | None):
            return node.value
        case ast.Constant(value=float() as number) if math.isfinite(number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            return -_evaluate(node.operand)
        case ast.List() | ast.Tuple():
            return [_evaluate(item) for item in node.elts]
        case ast.Dict():
            members = dict(zip(map(_evaluate, node.keys), map(_evaluate, node.values), strict=True))
            if len(members) == len(node.keys) and all(isinstance(key, str) for key in members):
                return members
        case ast.Name() if node.id in _WORDS:
            return _WORDS[node.id]
    raise ValueError("The argument is no literal that JSON has")


def _quote(found: re.Match[str]) -> str:
    bare = found["key"] if found["text"] is None else found["text"]
    return found.group() if bare is None else json.dumps(bare)

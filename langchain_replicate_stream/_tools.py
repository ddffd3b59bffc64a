"""What `bind_tools` binds: tools and the answer's format as the core takes them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.utils.function_calling import convert_to_openai_function, convert_to_openai_tool
from pydantic import BaseModel

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

ToolLike: TypeAlias = "Mapping[str, Any] | type | Callable[..., Any] | BaseTool"
Schema: TypeAlias = "Mapping[str, Any] | type"

_REF = re.compile(r'"#/\$defs/([^"]+)"')
_FORMATS = frozenset({"text", "json_object", "json_schema"})
_TOOLS = frozenset({"function", "parameters", "input_schema", "toolSpec"})


def to_tools(tools: Sequence[ToolLike], *, strict: bool | None) -> list[dict[str, Any]]:
    """Tools of every kind as OpenAI's dicts.

    Raises:
        ValueError: One is of no kind that is known.
    """
    return [convert_to_openai_tool(tool, strict=strict) for tool in tools]


def to_format(schema: Schema, *, strict: bool | None) -> dict[str, Any]:
    """A schema of every kind, or OpenAI's `response_format`, as the latter.

    Raises:
        ValueError: It is of no kind that is known.
    """
    if not isinstance(schema, Mapping):
        function = convert_to_openai_function(schema, strict=strict)
        whole = _recursive_schema(schema)
        about = {"name": function["name"], "schema": whole or function.get("parameters", {})}
        if function.get("description"):
            about["description"] = function["description"]
    elif schema.get("type") in _FORMATS:
        return dict(schema)
    elif isinstance(schema.get("schema"), Mapping):
        about = dict(schema)
    elif _TOOLS & schema.keys():
        function = convert_to_openai_tool(dict(schema))["function"]
        about = {"name": function["name"], "schema": function["parameters"]}
    else:
        about = {"name": schema.get("title") or "answer", "schema": dict(schema)}
    if strict is not None:
        about["strict"] = strict
    return {"type": "json_schema", "json_schema": about}


def converted(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call, whose tools and format may be of every kind, too.

    Raises:
        ValueError: One is of no kind that is known.
    """
    tools, form = given.get("tools"), given.get("response_format")
    is_list = isinstance(tools, Sequence) and not isinstance(tools, str)
    # What is no list is refused by the core, as all other values of a wrong type are.
    if tools and is_list and not all(isinstance(e, Mapping) and "function" in e for e in tools):
        given = {**given, "tools": to_tools(tools, strict=None)}
    if isinstance(form, type):
        given = {**given, "response_format": to_format(form, strict=None)}
    return given


def _recursive_schema(schema: type) -> dict[str, Any] | None:
    """The schema of a class whose objects hold objects of their own kind; None for any other.

    The framework writes out what a schema refers to, and leaves out what refers to itself.
    """
    if not issubclass(schema, BaseModel):
        return None
    whole = schema.model_json_schema()
    defined = whole.get("$defs", {})
    refers = {name: set(_REF.findall(json.dumps(each))) for name, each in defined.items()}
    while ends := {name for name, to in refers.items() if not to & refers.keys()}:
        refers = {name: to for name, to in refers.items() if name not in ends}
    return whole if refers else None

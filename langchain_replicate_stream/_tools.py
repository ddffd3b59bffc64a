"""Tools and formats of every type that LangChain knows, as OpenAI's dicts. Pure."""

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
_FORMAT_TYPES = frozenset({"text", "json_object", "json_schema"})
_TOOL_KEYS = frozenset({"function", "parameters", "input_schema", "toolSpec"})


def to_openai_tools(tools: Sequence[ToolLike], *, strict: bool | None) -> list[dict[str, Any]]:
    """Convert tools to OpenAI's dicts.

    Raises:
        ValueError: A tool is of an unknown type.
    """
    return [convert_to_openai_tool(tool, strict=strict) for tool in tools]


def to_response_format(schema: Schema, *, strict: bool | None) -> dict[str, Any]:
    """Convert a schema to OpenAI's `response_format`; one that is such already is copied.

    Raises:
        ValueError: The schema is of an unknown type.
    """
    if not isinstance(schema, Mapping):
        function = convert_to_openai_function(schema, strict=strict)
        parameters = _get_recursive_schema(schema) or function.get("parameters", {})
        json_schema = {"name": function["name"], "schema": parameters}
        if function.get("description"):
            json_schema["description"] = function["description"]
    elif schema.get("type") in _FORMAT_TYPES:
        return dict(schema)
    elif isinstance(schema.get("schema"), Mapping):
        json_schema = dict(schema)
    elif _TOOL_KEYS & schema.keys():
        function = convert_to_openai_tool(dict(schema))["function"]
        json_schema = {"name": function["name"], "schema": function["parameters"]}
    else:
        json_schema = {"name": schema.get("title") or "answer", "schema": dict(schema)}
    if strict is not None:
        json_schema["strict"] = strict
    return {"type": "json_schema", "json_schema": json_schema}


def convert_tools(tools: Any) -> Any:
    """Convert the tools of a call; any other value is left for the core to reject."""
    if not tools or not isinstance(tools, Sequence) or isinstance(tools, str):
        return tools
    if all(isinstance(tool, Mapping) and "function" in tool for tool in tools):
        return tools  # bound tools have been converted already
    return to_openai_tools(tools, strict=None)


def convert_response_format(response_format: Any) -> Any:
    """Convert a class that a call has as its format; any other value is left to the core."""
    if isinstance(response_format, type):
        return to_response_format(response_format, strict=None)
    return response_format


def _get_recursive_schema(schema: type) -> dict[str, Any] | None:
    """Return the schema of a class that refers to itself, None for any other class.

    The framework's converter inlines references, and drops those that lead back to themselves.
    """
    if not issubclass(schema, BaseModel):
        return None
    whole = schema.model_json_schema()
    definitions = whole.get("$defs", {})
    references = {name: set(_REF.findall(json.dumps(each))) for name, each in definitions.items()}
    # Definitions without further references are removed, again and again: a circle remains.
    while leaves := {name for name, to in references.items() if not to & references.keys()}:
        references = {name: to for name, to in references.items() if name not in leaves}
    return whole if references else None

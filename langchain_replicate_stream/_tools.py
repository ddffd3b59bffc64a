"""Tools and formats of every type that LangChain knows, as OpenAI's dicts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.utils.function_calling import convert_to_openai_tool

from replicate_stream.adapters import replace_surrogates

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    ToolLike: TypeAlias = Mapping[str, Any] | type | Callable[..., Any] | BaseTool
else:
    ToolLike = Any  # `BaseTool` takes long to import
Schema: TypeAlias = Mapping[str, Any] | type
Method: TypeAlias = Literal["json_schema", "function_calling", "json_mode"]

_FORMAT_TYPES = frozenset({"text", "json_object", "json_schema"})
_TOOL_KEYS = frozenset({"function", "parameters", "input_schema", "toolSpec"})


def to_openai_tools(tools: Sequence[ToolLike], *, strict: bool | None) -> list[dict[str, Any]]:
    """Convert tools to OpenAI's dicts.

    Raises:
        ValueError: A tool is of an unknown type.
    """
    # Imported by the first tools: the framework's own take long to import.
    from langchain_replicate_stream._schemas import read_whole

    converted = (convert_to_openai_tool(read_whole(tool) or tool, strict=strict) for tool in tools)
    # The parsers of answers look for the names that the model was sent.
    return [replace_surrogates(tool) for tool in converted]


def to_response_format(schema: Schema, *, strict: bool | None) -> dict[str, Any]:
    """Convert a schema to OpenAI's `response_format`; one that is such already is copied.

    Raises:
        ValueError: The schema is of an unknown type.
    """
    if isinstance(schema, Mapping) and schema.get("type") in _FORMAT_TYPES:
        return dict(schema)
    if not isinstance(schema, Mapping) or _TOOL_KEYS & schema.keys():
        (tool,) = to_openai_tools([schema], strict=strict)
        function = tool["function"]
        json_schema = {"name": function["name"], "schema": function.get("parameters", {})}
        if function.get("description"):
            json_schema["description"] = function["description"]
    elif isinstance(schema.get("schema"), Mapping):
        json_schema = dict(schema)
    else:
        json_schema = {"name": schema.get("title") or "answer", "schema": dict(schema)}
    if strict is not None:
        json_schema["strict"] = strict
    return {"type": "json_schema", "json_schema": json_schema}


def convert_arguments(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the tools and the format of a call; what is neither is left for the core to reject.

    In the key of a cache too, where two classes of one name would be the same.
    """
    converted = dict(kwargs)
    tools: Any = kwargs.get("tools")
    response_format = kwargs.get("response_format")
    is_list = isinstance(tools, Sequence) and not isinstance(tools, str)
    # Bound tools have been converted already.
    if is_list and not all(isinstance(tool, Mapping) and "function" in tool for tool in tools):
        converted["tools"] = to_openai_tools(tools, strict=None)
    if isinstance(response_format, type):
        converted["response_format"] = to_response_format(response_format, strict=None)
    return converted

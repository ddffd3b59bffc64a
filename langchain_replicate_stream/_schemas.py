"""Schemas of which the framework's own converter loses a part, as OpenAI's functions. Pure.

It inlines references, and drops those that it is inside of: of a tree it leaves `"items": {}`. Of a
TypedDict it drops `None` and `total=False`, and it copies a recursive one until Python's limit. A
dataclass it reads as a function, with the factories of its defaults.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from langchain_core.tools import BaseTool, create_schema_from_function
from langchain_core.utils.json_schema import dereference_refs
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import Field, PydanticUserError, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypedDict, is_typeddict

from replicate_stream.adapters import find_references, inline_root, resolve


def read_whole(tool: Any) -> dict[str, Any] | None:
    """Read a tool of which the framework's converter would lose a part; None for any other.

    Args:
        tool: A tool, a class, a function, a JSON schema with a title, or OpenAI's
            `response_format`.

    Returns:
        OpenAI's function, with the whole schema.
    """
    if isinstance(tool, Mapping) and tool.get("type") == "json_schema":
        tool = tool.get("json_schema", tool)
    if isinstance(tool, Mapping) and "schema" in tool and "parameters" not in tool:
        return {"parameters": tool["schema"], **tool}
    is_typed = is_typeddict(tool) or _is_dataclass(tool)
    is_other = not is_typed and not isinstance(tool, Mapping | BaseTool)
    try:
        if is_other and not (callable(tool) and _is_recursive_class(tool)):
            return None
        schema = _read_schema(tool)
    except PydanticUserError:  # the framework's converter explains it
        return None
    if schema is None:
        return None
    if not isinstance(tool, Mapping) and not _is_recursive(schema):
        if not is_typed:
            return None
        schema = dereference_refs(schema)  # as the converter does
        schema.pop("$defs", None)
    parameters = inline_root(schema)
    name, description = parameters.pop("title", ""), parameters.pop("description", "")
    if isinstance(tool, BaseTool):
        name, description = tool.name, tool.description
    return {"name": name, "description": description, "parameters": parameters}


def _read_schema(tool: Any) -> dict[str, Any] | None:
    """Read the JSON schema of a tool; None if the framework's converter keeps it in any case."""
    if isinstance(tool, Mapping):
        # Of a schema without properties the converter keeps the title alone.
        is_lost = "title" in tool and not tool.keys() & {"name", "properties"}
        return dict(tool) if is_lost else None
    if is_typeddict(tool) or _is_dataclass(tool):
        typed = copy_typed_dict(tool, {}) if is_typeddict(tool) else tool
        return TypeAdapter(typed).json_schema(schema_generator=_Untitled)
    cls: Any = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
    if isinstance(cls, Mapping):
        return dict(cls)
    if not isinstance(cls, type) or not is_basemodel_subclass(cls):
        # As the converter makes it.
        cls = create_schema_from_function(
            cls.__name__, cls, filter_args=(), parse_docstring=True, include_injected=False
        )
    schema: dict[str, Any] = (getattr(cls, "model_json_schema", None) or cls.schema)()
    return schema


@lru_cache(maxsize=256)  # a class is often bound for each request, and its schema takes long
def _is_recursive_class(cls: Any) -> bool:
    schema = _read_schema(cls)
    return schema is not None and _is_recursive(schema)


def _is_dataclass(tool: Any) -> bool:
    return isinstance(tool, type) and is_dataclass(tool)


class _Untitled(GenerateJsonSchema):
    """Leaves out titles of fields, which repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _is_recursive(schema: Mapping[str, Any]) -> bool:
    references = {each: find_references(resolve(schema, each)) for each in find_references(schema)}
    # What refers to nothing further is removed, again and again: a circle remains.
    while leaves := {each for each, to in references.items() if not to & references.keys()}:
        references = {each: to for each, to in references.items() if each not in leaves}
    return bool(references)


def copy_typed_dict(typed_dict: Any, copies: dict[Any, Any]) -> Any:
    """Copy a TypedDict as one that Pydantic can read.

    Pydantic refuses `typing.TypedDict` before Python 3.12, and passes over the framework's own
    form of a field, `Annotated[type, default, description]`.

    Args:
        typed_dict: The TypedDict.
        copies: The copies that have been begun, by their originals.
    """
    if typed_dict in copies:
        return copies[typed_dict]
    make: Any = TypedDict
    copy = copies[typed_dict] = make(typed_dict.__name__, {})
    copy.__doc__ = typed_dict.__doc__
    # A local class does not find itself by its name.
    names = {typed_dict.__name__: typed_dict}
    hints = get_type_hints(typed_dict, localns=names, include_extras=True)
    copy.__annotations__ = {name: _copy_hint(hint, copies) for name, hint in hints.items()}
    copy.__required_keys__ = frozenset(
        name for name in typed_dict.__required_keys__ if not _has_default(hints[name])
    )
    return copy


def _copy_hint(hint: Any, copies: dict[Any, Any]) -> Any:
    if is_typeddict(hint):
        return copy_typed_dict(hint, copies)
    origin, args = get_origin(hint), get_args(hint)
    if not args or origin is Literal:
        return hint
    if _is_described(hint):
        default = {"default": args[1]} if _has_default(hint) else {}
        field = Field(description=args[2], json_schema_extra=default)
        return Annotated[_copy_hint(args[0], copies), field]
    if origin is Annotated:
        return Annotated[(_copy_hint(args[0], copies), *args[1:])]
    copied: Any = tuple(_copy_hint(arg, copies) for arg in args)
    generic: Any = Union if origin is types.UnionType else origin
    return generic[copied[0] if len(copied) == 1 else copied]


def _is_described(hint: Any) -> bool:
    args = get_args(hint)
    return get_origin(hint) is Annotated and len(args) > 2 and isinstance(args[2], str)


def _has_default(hint: Any) -> bool:
    return _is_described(hint) and get_args(hint)[1] is not ...

"""LlamaIndex's tools to OpenAI's dicts, and a response's calls to tool selections. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.tools.function_tool import FunctionTool
from llama_index.core.tools.types import BaseTool, ToolMetadata
from pydantic import BaseModel
from pydantic_core import from_json

from llama_index_replicate_stream._from_core import MALFORMED_CALLS
from llama_index_replicate_stream._to_core import convert_call_block, parse_additional_calls
from replicate_stream.adapters import inline_root, to_parameters

_LABELS = frozenset({"title", "description"})  # the tool has its own


def get_output_class(tools: Sequence[BaseTool]) -> type[BaseModel] | None:
    """Return the class that the framework made the only tool of; None for other tools."""
    tool = tools[0] if len(tools) == 1 else None
    is_made = isinstance(tool, FunctionTool) and tool.fn.__module__ == get_function_tool.__module__
    return tool.metadata.fn_schema if tool is not None and is_made else None


def convert_tools(tools: Any) -> Any:
    """Convert the framework's tools among those of a call; other values are left for the core."""
    if not isinstance(tools, Iterable) or isinstance(tools, str | Mapping):
        return tools
    return [_convert_tool(tool) if isinstance(tool, BaseTool) else tool for tool in tools]


def _convert_tool(tool: BaseTool) -> dict[str, Any]:
    # Not `to_openai_tool`, which changes names: agents look a tool up by the name in the call.
    metadata, output_cls = tool.metadata, get_output_class([tool])
    description: str | None = metadata.description
    if output_cls is not None:  # for one without a docstring the framework describes its function
        description = inline_root(output_cls.model_json_schema()).get("description")
    function = {
        "name": metadata.get_name(),
        "description": description,
        "parameters": _complete_schema(metadata.get_parameters_dict(), metadata.fn_schema),
    }
    return {"type": "function", "function": function}


def _complete_schema(schema: Mapping[str, Any], cls: type[BaseModel] | None) -> dict[str, Any]:
    """Add what the framework leaves out of the schema of a tool's class.

    It keeps five keys of an object, and neither a reference nor any other value at the root.
    """
    whole = {} if cls is None else cls.model_json_schema()
    parameters = to_parameters({**whole, **schema})
    return {key: value for key, value in parameters.items() if key not in _LABELS}


class _CompleteMetadata(ToolMetadata):
    def get_parameters_dict(self) -> dict[str, Any]:
        schema = _complete_schema(super().get_parameters_dict(), self.fn_schema)
        return {"properties": {}, **schema}


def make_callable(tool: BaseTool) -> BaseTool:
    """Return a tool that the framework can call: it looks for properties in the tool's schema."""
    old = tool.metadata
    if not isinstance(tool, FunctionTool) or "properties" in old.get_parameters_dict():
        return tool
    metadata = _CompleteMetadata(old.description, old.name, old.fn_schema, old.return_direct)
    tool = copy(tool)
    tool._metadata = metadata  # noqa: SLF001 - a tool has no other way to change it
    return tool


def join_messages(
    chat_history: Sequence[ChatMessage] | None, user_msg: str | ChatMessage | None
) -> list[ChatMessage]:
    """Join the history and the user's message in a new list."""
    if isinstance(user_msg, str):
        user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
    return [*(chat_history or ()), *([] if user_msg is None else [user_msg])]


def get_tool_choice(tools: Sequence[BaseTool], tool_choice: Any, *, is_required: bool) -> Any:
    """Return the `tool_choice` of the core: the call's own, or else whether a call is required."""
    if tool_choice is not None or not is_required:
        return tool_choice
    # Of a single tool the name is sent, which guides a model better than "required".
    return tools[0].metadata.get_name() if len(tools) == 1 else "required"


def get_tool_selections(response: ChatResponse) -> list[ToolSelection]:
    """Return a response's calls, with their arguments as far as they have arrived.

    Malformed calls of a finished answer are left out: a tool would be run with a part of its
    arguments, or without any.
    """
    message = response.message
    malformed = {call["id"] for call in message.additional_kwargs.get(MALFORMED_CALLS) or ()}
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    calls = [convert_call_block(block) for block in blocks] or parse_additional_calls(message)
    return [
        ToolSelection(
            tool_id=call.id, tool_name=call.name, tool_kwargs=parse_partial(call.arguments)
        )
        for call in calls
        if call.id not in malformed
    ]


def parse_partial(arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    """Parse arguments that may be incomplete."""
    if not isinstance(arguments, str):
        return dict(arguments)
    try:
        # The framework's own parser leaves out a string until its end; this one shows it growing.
        value = from_json(arguments.encode(errors="replace"), allow_partial="trailing-strings")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def make_missing_call_error(response: ChatResponse) -> ValueError:
    """Make the error for a response without a valid call, where one was expected."""
    malformed = response.message.additional_kwargs.get(MALFORMED_CALLS) or ()
    names = ", ".join(call["function"]["name"] or "a tool without a name" for call in malformed)
    reason = f"its call of {names} is malformed" if malformed else "it has none"
    return ValueError(f"Expected at least one tool call in the response, but {reason}.")

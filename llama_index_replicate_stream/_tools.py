"""LlamaIndex's tools to the core's, and the calls of a response to what is to be run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool
from pydantic_core import from_json

import replicate_stream as core
from llama_index_replicate_stream._from_core import MALFORMED
from llama_index_replicate_stream._to_core import calls_beside


def to_core_tools(tools: Any) -> Any:
    """LlamaIndex's tools as the core takes them. What is none of its tools is left as it is.

    The names are not changed, as the framework's own `to_openai_tool` would do: it looks for the
    tool by the name that the model calls.
    """
    if not isinstance(tools, Iterable) or isinstance(tools, str | Mapping):
        return tools
    return [_to_core(tool) if isinstance(tool, BaseTool) else tool for tool in tools]


def _to_core(tool: BaseTool) -> dict[str, Any]:
    about = tool.metadata
    function = {
        "name": about.get_name(),
        "description": about.description,
        "parameters": about.get_parameters_dict(),
    }
    return {"type": "function", "function": function}


def conversation(
    history: Sequence[ChatMessage] | None, said: str | ChatMessage | None
) -> list[ChatMessage]:
    """The messages of a call, in a list of their own: the caller's history is not changed."""
    if isinstance(said, str):
        said = ChatMessage(role=MessageRole.USER, content=said)
    return [*(history or ()), *([] if said is None else [said])]


def choice(tools: Sequence[BaseTool], given: Any, *, is_required: bool) -> Any:
    """The `tool_choice` of a call: the given one, else whether any tool must be called."""
    if given is not None or not is_required:
        return given
    # A name says more than "required", where there is only one.
    return tools[0].metadata.get_name() if len(tools) == 1 else "required"


def selections(response: ChatResponse) -> list[ToolSelection]:
    """The calls of a response, with the arguments as far as they have come.

    A call that came to its end malformed is none: with the half of its arguments, or without any,
    a tool would be run as nobody asked for.
    """
    message = response.message
    bad = {call["id"] for call in message.additional_kwargs.get(MALFORMED) or ()}
    calls = [
        core.ToolCall(block.tool_call_id or "", block.tool_name, block.tool_kwargs)
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    return [
        ToolSelection(tool_id=call.id, tool_name=call.name, tool_kwargs=_arguments(call.arguments))
        for call in calls or calls_beside(message)
        if call.id not in bad
    ]


def _arguments(given: Mapping[str, Any] | str) -> dict[str, Any]:
    if not isinstance(given, str):
        return dict(given)
    try:
        # The framework's own reader leaves out a text until its end; this one shows it growing.
        read = from_json(given.encode(errors="replace"), allow_partial="trailing-strings")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def no_calls(response: ChatResponse) -> ValueError:
    """The error for a response without a call, where one was expected."""
    bad = response.message.additional_kwargs.get(MALFORMED) or ()
    names = ", ".join(call["function"]["name"] or "a tool without a name" for call in bad)
    why = f"its call of {names} is malformed" if bad else "it calls none"
    return ValueError(f"Expected at least one tool call in the response, but {why}.")

"""What makes a model one that calls functions, for agents and programs of the framework.

The trap: what the framework offers for models that call none hands a formatter of None to its
ReAct agent, which refuses it; so those are given here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import ConfigDict
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools.calling import acall_tool_with_selection, call_tool_with_selection
from llama_index.core.tools.types import ToolOutput

from llama_index_replicate_stream._tools import (
    choice,
    conversation,
    no_calls,
    selections,
    to_core_tools,
)

if TYPE_CHECKING:
    from llama_index.core.chat_engine.types import AgentChatResponse
    from llama_index.core.llms.llm import ToolSelection
    from llama_index.core.tools.types import BaseTool


class Calling(FunctionCallingLLM):
    """The methods of a `FunctionCallingLLM` that do not ask the model themselves."""

    model_config = ConfigDict(defer_build=True)  # see `Configured`

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The arguments of `chat` for a chat with tools."""
        return {
            "messages": conversation(chat_history, user_msg),
            "tools": to_core_tools(tools),
            "tool_choice": choice(tools, tool_choice, is_required=tool_required),
            "parallel_tool_calls": None if allow_parallel_tool_calls else False,
            **kwargs,
        }

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The calls of a response, also of one in a stream.

        Args:
            response: A response of a chat.
            error_on_no_tool_call: Whether there has to be one.
            kwargs: Not looked at; the framework has them in its signature.

        Raises:
            ValueError: There is none, or none that can be made.
        """
        calls = selections(response)
        if not calls and error_on_no_tool_call:
            raise no_calls(response)
        return calls

    def predict_and_call(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        error_on_no_tool_call: bool = True,
        error_on_tool_error: bool = False,
        **kwargs: Any,
    ) -> AgentChatResponse:
        """Ask for calls, and make them. A model that calls none is asked as a ReAct agent asks.

        Raises:
            ValueError: There is no call, or, with `error_on_tool_error`, a tool failed. To call a
                tool that was not given is such a failure.
        """
        if not self.metadata.is_function_calling_model:
            return super().predict_and_call(
                tools, user_msg, chat_history, verbose=verbose, **{**_react(), **kwargs}
            )
        response = self.chat_with_tools(
            tools,
            user_msg,
            chat_history,
            verbose,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
            **kwargs,
        )
        calls = self.get_tool_calls_from_response(response, error_on_no_tool_call)
        outputs = [
            _unknown(each, tools) or call_tool_with_selection(each, tools, verbose)
            for each in calls
        ]
        return _answer(response, outputs, is_strict=error_on_tool_error)

    async def apredict_and_call(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        error_on_no_tool_call: bool = True,
        error_on_tool_error: bool = False,
        **kwargs: Any,
    ) -> AgentChatResponse:
        """The same for async code; the tools run at the same time."""
        if not self.metadata.is_function_calling_model:
            return await super().apredict_and_call(
                tools, user_msg, chat_history, verbose=verbose, **{**_react(), **kwargs}
            )
        response = await self.achat_with_tools(
            tools,
            user_msg,
            chat_history,
            verbose,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
            **kwargs,
        )
        calls = self.get_tool_calls_from_response(response, error_on_no_tool_call)

        async def call(each: ToolSelection) -> ToolOutput:
            unknown = _unknown(each, tools)
            return unknown or await acall_tool_with_selection(each, tools, verbose)

        outputs = await asyncio.gather(*(call(each) for each in calls))
        return _answer(response, outputs, is_strict=error_on_tool_error)


def _react() -> dict[str, Any]:
    from llama_index.core.agent.react.formatter import ReActChatFormatter
    from llama_index.core.agent.react.output_parser import ReActOutputParser

    return {"react_chat_formatter": ReActChatFormatter(), "output_parser": ReActOutputParser()}


def _unknown(called: ToolSelection, tools: Sequence[BaseTool]) -> ToolOutput | None:
    """What comes of calling a tool that is not there; None if it is."""
    names = [tool.metadata.get_name() for tool in tools]
    if called.tool_name in names:
        return None
    problem = f"There is no tool {called.tool_name!r}; there are {', '.join(names)}."
    return ToolOutput(
        tool_name=called.tool_name,
        content=problem,
        raw_input=called.tool_kwargs,
        raw_output=problem,
        is_error=True,
    )


def _answer(
    response: ChatResponse, outputs: Sequence[ToolOutput], *, is_strict: bool
) -> AgentChatResponse:
    from llama_index.core.chat_engine.types import AgentChatResponse

    text = "\n\n".join(output.content for output in outputs)
    if is_strict and any(output.is_error for output in outputs):
        raise ValueError(text)
    said = text if outputs else response.message.content or ""
    return AgentChatResponse(response=said, sources=list(outputs))

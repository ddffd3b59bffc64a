"""Function calling for the framework's agents and programs.

The trap: for models without function calling, the framework's `predict_and_call` passes a formatter
of None to its ReAct agent, which raises an error; see `_make_react_arguments`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
)
from llama_index.core.bridge.pydantic import ConfigDict
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools.calling import acall_tool_with_selection, call_tool_with_selection
from llama_index.core.tools.types import ToolOutput

from llama_index_replicate_stream._structured_output import (
    ClassValidator,
    askip_irreplaceable,
    make_object,
    replace_tool,
    skip_irreplaceable,
)
from llama_index_replicate_stream._tools import (
    convert_tools,
    get_output_class,
    get_tool_choice,
    get_tool_selections,
    join_messages,
    make_callable,
    make_missing_call_error,
    parse_partial,
)
from replicate_stream.adapters import run_blocking

if TYPE_CHECKING:
    from llama_index.core.bridge.pydantic import BaseModel
    from llama_index.core.chat_engine.types import AgentChatResponse
    from llama_index.core.llms.llm import ToolSelection
    from llama_index.core.tools.types import BaseTool


class FunctionCallingMixin(FunctionCallingLLM):
    """The methods of a `FunctionCallingLLM` that send no request themselves."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)  # see `ReplicateFields`

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
        """Build the arguments of `chat` for a chat with tools."""
        output_cls = get_output_class(tools)
        if output_cls is not None:
            kwargs = {"validator": ClassValidator(output_cls=output_cls), **kwargs}
        return {
            "messages": join_messages(chat_history, user_msg),
            "tools": convert_tools(tools),
            "tool_choice": get_tool_choice(tools, tool_choice, is_required=tool_required),
            "parallel_tool_calls": None if allow_parallel_tool_calls else False,
            **kwargs,
        }

    def stream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool | None = None,
        **kwargs: Any,
    ) -> ChatResponseGen:
        """Answer messages with text or calls of tools, token by token.

        Without `tool_required` a call is required of a tool that the framework made of a class: its
        programs leave the argument out when they stream, and make an empty object of a text.
        """
        output_cls = get_output_class(tools)
        is_required = output_cls is not None if tool_required is None else tool_required
        responses: Any = super().stream_chat_with_tools(
            tools,
            user_msg,
            chat_history,
            verbose,
            allow_parallel_tool_calls,
            is_required,
            **kwargs,
        )
        return responses if output_cls is None else skip_irreplaceable(responses, output_cls)

    async def astream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool | None = None,
        **kwargs: Any,
    ) -> ChatResponseAsyncGen:
        """Answer messages with text or calls, token by token; see `stream_chat_with_tools`."""
        output_cls = get_output_class(tools)
        is_required = output_cls is not None if tool_required is None else tool_required
        responses: Any = await super().astream_chat_with_tools(
            tools,
            user_msg,
            chat_history,
            verbose,
            allow_parallel_tool_calls,
            is_required,
            **kwargs,
        )
        return responses if output_cls is None else askip_irreplaceable(responses, output_cls)

    async def _takes_json(self, output_cls: type[BaseModel], model: str | None) -> bool:
        """Return True if the model has an input for JSON of a class, and should get it."""
        raise NotImplementedError

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the calls of a response, which may be one of a stream.

        Args:
            response: A response of a chat.
            error_on_no_tool_call: Raise an error if it has no valid call.
            kwargs: Ignored; part of the framework's signature.

        Raises:
            ValueError: It has no valid call.
        """
        calls = get_tool_selections(response)
        if not calls and error_on_no_tool_call:
            raise make_missing_call_error(response)
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
        """Request calls and run their tools.

        With `is_function_calling_model=False` a ReAct agent does so.

        Raises:
            ValueError: The answer has no valid call; or, with `error_on_tool_error`, a tool failed
                or is unknown.
        """
        if not self.metadata.is_function_calling_model:
            kwargs = {**_make_react_arguments(), **kwargs}
            return super().predict_and_call(tools, user_msg, chat_history, verbose, **kwargs)
        output_cls = None if allow_parallel_tool_calls else get_output_class(tools)
        model = kwargs.get("model")
        if output_cls and run_blocking(lambda: self._takes_json(output_cls, model)):
            arguments = {"chat_history": join_messages(chat_history, user_msg), **kwargs}
            response = self.chat(**replace_tool(output_cls, arguments))
            return _make_object_response(response, output_cls)
        response = self.chat_with_tools(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, **kwargs
        )
        callable_tools = [*map(make_callable, tools)]
        outputs = [
            _reject_unknown_tool(call, tools)
            or call_tool_with_selection(call, callable_tools, verbose)
            for call in self.get_tool_calls_from_response(response, error_on_no_tool_call)
        ]
        return _make_agent_response(response, outputs, raises=error_on_tool_error)

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
        """Request calls and run their tools, all at the same time; see `predict_and_call`."""
        if not self.metadata.is_function_calling_model:
            kwargs = {**_make_react_arguments(), **kwargs}
            return await super().apredict_and_call(tools, user_msg, chat_history, verbose, **kwargs)
        output_cls = None if allow_parallel_tool_calls else get_output_class(tools)
        if output_cls and await self._takes_json(output_cls, kwargs.get("model")):
            arguments = {"chat_history": join_messages(chat_history, user_msg), **kwargs}
            response = await self.achat(**replace_tool(output_cls, arguments))
            return _make_object_response(response, output_cls)
        response = await self.achat_with_tools(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, **kwargs
        )

        callable_tools = [*map(make_callable, tools)]

        async def run(call: ToolSelection) -> ToolOutput:
            rejection = _reject_unknown_tool(call, tools)
            return rejection or await acall_tool_with_selection(call, callable_tools, verbose)

        calls = self.get_tool_calls_from_response(response, error_on_no_tool_call)
        outputs = await asyncio.gather(*map(run, calls))
        return _make_agent_response(response, outputs, raises=error_on_tool_error)


def _make_react_arguments() -> dict[str, Any]:
    # Imported at first use: few models call no functions.
    from llama_index.core.agent.react.formatter import ReActChatFormatter
    from llama_index.core.agent.react.output_parser import ReActOutputParser

    return {"react_chat_formatter": ReActChatFormatter(), "output_parser": ReActOutputParser()}


def _make_object_response(response: ChatResponse, output_cls: type[BaseModel]) -> AgentChatResponse:
    """Return JSON as the output of the tool that the framework made of a class."""
    text = response.message.content or ""
    arguments = parse_partial(text)
    output = ToolOutput(
        tool_name=output_cls.__name__,
        content=text,
        raw_input=arguments,
        raw_output=make_object(output_cls, arguments),
    )
    return _make_agent_response(response, [output], raises=False)


def _reject_unknown_tool(call: ToolSelection, tools: Sequence[BaseTool]) -> ToolOutput | None:
    """Return an error as the tool's output if the tool is unknown, else None."""
    names = [tool.metadata.get_name() for tool in tools]
    if call.tool_name in names:
        return None
    problem = f"There is no tool {call.tool_name!r}; there are {', '.join(names)}."
    return ToolOutput(
        tool_name=call.tool_name,
        content=problem,
        raw_input=call.tool_kwargs,
        raw_output=problem,
        is_error=True,
    )


def _make_agent_response(
    response: ChatResponse, outputs: Sequence[ToolOutput], *, raises: bool
) -> AgentChatResponse:
    # Imported by the first answer: the chat engines take long to import.
    from llama_index.core.chat_engine.types import AgentChatResponse

    text = "\n\n".join(output.content for output in outputs)
    if raises and any(output.is_error for output in outputs):
        raise ValueError(text)
    text = text if outputs else response.message.content or ""
    return AgentChatResponse(response=text, sources=list(outputs))

"""Objects out of a streamed answer, each as far as it has come.

The traps: the framework's own way forgets, in streams, that a call is required; and it goes on
with what it has when the call turns out to be malformed, so that half an object is the result.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import process_streaming_objects

from llama_index_replicate_stream._tools import no_calls, selections

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatResponse
    from llama_index.core.bridge.pydantic import BaseModel
    from llama_index.core.prompts import BasePromptTemplate

    from llama_index_replicate_stream._calling import Calling


class _Objects:
    """Reads one answer."""

    def __init__(self, llm: Calling, output_cls: type[BaseModel]) -> None:
        self._llm = llm
        self._output_cls = output_cls
        self._so_far: list[Any] | None = None

    def read(self, response: ChatResponse) -> Any:
        """The object as far as it has come; with optional fields until it is whole."""
        if response.raw is not None and not selections(response):
            raise no_calls(response)
        read = process_streaming_objects(
            response, self._output_cls, cur_objects=self._so_far, llm=self._llm
        )
        self._so_far = [read]
        return read


def stream(
    llm: Calling,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    llm_kwargs: dict[str, Any],
    **prompt_args: Any,
) -> Generator[Any, None, None]:
    """Objects out of the pieces of a call that is required.

    Raises:
        ValueError: The call was malformed in the end.
    """
    objects = _Objects(llm, output_cls)
    responses = llm.stream_chat_with_tools(
        **_asked(llm, output_cls, prompt, llm_kwargs, prompt_args)
    )
    with closing(responses):
        for response in responses:
            yield objects.read(response)


async def astream(
    llm: Calling,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    llm_kwargs: dict[str, Any],
    **prompt_args: Any,
) -> AsyncGenerator[Any, None]:
    """The same for async code."""
    objects = _Objects(llm, output_cls)
    responses = await llm.astream_chat_with_tools(
        **_asked(llm, output_cls, prompt, llm_kwargs, prompt_args)
    )
    async with aclosing(responses):
        async for response in responses:
            yield objects.read(response)


def _asked(
    llm: Calling,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    llm_kwargs: dict[str, Any],
    prompt_args: dict[str, Any],
) -> dict[str, Any]:
    told = prompt.format_messages(llm=llm, **prompt_args)
    return {
        "tools": [get_function_tool(output_cls)],
        "chat_history": llm._extend_messages(told),  # noqa: SLF001 - as the framework's programs do
        "tool_required": True,
        **llm_kwargs,
    }

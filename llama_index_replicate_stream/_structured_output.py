"""Objects out of a streamed answer, each as far as it has come.

The traps: in streams, the framework's own way forgets that a call is required; it takes half an
object for the result if the call turns out to be malformed; and it makes a new class for every
token, which takes longer than all the rest.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import create_flexible_model, num_valid_fields

from llama_index_replicate_stream._tools import no_calls, selections

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatResponse
    from llama_index.core.bridge.pydantic import BaseModel
    from llama_index.core.prompts import BasePromptTemplate

    from llama_index_replicate_stream._function_calling import Calling


class _Objects:
    """Reads one answer."""

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self._whole = output_cls
        self._part = create_flexible_model(output_cls)
        self._so_far: BaseModel = self._part()

    def read(self, response: ChatResponse) -> Any:
        """The object as far as it has come, of a class without required fields until it is whole.

        Raises:
            ValueError: It has come to its end, and is none.
        """
        calls = selections(response)
        if response.raw is None:
            return self._grown(calls[0].tool_kwargs if calls else {})
        if not calls:
            raise no_calls(response)
        return _whole(self._whole, calls[0].tool_kwargs)

    def _grown(self, given: dict[str, Any]) -> BaseModel:
        try:
            read = self._whole.model_validate(given)
        except Exception:  # noqa: BLE001 - the user's own validators know nothing of half an object
            read = self._part.model_validate(given)
        if num_valid_fields(read) >= num_valid_fields(self._so_far):
            self._so_far = read
        return self._so_far


def _whole(output_cls: type[BaseModel], given: dict[str, Any]) -> BaseModel:
    try:
        return output_cls.model_validate(given)
    except ValidationError as error:
        # As the framework says it of a whole answer, but without the values.
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False)
        )
    raise ValueError(
        f"Structured output extraction failed: the call is no {output_cls.__name__}: {problems}"
    )


def stream(
    llm: Calling,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    llm_kwargs: dict[str, Any],
    **prompt_args: Any,
) -> Generator[Any, None, None]:
    """Objects out of the pieces of a call that is required.

    Raises:
        ValueError: The call was malformed in the end, or is no such object.
    """
    objects = _Objects(output_cls)
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
    objects = _Objects(output_cls)
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

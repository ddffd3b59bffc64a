"""Objects from a streamed answer, each with the fields that have arrived.

The traps of the framework's own structured streaming: it does not require a call; it returns a
partial object as the result of a malformed call; and it makes a new class for every token, which
takes longer than everything else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import create_flexible_model, num_valid_fields

from llama_index_replicate_stream._tools import get_tool_selections, make_missing_call_error

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatResponse
    from llama_index.core.bridge.pydantic import BaseModel
    from llama_index.core.llms.function_calling import FunctionCallingLLM
    from llama_index.core.prompts import BasePromptTemplate


class _ObjectParser:
    """Parses the responses of one stream.

    Args:
        output_cls: The class of the object.
    """

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self._output_cls = output_cls
        self._partial_cls = create_flexible_model(output_cls)
        self._partial: BaseModel = self._partial_cls()

    def parse(self, response: ChatResponse) -> BaseModel:
        """Parse a response: the last to the object, the others to one of optional fields.

        Raises:
            ValueError: The last response has no valid call, or its arguments do not fit the class.
        """
        calls = get_tool_selections(response)
        if response.raw is None:
            return self._update_partial(calls[0].tool_kwargs if calls else {})
        if not calls:
            raise make_missing_call_error(response)
        return _validate(self._output_cls, calls[0].tool_kwargs)

    def _update_partial(self, arguments: Mapping[str, Any]) -> BaseModel:
        try:
            partial = self._output_cls(**arguments)
        except Exception:  # noqa: BLE001 - users' own validators may raise anything at a partial object
            partial = self._partial_cls.model_validate(arguments)
        # While a value grows it may be invalid for a moment; the object before it is kept.
        if num_valid_fields(partial) >= num_valid_fields(self._partial):
            self._partial = partial
        return self._partial


def _validate(output_cls: type[BaseModel], arguments: Mapping[str, Any]) -> BaseModel:
    try:
        return output_cls(**arguments)  # as the framework makes it of a whole answer
    except ValidationError as error:
        # The framework's wording for a whole answer, but without the values.
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False)
        )
    raise ValueError(
        f"Structured output extraction failed: the call does not fit {output_cls.__name__}: "
        f"{problems}"
    )


def build_arguments(
    llm: FunctionCallingLLM,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    llm_kwargs: Mapping[str, Any] | None,
    prompt_args: Mapping[str, Any],
) -> dict[str, Any]:
    """Build the arguments of `chat_with_tools` that require a call with the object.

    Args:
        llm: The model.
        output_cls: The class of the object.
        prompt: The template of the prompt.
        llm_kwargs: Arguments of the call of the model, which win.
        prompt_args: Values of the template's variables.
    """
    messages = prompt.format_messages(llm=llm, **prompt_args)
    return {
        "tools": [get_function_tool(output_cls)],
        "chat_history": llm._extend_messages(messages),  # noqa: SLF001 - the framework's programs do
        "tool_required": True,
        **(llm_kwargs or {}),
    }


def stream_objects(
    responses: Generator[ChatResponse, None, None], output_cls: type[BaseModel]
) -> Generator[BaseModel, None, None]:
    """Convert the responses of a stream to objects, and close it with the reader.

    Raises:
        ValueError: The answer has no valid call, or its arguments do not fit the class.
    """
    parser = _ObjectParser(output_cls)
    with closing(responses):
        for response in responses:
            yield parser.parse(response)


async def astream_objects(
    responses: AsyncGenerator[ChatResponse, None], output_cls: type[BaseModel]
) -> AsyncGenerator[BaseModel, None]:
    """Convert the responses of an async stream; see `stream_objects`."""
    parser = _ObjectParser(output_cls)
    async with aclosing(responses):
        async for response in responses:
            yield parser.parse(response)

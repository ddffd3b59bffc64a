"""Objects from an answer: the class that it is held against, and the objects of a stream.

The model is asked for JSON in its own input where it has one, and else for a call of a tool that
the framework makes of the class. Either way the core's repairs cover what only the class checks.

The traps of the framework's own structured streaming: it does not require a call; it returns a
partial object as the result of a malformed call; and it makes a new class for every token, which
takes longer than everything else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import BaseModel, Field, ValidationError
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import create_flexible_model, num_valid_fields
from pydantic import RootModel

from llama_index_replicate_stream._tools import (
    get_tool_selections,
    make_missing_call_error,
    parse_partial,
)

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatResponse
    from llama_index.core.llms.function_calling import FunctionCallingLLM
    from llama_index.core.prompts import BasePromptTemplate

_TOOL_ARGUMENTS = frozenset({"chat_history", "tools", "tool_choice", "tool_required"})


class ClassValidator(BaseModel):
    """Raises a ValueError for arguments that do not fit a class; a model, which traces can write.

    Attributes:
        output_cls: The class.
    """

    output_cls: Any = Field(exclude=True)

    def __call__(self, arguments: Mapping[str, Any]) -> None:
        """Check arguments, or the JSON of an answer."""
        make_object(self.output_cls, arguments)


class _PartialCallFilter:
    """Finds the responses with a part of a call that the framework's programs could not replace.

    They keep an object until another has as many fields that are not None. An object of the class
    has its defaults, too, and a `RootModel` its root, which the arguments of the whole call need
    not have: the program would end with the part.
    """

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self._output_cls = output_cls
        self._partial_cls = create_flexible_model(output_cls)

    def is_irreplaceable(self, response: ChatResponse) -> bool:
        if response.raw is not None:  # the last
            return False
        return any(
            self._has_more_fields(call.tool_kwargs) for call in get_tool_selections(response)
        )

    def _has_more_fields(self, arguments: Mapping[str, Any]) -> bool:
        try:
            partial = self._partial_cls.model_validate(arguments)
            whole = self._output_cls.model_validate(arguments)
        except Exception:  # noqa: BLE001 - users' own validators may raise anything
            return False
        return num_valid_fields(whole) > num_valid_fields(partial)


def skip_irreplaceable(
    responses: Generator[ChatResponse, None, None], output_cls: type[BaseModel]
) -> Generator[ChatResponse, None, None]:
    """Leave out the responses that the framework's programs could not replace by later ones."""
    calls = _PartialCallFilter(output_cls)
    with closing(responses):
        for response in responses:
            if not calls.is_irreplaceable(response):
                yield response


async def askip_irreplaceable(
    responses: AsyncGenerator[ChatResponse, None], output_cls: type[BaseModel]
) -> AsyncGenerator[ChatResponse, None]:
    """Leave out responses of an async stream; see `skip_irreplaceable`."""
    calls = _PartialCallFilter(output_cls)
    async with aclosing(responses):
        async for response in responses:
            if not calls.is_irreplaceable(response):
                yield response


class _ObjectParser:
    """Parses the responses of one stream.

    Args:
        output_cls: The class of the object.
        is_json: The answer is JSON and no call.
    """

    def __init__(self, output_cls: type[BaseModel], *, is_json: bool = False) -> None:
        self._output_cls = output_cls
        self._is_json = is_json
        self._partial_cls = create_flexible_model(output_cls)
        self._partial: BaseModel = self._partial_cls()

    def parse(self, response: ChatResponse) -> BaseModel:
        """Parse a response: the last to the object, the others to one of optional fields.

        Raises:
            ValueError: The last response has no valid call, or its arguments do not fit the class.
        """
        arguments = self._get_arguments(response)
        if response.raw is None:
            return self._update_partial(arguments or {})
        if arguments is None:
            raise make_missing_call_error(response)
        return make_object(self._output_cls, arguments)

    def _get_arguments(self, response: ChatResponse) -> dict[str, Any] | None:
        if self._is_json:
            return parse_partial(response.message.content or "")
        calls = get_tool_selections(response)
        return calls[0].tool_kwargs if calls else None

    def _update_partial(self, arguments: Mapping[str, Any]) -> BaseModel:
        try:
            partial = self._output_cls(**arguments)
        except Exception:  # noqa: BLE001 - users' own validators may raise anything at a partial object
            partial = self._partial_cls.model_validate(arguments)
        # While a value grows it may be invalid for a moment; the object before it is kept.
        if num_valid_fields(partial) >= num_valid_fields(self._partial):
            self._partial = partial
        return self._partial


def make_object(output_cls: type[BaseModel], arguments: Mapping[str, Any]) -> BaseModel:
    """Make an object of a class.

    Raises:
        ValueError: The arguments do not fit. The message does not contain them.
    """
    try:
        if issubclass(output_cls, RootModel) and arguments.keys() > {"root"}:
            return output_cls.model_validate(arguments)  # a dict with a member of this name
        return output_cls(**arguments)  # as the framework makes it of a whole answer
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}".removeprefix(": ")
            for each in error.errors(include_input=False, include_url=False)
        )
    raise ValueError(problems)


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


def replace_tool(output_cls: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the arguments of `chat_with_tools` by those of a `chat` that require JSON."""
    others = {name: value for name, value in arguments.items() if name not in _TOOL_ARGUMENTS}
    return {
        "messages": arguments["chat_history"],
        "response_format": output_cls.model_json_schema(),
        "validator": ClassValidator(output_cls=output_cls),
        **others,
    }


def stream_objects(
    responses: Generator[ChatResponse, None, None], output_cls: type[BaseModel], *, is_json: bool
) -> Generator[BaseModel, None, None]:
    """Convert the responses of a stream to objects, and close it with the reader.

    Raises:
        ValueError: The answer has no valid call, or its arguments do not fit the class.
    """
    parser = _ObjectParser(output_cls, is_json=is_json)
    with closing(responses):
        for response in responses:
            yield parser.parse(response)


async def astream_objects(
    responses: AsyncGenerator[ChatResponse, None], output_cls: type[BaseModel], *, is_json: bool
) -> AsyncGenerator[BaseModel, None]:
    """Convert the responses of an async stream; see `stream_objects`."""
    parser = _ObjectParser(output_cls, is_json=is_json)
    async with aclosing(responses):
        async for response in responses:
            yield parser.parse(response)

"""`with_structured_output`: a model, bound to a schema, and the parser of its answers.

The default method is `json_schema`. The core sends the schema in the model's own input or in the
prompt, validates the answer and repeats a request whose answer does not fit; and bare JSON is what
most models write best. Tool calls need a format that many were never trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_replicate_stream._from_core import to_message
from langchain_replicate_stream._output_parsers import (
    ClassValidator,
    ClosableJsonParser,
    ClosablePydanticParser,
    ToolCallParser,
)
from langchain_replicate_stream._tools import Method, Schema, to_openai_tools
from replicate_stream import AnswerFormatError
from replicate_stream.adapters import describes_object

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput

    from langchain_replicate_stream.chat_model import ChatReplicate


def build_runnable(
    llm: ChatReplicate,
    schema: Schema | None,
    method: Method,
    *,
    include_raw: bool,
    strict: bool | None,
    kwargs: Mapping[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    """Build the runnable that `ChatReplicate.with_structured_output` returns."""
    _check_arguments(schema, method, strict, kwargs)
    bound = dict(kwargs)
    # Converted here: of a recursive class the framework's traces can make nothing.
    as_tool = schema is not None and method == "function_calling"
    tool: Any = schema
    if schema is not None and (as_tool or not isinstance(schema, Mapping)):
        (tool,) = to_openai_tools([schema], strict=strict)
    if schema is not None:  # for traces
        details = {"method": method, **({} if strict is None else {"strict": strict})}
        bound["ls_structured_output_format"] = {"kwargs": details, "schema": tool}
    if schema is not None:
        # With a validator, be it of anything, a value that does not fit is an error.
        cls = schema if isinstance(schema, type) else Any
        is_wrapped = as_tool and not describes_object(tool["function"].get("parameters", {}))
        bound.setdefault("validator", ClassValidator(cls, is_wrapped))
    if as_tool:
        choice = {"tool_choice": tool["function"]["name"], "parallel_tool_calls": False}
        model = llm.bind_tools([tool], **{**choice, **bound})
    else:
        has_schema = schema is not None and (
            # JSON mode makes objects: a list, say, has to be asked for.
            method == "json_schema"
            or not describes_object(tool.get("function", {}).get("parameters", tool))
        )
        bound["response_format"] = schema if has_schema else {"type": "json_object"}
        model = llm.bind_tools(bound.pop("tools", ()), strict=strict, **bound)
    function = tool["function"] if as_tool else None
    parser = _make_parser(schema, function)
    if not include_raw:
        return model | parser
    answer = _RawAnswer(llm.model, model, parser)
    return RunnableLambda(answer.invoke, answer.ainvoke)


def _check_arguments(
    schema: Schema | None, method: Method, strict: bool | None, kwargs: Mapping[str, Any]
) -> None:
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(get_args(Method))}")
    if schema is None and method != "json_mode":
        raise ValueError(f"method {method!r} needs a schema")
    if strict is not None and method == "json_mode":
        raise ValueError("method 'json_mode' has no schema to be strict about")
    if method == "function_calling" and "tools" in kwargs:
        raise ValueError(
            "method 'function_calling' takes no tools: the schema is the only one, and must be "
            "called; method 'json_schema' takes others beside it"
        )
    if "response_format" in kwargs:
        raise ValueError("response_format cannot be given: it is made of the schema")


def _make_parser(schema: Schema | None, function: Mapping[str, Any] | None) -> Runnable[Any, Any]:
    """Make the parser of the answers.

    Args:
        schema: The schema that was given.
        function: The function that the model has to call, in OpenAI's format; None for JSON.
    """
    is_class = isinstance(schema, type) and (is_basemodel_subclass(schema) or is_dataclass(schema))
    cls: Any = schema if is_class else None
    if function is not None:
        is_wrapped = not describes_object(function.get("parameters", {}))
        return ToolCallParser(key_name=function["name"], is_wrapped=is_wrapped, cls=cls)
    return ClosableJsonParser() if cls is None else ClosablePydanticParser(pydantic_object=cls)


class _RawAnswer(NamedTuple):
    """Returns message, parsed value and error beside each other. Can be pickled.

    In one step, because fallbacks do not catch errors that a stream raises after its start.
    """

    name: str
    model: Runnable[LanguageModelInput, Any]
    parser: Runnable[Any, Any]

    def invoke(self, messages: LanguageModelInput, config: RunnableConfig, **kwargs: Any) -> Any:
        try:
            raw = self.model.invoke(messages, config, **kwargs)
        except AnswerFormatError as error:
            return self._keep_error(error, kwargs)
        try:
            return _make_result(raw, self.parser.invoke(raw, config))
        except Exception as error:  # noqa: BLE001 - a validator of the user's may raise anything
            return _make_result(raw, None, error)

    async def ainvoke(
        self, messages: LanguageModelInput, config: RunnableConfig, **kwargs: Any
    ) -> Any:
        try:
            raw = await self.model.ainvoke(messages, config, **kwargs)
        except AnswerFormatError as error:
            return self._keep_error(error, kwargs)
        try:
            return _make_result(raw, await self.parser.ainvoke(raw, config))
        except Exception as error:  # noqa: BLE001 - as above
            return _make_result(raw, None, error)

    def _keep_error(self, error: AnswerFormatError, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        name = str(kwargs.get("model") or self.name)
        return _make_result(to_message(error.completion, name), None, error)


def _make_result(raw: Any, parsed: Any, error: Exception | None = None) -> dict[str, Any]:
    return {"raw": raw, "parsed": parsed, "parsing_error": error}

"""`with_structured_output`: a model, bound to a schema, and the parser of its answers.

The default method is `json_schema`. The core sends the schema in the model's own input or in the
prompt, validates the answer and repeats a request whose answer does not fit; and bare JSON is what
most models write best. Tool calls need a format that many were never trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnablePassthrough
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_replicate_stream._from_core import to_message
from langchain_replicate_stream._output_parsers import (
    ClosableJsonParser,
    ClosablePydanticParser,
    PydanticToolParser,
    ToolArgumentsParser,
)
from langchain_replicate_stream._tools import to_openai_tools
from replicate_stream import AnswerFormatError

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput

    from langchain_replicate_stream._tools import Schema
    from langchain_replicate_stream.chat_model import ChatReplicate

Method: TypeAlias = Literal["json_schema", "function_calling", "json_mode"]


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
    _check_arguments(schema, method, strict)
    bound = dict(kwargs)
    if schema is not None:  # for traces
        details = {"method": method, **({} if strict is None else {"strict": strict})}
        bound["ls_structured_output_format"] = {"kwargs": details, "schema": schema}
    if method == "function_calling" and schema is not None:
        choice = {"tool_choice": _get_tool_name(schema), "parallel_tool_calls": False}
        model = llm.bind_tools([schema], strict=strict, **{**choice, **bound})
    else:
        has_schema = schema is not None and method == "json_schema"
        bound["response_format"] = schema if has_schema else {"type": "json_object"}
        model = llm.bind_tools(bound.pop("tools", ()), strict=strict, **bound)
    parser = _make_parser(schema, method)
    return _include_raw(llm, model, parser) if include_raw else model | parser


def _check_arguments(schema: Schema | None, method: Method, strict: bool | None) -> None:
    if method not in {"json_schema", "function_calling", "json_mode"}:
        raise ValueError(
            f"method is {method!r}; it must be json_schema, function_calling or json_mode"
        )
    if schema is None and method != "json_mode":
        raise ValueError(f"method {method!r} needs a schema")
    if strict is not None and method == "json_mode":
        raise ValueError("method 'json_mode' has no schema to be strict about")


def _get_tool_name(schema: Schema) -> str:
    """Return the name of the tool generated for a schema."""
    name: str = to_openai_tools([schema], strict=None)[0]["function"]["name"]
    return name


def _make_parser(schema: Schema | None, method: Method) -> Runnable[Any, Any]:
    cls: Any = schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None
    if method == "function_calling" and schema is not None:
        if cls is not None:
            return PydanticToolParser(tools=[cls], first_tool_only=True)
        return ToolArgumentsParser(key_name=_get_tool_name(schema), first_tool_only=True)
    return ClosableJsonParser() if cls is None else ClosablePydanticParser(pydantic_object=cls)


def _include_raw(
    llm: ChatReplicate, model: Runnable[LanguageModelInput, Any], parser: Runnable[Any, Any]
) -> Runnable[LanguageModelInput, Any]:
    """Return message, parsed value and error beside each other.

    In one step, because fallbacks do not catch errors that a stream raises after its start.
    """
    assign = RunnablePassthrough.assign
    parse = assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None).with_fallbacks(
        [assign(parsed=lambda _: None)], exception_key="parsing_error"
    )

    def keep_error(error: AnswerFormatError, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        name = str(kwargs.get("model") or llm.model)
        raw = to_message(error.completion, name)
        return {"raw": raw, "parsing_error": error, "parsed": None}

    def invoke(messages: LanguageModelInput, config: RunnableConfig, **kwargs: Any) -> Any:
        try:
            raw = model.invoke(messages, config, **kwargs)
        except AnswerFormatError as error:
            return keep_error(error, kwargs)
        return parse.invoke({"raw": raw}, config)

    async def ainvoke(messages: LanguageModelInput, config: RunnableConfig, **kwargs: Any) -> Any:
        try:
            raw = await model.ainvoke(messages, config, **kwargs)
        except AnswerFormatError as error:
            return keep_error(error, kwargs)
        return await parse.ainvoke({"raw": raw}, config)

    return RunnableLambda(invoke, ainvoke)

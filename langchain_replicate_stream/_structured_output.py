"""`with_structured_output`: a model that answers with objects.

The default is `json_schema`. The core tells every model the schema, by the model's own field or in
the prompt, checks the answer against it, and asks once more if it does not fit; and bare JSON is
what most models write best. Calls of a tool need a dialect that many were never taught.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnablePassthrough
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_replicate_stream._from_core_message import to_message
from langchain_replicate_stream._output_parsers import CallOf, JsonOf, ObjectOf, ObjectOfCall
from langchain_replicate_stream._tools import to_tools
from replicate_stream import AnswerFormatError

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput

    from langchain_replicate_stream._tools import Schema
    from langchain_replicate_stream.chat_model import ChatReplicate

Method: TypeAlias = Literal["json_schema", "function_calling", "json_mode"]


def structured(
    llm: ChatReplicate,
    schema: Schema | None,
    method: Method,
    *,
    include_raw: bool,
    strict: bool | None,
    given: Mapping[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    """See `ChatReplicate.with_structured_output`."""
    if method not in {"json_schema", "function_calling", "json_mode"}:
        raise ValueError(
            f"method is {method!r}; json_schema, function_calling or json_mode is needed"
        )
    if schema is None and method != "json_mode":
        raise ValueError(f"method {method!r} needs a schema")
    if strict is not None and method == "json_mode":
        raise ValueError("method 'json_mode' knows no schema that it could be strict about")
    bound = _bound(llm, schema, method, strict, given)
    parser = _parser(schema, method)
    return _with_raw(llm, bound, parser) if include_raw else bound | parser


def _bound(
    llm: ChatReplicate,
    schema: Schema | None,
    method: Method,
    strict: bool | None,
    given: Mapping[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    told = dict(given)
    if schema is not None:  # what traces hear of it
        about = {"method": method, **({} if strict is None else {"strict": strict})}
        told["ls_structured_output_format"] = {"kwargs": about, "schema": schema}
    if method == "function_calling" and schema is not None:
        name = _name(schema)
        only: dict[str, Any] = {"tool_choice": name, "parallel_tool_calls": False}
        return llm.bind_tools([schema], strict=strict, **{**only, **told})
    tools = told.pop("tools", ())
    wanted = schema if schema is not None and method == "json_schema" else {"type": "json_object"}
    return llm.bind_tools(tools, strict=strict, response_format=wanted, **told)


def _name(schema: Schema) -> str:
    """What the tool is called that takes an answer of this schema."""
    name: str = to_tools([schema], strict=None)[0]["function"]["name"]
    return name


def _parser(schema: Schema | None, method: Method) -> Runnable[Any, Any]:
    objects: Any = schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None
    if method == "function_calling" and schema is not None:
        if objects is not None:
            return ObjectOfCall(tools=[objects], first_tool_only=True)
        return CallOf(key_name=_name(schema), first_tool_only=True)
    return JsonOf() if objects is None else ObjectOf(pydantic_object=objects)


def _with_raw(
    llm: ChatReplicate, bound: Runnable[LanguageModelInput, Any], parser: Runnable[Any, Any]
) -> Runnable[LanguageModelInput, Any]:
    """The message beside what was read of it; the error in its place, if it is not as asked.

    All in one step: fallbacks do not catch what is raised in a stream that has begun.
    """
    read = RunnableLambda(_no_error) | itemgetter("raw") | parser
    nothing = RunnablePassthrough.assign(parsed=lambda _: None)
    both = RunnablePassthrough.assign(parsed=read).with_fallbacks(
        [nothing], exception_key="parsing_error"
    )

    def unfit(error: AnswerFormatError, options: Mapping[str, Any]) -> dict[str, Any]:
        model = str(options.get("model") or llm.model)
        return {"raw": to_message(error.completion, model), "parsing_error": error}

    def ask(said: LanguageModelInput, config: RunnableConfig, **options: Any) -> Any:
        try:
            answer = {"raw": bound.invoke(said, config, **options), "parsing_error": None}
        except AnswerFormatError as error:
            answer = unfit(error, options)
        return both.invoke(answer, config)

    async def aask(said: LanguageModelInput, config: RunnableConfig, **options: Any) -> Any:
        try:
            answer = {"raw": await bound.ainvoke(said, config, **options), "parsing_error": None}
        except AnswerFormatError as error:
            answer = unfit(error, options)
        return await both.ainvoke(answer, config)

    return RunnableLambda(ask, aask)


def _no_error(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["parsing_error"] is not None:
        raise answer["parsing_error"]
    return answer

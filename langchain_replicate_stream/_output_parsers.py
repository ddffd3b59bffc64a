"""LangChain's output parsers, changed to stop reading when their own stream is closed.

The trap: a parser whose blocking stream is left early reads its input to the end nevertheless, for
the trace (`Runnable._transform_stream_with_config`). Behind a model that means waiting, and paying,
for the whole answer. Asynchronous streams do not have this problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import (
    BaseTransformOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
)
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic.v1 import ValidationError as ValidationErrorV1
from typing_extensions import is_typeddict

from langchain_replicate_stream._schemas import copy_typed_dict
from langchain_replicate_stream._to_core import MALFORMED_MARK
from langchain_replicate_stream.errors import AnswerFormatError
from replicate_stream import Completion, Prediction
from replicate_stream.adapters import ROOT

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig


class ClosableParser(BaseTransformOutputParser[Any]):
    """A parser that stops reading its input when its own stream is closed."""

    def transform(
        self,
        input: Iterator[Any],  # noqa: A002 - the framework's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Parse a stream."""
        is_closed = False

        def read_until_closed() -> Iterator[Any]:
            for chunk in input:
                yield chunk
                if is_closed:
                    return

        # A variable keeps it: a generator that only the loop refers to is closed before the
        # `except` below runs.
        results = super().transform(read_until_closed(), config, **kwargs)
        try:
            for result in results:  # noqa: UP028 - `yield from` would close it before us
                yield result
        except GeneratorExit:
            is_closed = True
            raise


class ClosableJsonParser(ClosableParser, JsonOutputParser):
    """Parses JSON text into a value."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Parse an answer; None if it calls one of the other tools instead."""
        return _parse_json(self, result, partial=partial)


class ClosablePydanticParser(ClosableParser, PydanticOutputParser[Any]):
    """Parses JSON text into an instance of a Pydantic class or a dataclass."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Parse an answer; the framework's own parser catches some errors of a validator only."""
        if _calls_tool(result):
            return None
        value = _parse_json(self, result, partial=partial)
        return _make_instance(self.pydantic_object, value, "its JSON", result, partial=partial)


class ToolCallParser(ClosableParser, JsonOutputKeyToolsParser):
    """Parses the tool call that an answer must have: its arguments, or an instance of a class.

    Attributes:
        key_name: The tool's name.
        is_wrapped: The value is not an object, so that it is a property of the arguments
            (`adapters.ROOT`).
        cls: A Pydantic class, of version 1 too, or a dataclass; None for plain values.
    """

    first_tool_only: bool = True
    is_wrapped: bool = False
    cls: Any = None

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Parse an answer; the framework's own parser returns None for a malformed call."""
        _require_call(result, partial=partial)
        value = super().parse_result(result, partial=partial)
        if value is None and not partial:
            raise _make_error(f"it calls another tool than {self.key_name}", result)
        if self.is_wrapped and value is not None:
            value = value.get(ROOT)
        if self.cls is None or value is None:
            return value
        return _make_instance(self.cls, value, "its call", result, partial=partial)


class ClassValidator(NamedTuple):
    """Checks what only a class can: its validators, and types that JSON does not have.

    Attributes:
        cls: A Pydantic class, of version 1 too, a dataclass or a TypedDict.
        is_wrapped: As in `ToolCallParser`.
    """

    cls: Any
    is_wrapped: bool

    def __call__(self, value: Any) -> None:
        """Raise a ValueError if a value of the schema does not fit the class."""
        validate(self.cls, value.get(ROOT) if self.is_wrapped else value)


def validate(cls: Any, value: Any) -> Any:
    """Make an instance of a class.

    Raises:
        ValueError: The value does not fit, or a validator failed in any way. The message has no
            values: an exception of Pydantic's does, and may hold some that cannot be pickled.
    """
    try:
        if hasattr(cls, "model_validate"):
            return cls.model_validate(value)
        return cls.parse_obj(value) if hasattr(cls, "parse_obj") else _adapt(cls)(value)
    except (ValidationError, ValidationErrorV1) as error:
        problems = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}".removeprefix(": ")
            for each in error.errors()
        ]
    except Exception as error:  # noqa: BLE001 - a validator of the user's may raise anything
        problems = [f"{type(error).__name__}: {error}"]
    raise ValueError("; ".join(problems))


def _calls_tool(result: list[Generation]) -> bool:
    """Return True for an answer that is nothing but calls of tools."""
    message = result[0].message if isinstance(result[0], ChatGeneration) else None
    return isinstance(message, AIMessage) and bool(message.tool_calls) and not message.text.strip()


def _parse_json(parser: JsonOutputParser, result: list[Generation], *, partial: bool) -> Any:
    if _calls_tool(result):
        return None
    try:
        return JsonOutputParser.parse_result(parser, result, partial=partial)
    except OutputParserException as error:
        raise _make_error("it holds no JSON", result) from error


def _make_instance(
    cls: Any, value: Any, name: str, result: list[Generation], *, partial: bool
) -> Any:
    """Make an instance of a class; of a part of an answer, None if that does not fit yet."""
    try:
        return validate(cls, value)
    except ValueError as error:
        if partial:
            return None
        raise _make_error(f"{name} is not valid: {error}", result) from error


@lru_cache(maxsize=64)
def _adapt(cls: Any) -> Callable[[Any], Any]:
    try:
        return TypeAdapter(copy_typed_dict(cls, {}) if is_typeddict(cls) else cls).validate_python
    except PydanticUserError:  # it has a type that Pydantic does not know
        return lambda value: value


def _require_call(result: list[Generation], *, partial: bool) -> None:
    """Raise if an answer has no well-formed call and cannot get one.

    Raises:
        AnswerFormatError: In place of None, or, in a stream, of the part of a call that was
            parsed before it turned out to be malformed.
    """
    message = result[0].message if isinstance(result[0], ChatGeneration) else None
    if not isinstance(message, AIMessage) or message.tool_calls:
        return
    bad = message.invalid_tool_calls
    # In a stream an incomplete call looks like a malformed one, until it is marked.
    is_whole = not partial or getattr(message, "chunk_position", None) == "last"
    if is_whole or any((call["args"] or "").endswith(MALFORMED_MARK) for call in bad):
        problem = "its call is malformed, or breaks off" if bad else "it calls no tool"
        raise _make_error(problem, result)


def _make_error(problem: str, result: list[Generation]) -> AnswerFormatError:
    metadata: dict[str, Any] = {}
    if isinstance(result[0], ChatGeneration):
        metadata = result[0].message.response_metadata
    record = Prediction(str(metadata.get("prediction_id", "")), str(metadata.get("status", "")))
    reason = str(metadata.get("finish_reason", ""))
    answer = Completion(result[0].text, "", (), reason, None, record)
    return AnswerFormatError(problem, completion=answer)

"""LangChain's output parsers, changed to stop reading when their own stream is closed.

The trap: a parser whose blocking stream is left early reads its input to the end nevertheless, for
the trace (`Runnable._transform_stream_with_config`). Behind a model that means waiting, and paying,
for the whole answer. Asynchronous streams do not have this problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import (
    BaseTransformOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
)
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration, Generation

from langchain_replicate_stream._to_core import MALFORMED_MARK

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


class ClosablePydanticParser(ClosableParser, PydanticOutputParser[Any]):
    """Parses JSON text into an instance of a Pydantic class."""


class CallParser(ClosableParser):
    """A parser of a tool call, which the answer must have."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Parse an answer; the framework's own parser returns None for a malformed call."""
        _require_call(result, partial=partial)
        return super().parse_result(result, partial=partial)


class ToolArgumentsParser(CallParser, JsonOutputKeyToolsParser):
    """Parses a tool call into its arguments."""


class PydanticToolParser(CallParser, PydanticToolsParser):
    """Parses a tool call into an instance of a Pydantic class."""


def _require_call(result: list[Generation], *, partial: bool) -> None:
    """Raise if an answer has no well-formed call and cannot get one.

    Raises:
        OutputParserException: In place of None, or, in a stream, of the part of a call that was
            parsed before it turned out to be malformed.
    """
    message = result[0].message if isinstance(result[0], ChatGeneration) else None
    if not isinstance(message, AIMessage) or message.tool_calls:
        return
    bad = message.invalid_tool_calls
    # In a stream an incomplete call looks like a malformed one, until it is marked.
    if not partial or any((call["args"] or "").endswith(MALFORMED_MARK) for call in bad):
        problem = "its call is malformed, or breaks off" if bad else "it calls no tool"
        raise OutputParserException(f"The model's answer is not what was asked for: {problem}")

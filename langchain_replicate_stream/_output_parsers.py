"""LangChain's parsers, made to stop reading when nobody reads what they make.

The trap: a parser's stream that is left early reads its input to the end nevertheless, for the
trace (`Runnable._transform_stream_with_config`). Behind a model that is a whole answer, paid and
waited for. Only streams of blocking code do so; asynchronous ones are left at once.
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

from langchain_replicate_stream._to_core import MALFORMED

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig


class Leavable(BaseTransformOutputParser[Any]):
    """A parser that ends its input when its own stream is closed."""

    def transform(
        self,
        input: Iterator[Any],  # noqa: A002 - the framework's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """What the parser makes of its input, as it comes."""
        is_left = False

        def until_left() -> Iterator[Any]:
            for piece in input:
                yield piece
                if is_left:
                    return

        # Kept in a variable: whatever a loop alone refers to is closed before its errors are seen.
        made = super().transform(until_left(), config, **kwargs)
        try:
            for each in made:  # noqa: UP028 - `yield from` would close it before us
                yield each
        except GeneratorExit:
            is_left = True
            raise


class JsonOf(Leavable, JsonOutputParser):
    """Reads JSON into what it holds."""


class ObjectOf(Leavable, PydanticOutputParser[Any]):
    """Reads JSON into an instance of a Pydantic class."""


class CallOf(Leavable, JsonOutputKeyToolsParser):
    """Reads a call into its arguments."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """The arguments; the framework's own gives None for a malformed call."""
        _check(result, partial=partial)
        return super().parse_result(result, partial=partial)


class ObjectOfCall(Leavable, PydanticToolsParser):
    """Reads a call into an instance of a Pydantic class."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """The instance; the framework's own gives None for a malformed call."""
        _check(result, partial=partial)
        return super().parse_result(result, partial=partial)


def _check(result: list[Generation], *, partial: bool) -> None:
    """Raise if there is no well-formed call, and will be none.

    Raises:
        OutputParserException: So that a malformed call is neither None nor, in a stream, what was
            read of it before it broke off.
    """
    message = result[0].message if isinstance(result[0], ChatGeneration) else None
    if not isinstance(message, AIMessage) or message.tool_calls:
        return
    bad = message.invalid_tool_calls
    if not partial or any((call["args"] or "").endswith(MALFORMED) for call in bad):
        wrong = "its call is malformed, or breaks off" if bad else "it calls no tool"
        raise OutputParserException(f"The model's answer is not what was asked for: {wrong}")

"""A request adapted to one model: the public values of a dry run, and the client's own.

Annotations are evaluated here, without `from __future__ import annotations`, so that models of
Pydantic and FastAPI can use the public classes as fields.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from replicate_stream._lazy import public
from replicate_stream._types.media import Upload
from replicate_stream._types.response_format import ResponseFormat
from replicate_stream._types.tool_choice import ToolChoice

OutputKind: TypeAlias = Literal["pieces", "alternatives", "text", "object", "file"]


@dataclass(frozen=True, slots=True)
class ExpectedAnswer:
    """Tools and format that an answer is parsed for and checked against.

    Attributes:
        tools: The tools that the model was offered; None for none.
        is_bare: True if the model writes tool calls as JSON without marks.
        prefix: The start of the answer, if the prompt ends with it.
        response_format: The format that the answer must have; None for text.
    """

    tools: ToolChoice | None = None
    is_bare: bool = False
    prefix: str = field(default="", repr=False)
    response_format: ResponseFormat | None = None

    @property
    def is_checked(self) -> bool:
        """True if an answer can be rejected."""
        return self.response_format is not None or (self.tools is not None and self.tools.is_forced)


@public
@dataclass(frozen=True, slots=True)
class PreparedInput:
    """The input that `prepare_input` built for a model.

    Attributes:
        input: The `input` object under the model's own names.
        notes: Each adaptation to the model in one sentence, without the text of a prompt.
        stop: All stop sequences. The client enforces them on every model.
        max_tokens: The longest answer in tokens, as sent; None if no bound was sent.
    """

    input: dict[str, Any] = field(repr=False)
    notes: list[str] = field(default_factory=list)
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput(PreparedInput):
    """A prediction's input, and what the client needs to send it and to read the answer.

    Attributes:
        output_kind: The kind of output that the model's schema announces; None if it is unknown.
        uploads: Files that have to be read or uploaded before `input` is complete. They replace
            their placeholders in that dict, which is why it is not a frozen mapping.
        expected_answer: Tools and format of the answer.
    """

    output_kind: OutputKind | None
    uploads: list[Upload]
    expected_answer: ExpectedAnswer


@public
@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """The HTTP request that `Client.prepare` built.

    Attributes:
        url: The URL that would create the prediction.
        body: The JSON body.
        notes: Each adaptation to the model in one sentence, without the text of a prompt.
    """

    url: str
    body: dict[str, Any] = field(repr=False)
    notes: list[str] = field(default_factory=list)

"""What a preparation gives. The annotations are types where they can be: see `messages`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from replicate_stream._lazy import public

if TYPE_CHECKING:
    from replicate_stream._types.media import Upload
    from replicate_stream._types.response_format import ResponseFormat
    from replicate_stream._types.tool_choice import ToolChoice


OutputKind: TypeAlias = Literal["pieces", "alternatives", "text", "object", "file"]


@dataclass(frozen=True, slots=True)
class ExpectedAnswer:
    """How an answer is to be read, and what it must be.

    Attributes:
        tools: The tools that were offered; None for none.
        is_bare: Whether the model writes calls as JSON without marks.
        prefix: The beginning of the answer that the prompt has given already.
        response_format: The format that the answer must have; None for text.
    """

    tools: "ToolChoice | None" = None
    is_bare: bool = False
    prefix: str = field(default="", repr=False)
    response_format: "ResponseFormat | None" = None

    @property
    def is_checked(self) -> bool:
        """Whether an answer may turn out to be none."""
        return self.response_format is not None or (self.tools is not None and self.tools.is_forced)


@public
@dataclass(frozen=True, slots=True)
class PreparedInput:
    """What will be sent, and what the client has to know about it.

    Attributes:
        input: The `input` object under the model's own names.
        notes: Each adaptation in one sentence, without the text of a prompt.
        stop: The stop sequences that the client enforces: all of them, on every model.
        max_tokens: The bound of the answer as sent, in tokens; None if there is none.
        output: What the model's output schema announces; None if it is not known.
        uploads: What the client has to read or upload before `input` is complete.
        reading: How the answer is to be read.
    """

    input: dict[str, Any] = field(repr=False)
    notes: list[str] = field(default_factory=list)
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    output: OutputKind | None = None
    uploads: "list[Upload]" = field(default_factory=list)
    reading: ExpectedAnswer = field(default_factory=ExpectedAnswer)


@public
@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """What a request would send.

    Attributes:
        url: Where a prediction would be created.
        body: The JSON body.
        notes: Every adaptation to the model, each in a sentence.
    """

    url: str
    body: dict[str, Any] = field(repr=False)
    notes: list[str] = field(default_factory=list)

"""The values of a conversation: what goes in, and the events that come out.

Nothing here does I/O, and nothing knows a framework. The text of a message stays out of its
`repr`, because logs and tracebacks are full of reprs. The annotations are types and not texts, so
that Pydantic's and FastAPI's models can have these values as fields.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from replicate_stream._errors import InvalidInputError, wrong_type
from replicate_stream._lazy import public
from replicate_stream._types.prediction import Prediction, Usage

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Part: TypeAlias = Mapping[str, Any]
"""A piece of a message: `{"type": "text", "text": …}`, `{"type": "image_url", …}` and the like."""
Content: TypeAlias = str | Sequence[Part | str]


@public
@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the model.

    Attributes:
        id: Unique within a conversation; a tool's answer refers to it.
        name: The tool, as the model called it.
        arguments: The arguments, or the model's own text where it is not a JSON object.
    """

    id: str
    name: str
    arguments: Mapping[str, Any] | str = field(repr=False)


@public
@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call.

    Attributes:
        name: Its name.
        description: What it is for, in words for the model.
        parameters: A JSON schema of its arguments, of type object.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})


@public
@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: `system`, `user`, `assistant` or `tool`.
        content: A text, or a list of parts.
        name: The speaker, where there are several of one role.
        tool_calls: What an assistant's message called.
        tool_call_id: For a tool's message, the call that it answers.
    """

    role: Role
    content: Content = field(default="", repr=False)
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


MessageLike: TypeAlias = Message | Mapping[str, Any]
Messages: TypeAlias = str | Message | Iterable[MessageLike]


@public
@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer. Pieces are joined with nothing in between."""

    text: str


@public
@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of what the model thought before its answer."""

    text: str


@public
@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call: id and name on the first piece, arguments as JSON text on all.

    Attributes:
        index: Counts the calls of one answer from 0.
        id: The call's id, on its first piece.
        name: The tool's name, on its first piece.
        arguments: More of the arguments' JSON text.
    """

    index: int
    id: str | None
    name: str | None
    arguments: str = field(repr=False)


@public
@dataclass(frozen=True, slots=True)
class StatusChanged:
    """The prediction has another status: `starting` while a model boots, then `processing`."""

    status: str


@public
@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream that ended well.

    Attributes:
        reason: `stop`; `length` where the model used up `max_tokens`; `tool_calls`.
        usage: Token counts; None if the model has none or they were not asked for.
        prediction: The prediction as last seen.
    """

    reason: str
    usage: Usage | None
    prediction: Prediction


StreamEvent: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | StatusChanged | Finished


@public
@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    Attributes:
        text: The answer; the first one of a model that gives several, which are all in
            `prediction.output`.
        reasoning: What the model thought before, empty if nothing is known of it.
        tool_calls: The calls that it made.
        finish_reason: As in `Finished.reason`.
        usage: As in `Finished.usage`.
        prediction: As in `Finished.prediction`.
    """

    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    usage: Usage | None
    prediction: Prediction


_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "tool": "tool",
}


def to_messages(messages: Messages) -> list[Message]:
    """Every accepted form of a conversation as a list of messages.

    Args:
        messages: A text (one message of the user), a `Message`, or an iterable of `Message`s and
            of dicts `{"role", "content"}` with the optional keys `name`, `tool_calls` (as OpenAI
            writes them) and `tool_call_id`.

    Raises:
        InvalidInputError: There is no message, or one has no known role, or has other keys.
    """
    if isinstance(messages, str):
        return [Message("user", messages)]
    given: Any = [messages] if isinstance(messages, Message) else messages
    if not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
        raise wrong_type("messages", given, "a text, a Message or a list of messages")
    listed = [_to_message(i, m) for i, m in enumerate(given)]
    if not listed:
        raise InvalidInputError("messages is empty: at least one is needed", fields=("messages",))
    return listed


def _to_message(index: int, given: MessageLike) -> Message:
    where = f"messages[{index}]"
    if isinstance(given, Message):
        _role(given.role, where)
        return given
    if not isinstance(given, Mapping):
        raise wrong_type(where, given, "a Message or a dict with role and content")
    unknown = sorted(set(given) - {"role", "content", "name", "tool_calls", "tool_call_id"})
    if unknown:
        raise InvalidInputError(f"{where} has unknown keys: {', '.join(unknown)}", fields=(where,))
    content, calls = given.get("content"), given.get("tool_calls") or ()
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise wrong_type(f"{where}.tool_calls", calls, "a list of calls")
    return Message(
        _role(given.get("role"), where),
        "" if content is None else content,
        name=given.get("name"),
        tool_calls=tuple(
            _to_tool_call(call, f"{where}.tool_calls[{at}]") for at, call in enumerate(calls)
        ),
        tool_call_id=given.get("tool_call_id"),
    )


def _role(given: object, where: str) -> Role:
    role = _ROLES.get(str(given))
    if role is None:
        raise InvalidInputError(
            f"{where} has role {given!r}; one of {', '.join(_ROLES)} is needed", fields=(where,)
        )
    return role


def _to_tool_call(given: Any, where: str) -> ToolCall:
    if isinstance(given, ToolCall):
        return given
    called = given.get("function", given) if isinstance(given, Mapping) else None
    if not isinstance(called, Mapping):
        raise wrong_type(where, given, "a ToolCall or a dict as OpenAI writes it")
    arguments = called.get("arguments", {})
    if not isinstance(arguments, Mapping | str):
        raise wrong_type(f"{where}.arguments", arguments, "a dict or a text")
    return ToolCall(str(given.get("id") or ""), str(called.get("name") or ""), arguments)

"""The public values of a conversation: messages, tools, the events of an answer, a completion.

The text of a message stays out of its `repr`, because logs and tracebacks print those. Annotations
are evaluated here, without `from __future__ import annotations`, so that models of Pydantic and
FastAPI can use these classes as fields.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from replicate_stream._errors import InvalidInputError, too_deep, wrong_type
from replicate_stream._frozen import fill_slots
from replicate_stream._lazy import public
from replicate_stream._types.prediction import Prediction, Usage
from replicate_stream._types.strict_json import is_too_deep

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Part: TypeAlias = Mapping[str, Any]
"""A part of a message: `{"type": "text", "text": …}`, `{"type": "image_url", …}` and similar."""
Content: TypeAlias = str | Sequence[Part | str]


@public
@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call by the model.

    Attributes:
        id: Unique within a conversation; the tool's result refers to it.
        name: The tool's name, as the model wrote it.
        arguments: The arguments, or the model's own text if that is not a JSON object, or if the
            call has no name.
    """

    id: str
    name: str
    arguments: Mapping[str, Any] | str = field(repr=False)


@public
@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call.

    Attributes:
        name: The tool's name.
        description: The purpose of the tool, written for the model.
        parameters: The JSON schema of its arguments, which may be recursive. A value that is not an
            object becomes the property `root` of one.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})


@public
@fill_slots
@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: `system`, `user`, `assistant` or `tool`.
        content: A string, or a list of parts.
        name: The speaker's name, for several speakers of one role.
        tool_calls: The tool calls of an assistant's message.
        tool_call_id: The id of the call that a tool's message answers.
    """

    role: Role
    content: Content = field(default="", repr=False)
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


MessageLike: TypeAlias = Message | Mapping[str, Any]
Messages: TypeAlias = str | Message | Iterable[MessageLike]


@public
@fill_slots
@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer. Pieces are joined with nothing in between."""

    text: str


@public
@fill_slots
@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the model's reasoning, which comes before its answer."""

    text: str


@public
@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call: id and name on the first piece, arguments as JSON text on all.

    Attributes:
        index: The number of the call within the answer, from 0.
        id: The call's id, on its first piece.
        name: The tool's name, on its first piece.
        arguments: The next characters of the arguments' JSON text.
    """

    index: int
    id: str | None
    name: str | None
    arguments: str = field(repr=False)


@public
@fill_slots
@dataclass(frozen=True, slots=True)
class StatusChanged:
    """A new status of the prediction: `starting` while a model boots, then `processing`."""

    status: str


@public
@fill_slots
@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream that ended without an error.

    Attributes:
        reason: `stop`; `length` if the model used up `max_tokens`; `tool_calls`.
        usage: Token counts; None if the model does not report them or `include_usage` is false.
        prediction: The prediction as last seen.
    """

    reason: str
    usage: Usage | None
    prediction: Prediction


StreamEvent: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | StatusChanged | Finished


@public
@dataclass(frozen=True, slots=True)
class Completion:
    """A complete answer.

    Attributes:
        text: The answer. Of a model with several alternatives it is the first; all are in
            `prediction.output`.
        reasoning: The model's reasoning; empty if it does not show any.
        tool_calls: The model's tool calls.
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


# `developer` is OpenAI's newer name of `system`; `human` and `ai` are LangChain's.
_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id")
_ROLES: Mapping[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "human": "user",
    "assistant": "assistant", "ai": "assistant", "tool": "tool",
}  # fmt: skip


def to_messages(messages: Messages) -> list[Message]:
    """Convert every accepted form of a conversation to a list of messages.

    Args:
        messages: A string (one message of the user), a `Message`, or an iterable of `Message`s and
            of dicts `{"role", "content"}` with the optional keys `name`, `tool_calls` (as OpenAI
            writes them) and `tool_call_id`.

    Raises:
        InvalidInputError: The list is empty, or a message has an unknown role or unknown keys.
    """
    if isinstance(messages, str):
        return [Message("user", messages)]
    items: Any = [messages] if isinstance(messages, Message) else messages
    if not isinstance(items, Iterable) or isinstance(items, bytes | Mapping):
        raise wrong_type("messages", items, "a string, a Message or a list of messages")
    converted = [_to_message(item, f"messages[{i}]") for i, item in enumerate(items)]
    for index, message in enumerate(converted):
        _check(message, f"messages[{index}]")
    if not converted:
        raise InvalidInputError(
            "messages is empty; it must hold at least one message", fields=("messages",)
        )
    return converted


def _to_message(item: MessageLike, path: str) -> Message:
    if isinstance(item, Message):
        _to_role(item.role, path)
        return item
    if not isinstance(item, Mapping):
        raise wrong_type(path, item, "a Message or a dict with role and content")
    if is_too_deep([*item.values()]):
        raise too_deep(path)
    # A dump of OpenAI's messages names what it does not hold: `refusal` None, `annotations` [].
    filled = {str(key) for key, value in item.items() if value is not None and value != []}
    if unknown := sorted(filled - {*_KEYS}):
        raise InvalidInputError(
            f"{path} has unknown keys: {', '.join(unknown)}; known are {', '.join(_KEYS)}",
            fields=(path,),
        )
    # OpenAI's API returns a content of None beside tool calls.
    content, calls = item.get("content"), item.get("tool_calls") or ()
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise wrong_type(f"{path}.tool_calls", calls, "a list of tool calls")
    return Message(
        _to_role(item.get("role"), path),
        "" if content is None else content,
        name=item.get("name"),
        tool_calls=tuple(
            _to_tool_call(call, f"{path}.tool_calls[{i}]") for i, call in enumerate(calls)
        ),
        tool_call_id=item.get("tool_call_id"),
    )


def _check(message: Message, path: str) -> None:
    for name in ("name", "tool_call_id"):
        if not isinstance(value := getattr(message, name), str | None):
            raise wrong_type(f"{path}.{name}", value, "a string or None")
    content: object = message.content
    if not isinstance(content, str) and is_too_deep(content):
        raise too_deep(f"{path}.content")
    if any(is_too_deep(call.arguments) for call in message.tool_calls):
        raise too_deep(f"{path}.tool_calls")


def _to_role(value: object, path: str) -> Role:
    if not isinstance(value, str):
        raise wrong_type(f"{path}.role", value, "a string")
    role = _ROLES.get(value)
    if role is None:
        known = ", ".join(_ROLES)
        raise InvalidInputError(
            f"{path} has role {value!r}; it must be one of {known}", fields=(path,)
        )
    return role


def _to_tool_call(item: Any, path: str) -> ToolCall:
    if isinstance(item, ToolCall):
        return item
    function = item.get("function", item) if isinstance(item, Mapping) else None
    if not isinstance(function, Mapping):
        raise wrong_type(path, item, "a ToolCall or a dict as OpenAI writes it")
    arguments = function.get("arguments", {})
    if not isinstance(arguments, Mapping | str):
        raise wrong_type(f"{path}.arguments", arguments, "a dict or a JSON string")
    return ToolCall(str(item.get("id") or ""), str(function.get("name") or ""), arguments)

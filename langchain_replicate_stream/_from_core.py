"""The core's events to LangChain's chunks, a `Completion` to a message, and errors. Pure.

A trap: the framework parses the sum of a call's pieces with a parser that completes truncated
JSON, so `{"city": "Par` would become a valid call with the city "Par". See `_find_invalid_suffix`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.tool import (
    ToolCallChunk,
    invalid_tool_call,
    tool_call,
    tool_call_chunk,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.json import parse_partial_json

import replicate_stream as core
from langchain_replicate_stream import errors
from langchain_replicate_stream._to_core import MALFORMED_MARK, strip_malformed_mark
from replicate_stream.adapters import build_partial, parse_arguments

if TYPE_CHECKING:
    from langchain_core.messages import content as blocks
    from langchain_core.messages.ai import UsageMetadata

PROVIDER = "replicate"
_REASONING_KEY = "reasoning_content"  # where the framework looks for reasoning blocks
# Error texts of models whose context window the prompt exceeds (docs/replicate-api.md 5.3).
_CONTEXT_OVERFLOW = (
    r"(?i)context (?:length|window|size)|maximum context|exceed_context|prompt (?:is )?too long"
    r"|too many (?:input )?tokens|(?:token|prompt) (?:count|length).{0,40}exceed"
)
# A wrapper's code for "The input or output was flagged as sensitive" (docs/replicate-api.md 4).
_REFUSAL = r"\(E005\)"
# Failures of the platform, and of vendors under high demand (docs/replicate-api.md 4).
_TRANSIENT = r"\bE1000\b|\bE6716\b|\bE9828\b|code: PA\b|\(E00[34]\)|please retry"

# Every token is a copy of these: the constructors validate what is valid anyway, and cost twice as
# much. `model_copy` is slower too, and would mark fields as set that were not.
_MESSAGE = AIMessageChunk(content="")
_CHUNK = ChatGenerationChunk(message=_MESSAGE)


def make_text_chunk(event: core.TextDelta) -> ChatGenerationChunk:
    """Make the chunk of a piece of text. It has no id: the framework sets that of the run."""
    message = _MESSAGE.__copy__()
    fields = vars(message)
    fields["content"] = event.text
    fields["additional_kwargs"] = {}  # a copy shares these, and the framework writes into them
    fields["response_metadata"] = {}
    fields["tool_calls"] = []
    fields["invalid_tool_calls"] = []
    fields["tool_call_chunks"] = []
    chunk = _CHUNK.__copy__()
    vars(chunk).update(message=message, text=event.text)
    return chunk


class ChunkConverter:
    """Converts the events of one stream to chunks.

    Args:
        model: The model's name, for the metadata.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._events: list[core.StreamEvent] = []
        self._calls: dict[int, list[core.ToolCallDelta]] = {}

    def convert(self, event: core.StreamEvent) -> Sequence[ChatGenerationChunk]:
        """Convert an event to its chunks; a change of the status has none."""
        self._events.append(event)
        if isinstance(event, core.TextDelta):
            return (make_text_chunk(event),)
        if isinstance(event, core.ToolCallDelta):
            self._calls.setdefault(event.index, []).append(event)
            piece = tool_call_chunk(
                name=event.name, args=event.arguments, id=event.id, index=event.index
            )
            return (_make_call_chunk([piece]),)
        if isinstance(event, core.ReasoningDelta):
            reasoning = {_REASONING_KEY: event.text}
            return (_wrap(AIMessageChunk(content="", additional_kwargs=reasoning)),)
        if isinstance(event, core.Finished):
            # Metadata is on this chunk only: the framework concatenates the texts of several.
            last = AIMessageChunk(
                content="",
                usage_metadata=convert_usage(event.usage),
                response_metadata=make_metadata(event, self._model),
                chunk_position="last",
            )
            return (*self._invalidate_malformed_calls(), _wrap(last))
        return ()

    def convert_error(self, error: core.ReplicateError) -> Sequence[ChatGenerationChunk]:
        """Make the last chunk of an answer that an error ends, so that traces know its origin.

        The error gets the part that has arrived: an `invoke` that streams returns nothing of it.
        """
        if all(isinstance(event, core.StatusChanged) for event in self._events):
            return ()
        prediction_id = getattr(error, "prediction_id", None)
        if error.completion is None:
            error.completion = build_partial(self._events, prediction_id)
        names = {"model_name": self._model, "model_provider": PROVIDER}
        metadata = names if prediction_id is None else {**names, "prediction_id": prediction_id}
        return (_wrap(AIMessageChunk(content="", response_metadata=metadata)),)

    def _invalidate_malformed_calls(self) -> list[ChatGenerationChunk]:
        """Make the chunk that keeps malformed calls from being parsed as valid ones, if any.

        It is separate from the last chunk, because not every consumer reads the calls of that one.
        """
        # A sum of chunks makes its `invalid_tool_calls` of the pieces alone. Those of a chunk are
        # dropped from it, or given to the constructor become pieces, which are parsed as valid.
        pieces = [
            tool_call_chunk(name=None, args=_find_invalid_suffix(text), id=None, index=index)
            for index, deltas in self._calls.items()
            if parse_arguments(deltas[0].name, text := "".join(d.arguments for d in deltas)) is None
        ]
        return [_make_call_chunk(pieces)] if pieces else []


def _wrap(message: AIMessageChunk) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=message)


def _make_call_chunk(pieces: list[ToolCallChunk]) -> ChatGenerationChunk:
    _register_translator()
    # When chunks are added, this is the only key whose equal values are not concatenated.
    metadata = {"model_provider": PROVIDER}
    return _wrap(AIMessageChunk(content="", tool_call_chunks=pieces, response_metadata=metadata))


def _find_invalid_suffix(arguments: str) -> str:
    """Find the text to append to malformed arguments so that the framework rejects them.

    Its parser closes whatever is open, and fails only at a bracket that closes nothing. Outside
    of a string one of the two brackets does that; inside, the string is closed first, after a space
    so that a trailing backslash does not escape the quote. The parser ignores what follows: the
    mark names the reason to a reader. `strip_malformed_mark` strips bracket and mark.
    """
    for closing in (" ]", " }", ' "]', ' "}'):
        try:
            parsed = parse_partial_json(arguments + closing)
        except ValueError:
            parsed = None
        if parsed is None:
            return closing + MALFORMED_MARK
    raise AssertionError("one of the two brackets closes nothing")


# Content blocks


@lru_cache(maxsize=1)
def _register_translator() -> None:
    """Register how our chunks become content blocks."""
    # Imported by the first call: it loads the translators of every provider.
    from langchain_core.messages.block_translators import register_translator

    register_translator(PROVIDER, _use_default, _translate_call_chunk)


def _use_default(message: AIMessage) -> list[blocks.ContentBlock]:
    """Defer to the framework: on this error it translates as it does without a translator."""
    raise NotImplementedError


def _translate_call_chunk(message: AIMessageChunk) -> list[blocks.ContentBlock]:
    """Translate a call's pieces to blocks whose index differs from that of every text block.

    Both are counted from 0 otherwise, and adding chunks would merge a call into the text before it.
    """
    if not message.tool_call_chunks or message.content or message.chunk_position == "last":
        return _use_default(message)
    return [_make_call_block(piece) for piece in message.tool_call_chunks]


def _make_call_block(piece: ToolCallChunk) -> blocks.ToolCallChunk:
    block = {**piece, "type": "tool_call_chunk", "index": f"lc_tc_{piece['index']}"}
    return cast("blocks.ToolCallChunk", block)


# Whole answers


def to_result(completion: core.Completion, model: str) -> ChatResult:
    """Convert a whole answer to a result."""
    return ChatResult(generations=[ChatGeneration(message=to_message(completion, model))])


def to_message(completion: core.Completion, model: str) -> AIMessage:
    """Convert a whole answer to a message."""
    reasoning, calls = completion.reasoning, [convert_call(c) for c in completion.tool_calls]
    return AIMessage(
        content=completion.text,
        additional_kwargs={_REASONING_KEY: reasoning} if reasoning else {},
        tool_calls=[call for call in calls if call["type"] == "tool_call"],
        invalid_tool_calls=[call for call in calls if call["type"] == "invalid_tool_call"],
        usage_metadata=convert_usage(completion.usage),
        response_metadata=make_metadata(completion, model),
    )


def convert_call(call: core.ToolCall) -> ToolCall | InvalidToolCall:
    """Convert a whole call; a malformed one has the model's own text as its arguments."""
    if not isinstance(call.arguments, str):
        return tool_call(name=call.name, args=dict(call.arguments), id=call.id)
    error = "The arguments are not a JSON object." if call.name else "The call has no name."
    return invalid_tool_call(name=call.name or None, args=call.arguments, id=call.id, error=error)


def restore_malformed_calls(result: ChatResult) -> ChatResult:
    """Give malformed calls that were summed from chunks the text and the error of a whole answer.

    The sum is the framework's own, where an `invoke` streams. The messages are changed in place.
    """
    for generation in result.generations:
        message = generation.message
        if isinstance(message, AIMessage) and message.invalid_tool_calls:
            calls = [_restore_call(call) for call in message.invalid_tool_calls]
            message.invalid_tool_calls = calls
            if isinstance(message.content, list):  # with `output_version="v1"`
                message.content = _restore_blocks(message.content, calls)
    return result


def _restore_call(call: InvalidToolCall) -> InvalidToolCall:
    arguments = strip_malformed_mark(call["args"] or "")
    restored = convert_call(core.ToolCall(call["id"] or "", call["name"] or "", arguments))
    return cast("InvalidToolCall", restored)  # what a call with a text as its arguments becomes


def _restore_blocks(
    content: list[str | dict[str, Any]], calls: Sequence[InvalidToolCall]
) -> list[str | dict[str, Any]]:
    """Put each malformed call in the place of its pieces' sum, as the framework does valid ones."""
    by_id = {call["id"]: dict(call) for call in calls}
    return [
        by_id.get(block.get("id"), block)
        if isinstance(block, dict) and block.get("type") == "tool_call_chunk"
        else block
        for block in content
    ]


def convert_usage(usage: core.Usage | None) -> UsageMetadata | None:
    """Convert token counts; None if there are none."""
    if usage is None or not usage.total_tokens:  # a model that counts no tokens
        return None
    names = ("input_tokens", "output_tokens", "total_tokens")
    # The framework's optional keys are unknown to type checkers that check for Python 3.10.
    return cast("UsageMetadata", {name: getattr(usage, name) for name in names})


def make_metadata(end: core.Finished | core.Completion, model: str) -> dict[str, Any]:
    """Make a message's `response_metadata`, from the last event of an answer or a whole one."""
    prediction, usage = end.prediction, end.usage
    reason = end.reason if isinstance(end, core.Finished) else end.finish_reason
    times = {
        name: value
        for name in ("created_at", "started_at", "completed_at")
        if (value := getattr(prediction, name)) is not None
    }
    return {
        "model_name": model,
        "model_provider": PROVIDER,
        "prediction_id": prediction.id,
        "finish_reason": reason,
        "status": prediction.status,
        "metrics": dict(prediction.metrics),
        **({} if usage is None or usage.cost is None else {"cost": usage.cost}),
        **times,
    }


# Errors


@contextmanager
def raise_as_langchain() -> Iterator[None]:
    """Raise the core's errors as those of `errors`."""
    try:
        yield
    except core.ReplicateError as error:
        raise to_langchain(error).with_traceback(error.__traceback__) from error.__cause__


def to_langchain(error: core.ReplicateError) -> core.ReplicateError:
    """Convert an error of the core; an error of another class is returned as it is."""
    cls = _select_class(error)
    if cls is type(error):
        return error
    # Past the constructors, whose arguments differ from class to class.
    converted = cls.__new__(cls, *error.args)
    converted.args = error.args
    converted.__dict__.update(error.__dict__)
    if error.has_unknown_outcome:
        vars(converted)["is_retryable"] = False  # the framework's middleware would pay twice
    return converted


def _select_class(error: core.ReplicateError) -> type[core.ReplicateError]:
    if type(error) is core.PredictionFailedError:
        if re.search(_CONTEXT_OVERFLOW, error.error or ""):
            return errors.ContextOverflowError
        if re.search(_REFUSAL, error.error or ""):
            return errors.RefusalError
        if re.search(_TRANSIENT, error.error or ""):
            return errors.TransientFailureError
    if type(error) is core.ResponseError:
        return _classify_status(error.status or 0)
    cls: type[core.ReplicateError] = getattr(errors, type(error).__name__, type(error))
    return cls


def _classify_status(status: int) -> type[errors.ResponseError]:
    if status == HTTPStatus.UNAUTHORIZED:
        return errors.AuthenticationError
    if status in {HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN}:
        return errors.PermissionDeniedError
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return errors.ServerError
    return errors.InvalidRequestError if status >= HTTPStatus.BAD_REQUEST else errors.ResponseError

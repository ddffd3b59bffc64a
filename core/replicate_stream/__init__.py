"""Replicate's language models, streamed token by token.

async with Client() as client, client.stream(model, "Why is the sky blue?") as events:
    async for event in events:
        if isinstance(event, TextDelta):
            print(event.text, end="", flush=True)
"""

from typing import TYPE_CHECKING

from replicate_stream._client import Client
from replicate_stream._errors import (
    AnswerFormatError,
    InvalidInputError,
    MissingAuthError,
    ModelNotFoundError,
    ParameterWarning,
    PredictionCanceledError,
    PredictionFailedError,
    RateLimitError,
    ReplicateConnectionError,
    ReplicateError,
    ReplicateTimeoutError,
    ResponseError,
    StreamInterruptedError,
    UnsupportedParameterError,
)
from replicate_stream._settings import without_secrets
from replicate_stream._version import __version__

if TYPE_CHECKING:
    from replicate_stream._chat.facts import ModelFacts
    from replicate_stream._chat.inputs import prepare_input
    from replicate_stream._chat.messages import (
        Completion,
        Finished,
        Message,
        ReasoningDelta,
        StatusChanged,
        StreamEvent,
        TextDelta,
        ToolCall,
        ToolCallDelta,
        ToolSpec,
    )
    from replicate_stream._chat.prepared import PreparedInput, PreparedRequest
    from replicate_stream._provider import Replicate
    from replicate_stream._records import Prediction, Usage
    from replicate_stream._stream import EventStream
else:
    # Imported when asked for: Python takes longer to make these than for all the rest, and whoever
    # only imports needs none of them.
    _HOMES = {
        "Completion": "_chat.messages",
        "EventStream": "_stream",
        "Finished": "_chat.messages",
        "Message": "_chat.messages",
        "ModelFacts": "_chat.facts",
        "Prediction": "_records",
        "PreparedInput": "_chat.prepared",
        "PreparedRequest": "_chat.prepared",
        "ReasoningDelta": "_chat.messages",
        "Replicate": "_provider",
        "StatusChanged": "_chat.messages",
        "StreamEvent": "_chat.messages",
        "TextDelta": "_chat.messages",
        "ToolCall": "_chat.messages",
        "ToolCallDelta": "_chat.messages",
        "ToolSpec": "_chat.messages",
        "Usage": "_records",
        "prepare_input": "_chat.inputs",
    }

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value

    def __dir__():
        return __all__


__all__ = [
    "AnswerFormatError",
    "Client",
    "Completion",
    "EventStream",
    "Finished",
    "InvalidInputError",
    "Message",
    "MissingAuthError",
    "ModelFacts",
    "ModelNotFoundError",
    "ParameterWarning",
    "Prediction",
    "PredictionCanceledError",
    "PredictionFailedError",
    "PreparedInput",
    "PreparedRequest",
    "RateLimitError",
    "ReasoningDelta",
    "Replicate",
    "ReplicateConnectionError",
    "ReplicateError",
    "ReplicateTimeoutError",
    "ResponseError",
    "StatusChanged",
    "StreamEvent",
    "StreamInterruptedError",
    "TextDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolSpec",
    "UnsupportedParameterError",
    "Usage",
    "__version__",
    "prepare_input",
    "without_secrets",
]

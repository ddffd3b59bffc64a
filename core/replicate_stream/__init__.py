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
from replicate_stream._version import __version__

if TYPE_CHECKING:
    from replicate_stream._event_stream import EventStream
    from replicate_stream._model.capabilities import ModelCapabilities
    from replicate_stream._provider import Replicate
    from replicate_stream._request.prepare import prepare_input
    from replicate_stream._types.messages import (
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
    from replicate_stream._types.prediction import Prediction, Usage
    from replicate_stream._types.prepared import PreparedInput, PreparedRequest
else:
    # Imported when asked for: Python takes longer to make these than for all the rest, and whoever
    # only imports needs none of them.
    _HOMES = {
        "Completion": "_types.messages",
        "EventStream": "_event_stream",
        "Finished": "_types.messages",
        "Message": "_types.messages",
        "ModelCapabilities": "_model.capabilities",
        "Prediction": "_types.prediction",
        "PreparedInput": "_types.prepared",
        "PreparedRequest": "_types.prepared",
        "ReasoningDelta": "_types.messages",
        "Replicate": "_provider",
        "StatusChanged": "_types.messages",
        "StreamEvent": "_types.messages",
        "TextDelta": "_types.messages",
        "ToolCall": "_types.messages",
        "ToolCallDelta": "_types.messages",
        "ToolSpec": "_types.messages",
        "Usage": "_types.prediction",
        "prepare_input": "_request.prepare",
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
    "ModelCapabilities",
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
]

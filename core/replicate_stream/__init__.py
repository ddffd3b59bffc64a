"""Replicate's language models, streamed token by token.

async with Client() as client, client.stream(model, "Why is the sky blue?") as events:
    async for event in events:
        if isinstance(event, TextDelta):
            print(event.text, end="", flush=True)
"""

from replicate_stream._chat.facts import ModelFacts
from replicate_stream._chat.inputs import PreparedInput, prepare_input
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
from replicate_stream._client import Client, PreparedRequest
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
from replicate_stream._provider import Replicate
from replicate_stream._records import Prediction, Usage
from replicate_stream._settings import without_secrets
from replicate_stream._stream import EventStream
from replicate_stream._version import __version__

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

# Tracebacks and reprs name the public package, not the file that a class lives in.
for _name in __all__:
    if isinstance(_value := globals()[_name], type):
        _value.__module__ = __name__
del _name, _value

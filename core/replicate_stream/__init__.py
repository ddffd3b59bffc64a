"""Replicate's language models, streamed token by token.

async with Client() as client, client.stream(model, "Why is the sky blue?") as events:
    async for event in events:
        if isinstance(event, TextDelta):
            print(event.text, end="", flush=True)
"""

from typing import TYPE_CHECKING

from replicate_stream import _lazy
from replicate_stream._errors import (
    AnswerFormatError,
    BudgetExceededError,
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
    from replicate_stream._api.model_list import ModelList, ModelSummary
    from replicate_stream._batch.journal import Journal
    from replicate_stream._batch.requests import BatchRequest, BatchResult
    from replicate_stream._cancel_on_exit import cancel_on_exit
    from replicate_stream._client import Client
    from replicate_stream._event_stream import EventStream
    from replicate_stream._model.capabilities import ModelCapabilities
    from replicate_stream._provider import Replicate
    from replicate_stream._request.prepare import prepare_input
    from replicate_stream._secrets import secret_headers
    from replicate_stream._types.costs import Budget, Price
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
    from replicate_stream._types.prediction_report import PredictionReport
    from replicate_stream._types.request import PreparedInput, PreparedRequest
else:
    # Imported at first use: to build these classes takes longer than everything else in an import
    # of this package, and most importers need few of them.
    __getattr__, __dir__ = _lazy.export(
        __name__,
        {
            "_api.model_list": ["ModelList", "ModelSummary"],
            "_batch.journal": ["Journal"],
            "_batch.requests": ["BatchRequest", "BatchResult"],
            "_cancel_on_exit": ["cancel_on_exit"],
            "_client": ["Client"],
            "_event_stream": ["EventStream"],
            "_model.capabilities": ["ModelCapabilities"],
            "_provider": ["Replicate"],
            "_request.prepare": ["prepare_input"],
            "_secrets": ["secret_headers"],
            "_types.costs": ["Budget", "Price"],
            "_types.messages": [
                "Completion",
                "Finished",
                "Message",
                "ReasoningDelta",
                "StatusChanged",
                "StreamEvent",
                "TextDelta",
                "ToolCall",
                "ToolCallDelta",
                "ToolSpec",
            ],
            "_types.prediction": ["Prediction", "Usage"],
            "_types.prediction_report": ["PredictionReport"],
            "_types.request": ["PreparedInput", "PreparedRequest"],
        },
    )

__all__ = [
    "AnswerFormatError",
    "BatchRequest",
    "BatchResult",
    "Budget",
    "BudgetExceededError",
    "Client",
    "Completion",
    "EventStream",
    "Finished",
    "InvalidInputError",
    "Journal",
    "Message",
    "MissingAuthError",
    "ModelCapabilities",
    "ModelList",
    "ModelNotFoundError",
    "ModelSummary",
    "ParameterWarning",
    "Prediction",
    "PredictionCanceledError",
    "PredictionFailedError",
    "PredictionReport",
    "PreparedInput",
    "PreparedRequest",
    "Price",
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
    "cancel_on_exit",
    "prepare_input",
    "secret_headers",
]

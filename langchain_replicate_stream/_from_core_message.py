"""A whole answer of the core as LangChain's message, and what is told beside any answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, InvalidToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult

if TYPE_CHECKING:
    from replicate_stream import Completion, Prediction, Usage

PROVIDER = "replicate"
REASONING = "reasoning_content"
"""The key of `additional_kwargs` that the framework reads reasoning blocks from."""


def to_message(completion: Completion, model: str) -> AIMessage:
    """A whole answer as a message."""
    calls = completion.tool_calls
    return AIMessage(
        content=completion.text,
        additional_kwargs={REASONING: completion.reasoning} if completion.reasoning else {},
        tool_calls=[
            tool_call(name=call.name, args=dict(call.arguments), id=call.id)
            for call in calls
            if call.name and not isinstance(call.arguments, str)
        ],
        invalid_tool_calls=[
            _invalid(call.id, call.name, call.arguments)
            for call in calls
            if not call.name or isinstance(call.arguments, str)
        ],
        usage_metadata=usage_of(completion.usage),
        response_metadata=metadata_of(completion.prediction, completion.finish_reason, model),
    )


def to_result(completion: Completion, model: str) -> ChatResult:
    """A whole answer as a result."""
    return ChatResult(generations=[ChatGeneration(message=to_message(completion, model))])


def _invalid(call: str, name: str, written: Mapping[str, Any] | str) -> InvalidToolCall:
    is_text = isinstance(written, str)
    return invalid_tool_call(
        name=name or None,
        args=written if isinstance(written, str) else json.dumps(written, ensure_ascii=False),
        id=call,
        error="The arguments are not a JSON object." if is_text else "The call has no name.",
    )


def usage_of(usage: Usage | None) -> UsageMetadata | None:
    """The token counts; None if there are none."""
    if usage is None:
        return None
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
    )


def metadata_of(prediction: Prediction, reason: str, model: str) -> dict[str, Any]:
    """What a message tells of the prediction that it came from."""
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
        **times,
    }

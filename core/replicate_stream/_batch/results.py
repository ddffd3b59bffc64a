"""Completions and errors as JSON, for the journal, and back. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from replicate_stream import _errors
from replicate_stream._batch.requests import BatchResult, Key
from replicate_stream._errors import InvalidInputError, ReplicateError, ResponseError, rebuild
from replicate_stream._types.messages import Completion, ToolCall
from replicate_stream._types.prediction import Prediction, Usage

# The logs of some models repeat the prompt; headers are of no use later.
_LEFT_OUT = {"logs", "headers"}


def encode_result(result: BatchResult) -> dict[str, Any]:
    """Encode a result without its key."""
    if result.error is not None:
        return {"error": _encode_error(result.error)}
    return {"completion": _encode_completion(result.completion)}


def decode_result(key: Key, value: Mapping[str, Any]) -> BatchResult:
    """Decode what `encode_result` returned. The logs of the prediction are None.

    Raises:
        InvalidInputError: It is something else.
    """
    try:
        if "error" in value:
            return BatchResult(key, error=_decode_error(value["error"]))
        return BatchResult(key, _decode_completion(value["completion"]))
    except (TypeError, ValueError, LookupError, AttributeError):
        raise InvalidInputError(
            f"the journal's result of request {key!r} cannot be read; use another journal",
            fields=("journal",),
        ) from None


def _encode_completion(completion: Any) -> dict[str, Any]:
    prediction = completion.prediction.without_stream()
    record = _get_fields(prediction)
    record["urls"] = dict(prediction.urls)
    record["metrics"] = dict(prediction.metrics)
    has_same_text = _join(prediction.output) == completion.text
    if has_same_text:
        del record["output"]
    return {
        "text": completion.text,
        "reasoning": completion.reasoning,
        "tool_calls": [_get_fields(call) for call in completion.tool_calls],
        "finish_reason": completion.finish_reason,
        "usage": completion.usage and _get_fields(completion.usage),
        "prediction": record,
    }


def _decode_completion(value: Mapping[str, Any]) -> Completion:
    record, usage = dict(value["prediction"]), value["usage"]
    record.setdefault("output", [value["text"]])
    return Completion(
        text=value["text"],
        reasoning=value["reasoning"],
        tool_calls=tuple(ToolCall(**call) for call in value["tool_calls"]),
        finish_reason=value["finish_reason"],
        usage=usage and Usage(**usage),
        prediction=Prediction(**record),
    )


def _encode_error(error: ReplicateError) -> dict[str, Any]:
    """Encode an error with those of its attributes that JSON can hold, and its completion."""
    state = {name: value for name, value in vars(error).items() if _is_json(value)}
    encoded: dict[str, Any] = {"type": type(error).__name__, "message": str(error), **state}
    if isinstance(error.completion, Completion):
        encoded["completion"] = _encode_completion(error.completion)
    return {name: value for name, value in encoded.items() if name not in _LEFT_OUT}


def _decode_error(value: Mapping[str, Any]) -> ReplicateError:
    state: dict[str, Any] = {
        name: tuple(item) if isinstance(item, list) else item
        for name, item in value.items()
        if name not in {"type", "message"}
    }
    if "completion" in state:
        state["completion"] = _decode_completion(state["completion"])
    found: Any = getattr(_errors, value["type"], None)
    is_known = isinstance(found, type) and issubclass(found, ReplicateError)
    kind: type[ReplicateError] = found if is_known else ReplicateError
    if issubclass(kind, ResponseError):
        state["headers"] = None
    return rebuild(kind, (value["message"],), state)


def _get_fields(value: Any) -> dict[str, Any]:
    names = [each.name for each in dataclasses.fields(value) if each.name not in _LEFT_OUT]
    return {name: getattr(value, name) for name in names}


def _join(output: Any) -> str | None:
    is_list = isinstance(output, list) and all(isinstance(piece, str) for piece in output)
    return "".join(output) if is_list else None


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True

"""The requests of a batch, and digests that recognize a request and a model's input again. Pure.

Annotations are evaluated here, as in `_types.messages`.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from replicate_stream._errors import InvalidInputError, ReplicateError, wrong_type
from replicate_stream._lazy import public
from replicate_stream._types.messages import Completion, Messages
from replicate_stream._types.parameters import check_arguments
from replicate_stream._types.request import Request

Key: TypeAlias = str | int

# They decide how an answer is delivered or asked for again, not which one is asked for.
_NOT_IN_DIGEST = {"validator", "include_usage", "coalesce", "max_repairs"}


@public
@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One request of a batch.

    Attributes:
        key: A string or an integer that no other request of the batch has.
        messages: As for `Client.stream`.
        parameters: Parameters of `Client.stream` for this request; they win over the batch's.
        model: The model; None for the batch's.
    """

    key: Key
    messages: Messages = field(repr=False)
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    model: str | None = None


BatchRequestLike: TypeAlias = BatchRequest | tuple[Key, Messages] | Mapping[str, Any]
"""A request; its key and messages; or a mapping with `key`, `messages` and any parameters."""


@public
@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of one request of a batch: a completion or an error.

    Attributes:
        key: The key of the request.
        completion: The answer; None if the request failed.
        error: The error that `Client.complete` would have raised; None if there is an answer.
    """

    key: Key
    completion: Completion | None = field(default=None, repr=False)
    error: ReplicateError | None = None


def to_batch_request(value: Any) -> BatchRequest:
    """Convert any accepted form of a request.

    Raises:
        InvalidInputError: It has another form, or no valid key.
    """
    if isinstance(value, tuple) and len(value) == 2:
        value = BatchRequest(*value)
    elif isinstance(value, Mapping):
        fields = dict(value)
        missing = [name for name in ("key", "messages") if name not in fields]
        if missing:
            raise InvalidInputError(f"a request has no {missing[0]!r}", fields=tuple(missing))
        own = {name: fields.pop(name) for name in ("key", "messages", "model") if name in fields}
        value = BatchRequest(**own, parameters=fields)
    if not isinstance(value, BatchRequest):
        raise wrong_type("a request", value, "a BatchRequest, a dict, or a key with messages")
    key: Any = value.key
    if not isinstance(key, str | int) or isinstance(key, bool):
        raise wrong_type("key", key, "a string or an integer")
    return value


def merge_parameters(batch: Mapping[str, Any], request: BatchRequest) -> dict[str, Any]:
    """Merge the parameters of a request over those of its batch.

    Raises:
        InvalidInputError: A name is unknown.
    """
    try:
        check_arguments("batch", request.parameters)
    except TypeError as error:
        raise InvalidInputError(str(error), fields=("parameters",)) from None
    return {**batch, **request.parameters}


def digest_request(request: Request) -> str:
    """Digest everything that decides which answer a request has."""
    fields = {
        each.name: getattr(request, each.name)
        for each in dataclasses.fields(request)
        if each.name not in _NOT_IN_DIGEST
    }
    return _digest(fields)


def digest_input(model_input: Mapping[str, Any]) -> str:
    """Digest a model's input, as it was sent or as a record has it."""
    return _digest(_unify_numbers(model_input))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=_describe)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _describe(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, os.PathLike):
        return {"path": os.fspath(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return type(value).__qualname__


def _unify_numbers(value: Any) -> Any:
    """Write 1.0 as 1: a server may send it back as either."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _unify_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_unify_numbers(item) for item in value]
    return value

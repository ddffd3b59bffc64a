"""The core's errors as LangChain's: each class is both, under the core's name.

    ReplicateError (the core's)      LangChain's kind
      + MissingAuthError             ModelAuthenticationError
      + ResponseError                ModelError
        - AuthenticationError        ModelAuthenticationError    401
        - PermissionDeniedError      ModelPermissionDeniedError  402, 403
        - InvalidRequestError        ModelInvalidRequestError    other 4xx
        - ServerError                ModelAPIError               5xx, retryable
        - ModelNotFoundError         ModelNotFoundError
        - RateLimitError             ModelRateLimitError         retryable
        - InvalidInputError          ModelInvalidRequestError
      + UnsupportedParameterError    ModelInvalidRequestError
      + ReplicateConnectionError     ModelConnectionError        retryable
      + ReplicateTimeoutError        ModelTimeoutError           retryable
      + PredictionFailedError        ModelError
        - TransientFailureError      ModelAPIError               retryable
        - ContextOverflowError       ContextOverflowError
      + PredictionCanceledError      ModelError
      + StreamInterruptedError       ModelConnectionError        retryable
      + AnswerFormatError            OutputParserException, ModelError

`ChatReplicate` raises these, with the core's text and attributes, so that handlers of either kind
catch them; LangChain's agents and middleware look at `is_retryable`. LangChain has most of its
kinds since langchain-core 1.6; before, its root `LangChainException` stands for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import replicate_stream as core

if TYPE_CHECKING:
    from langchain_core import exceptions as langchain
else:
    from langchain_core import exceptions

    class _Kinds:
        """LangChain's exceptions; their root for those that an old version does not have."""

        def __getattr__(self, name: str) -> type[Exception]:
            return getattr(exceptions, name, exceptions.LangChainException)

    langchain = _Kinds()

__all__ = [
    "AnswerFormatError",
    "AuthenticationError",
    "ContextOverflowError",
    "InvalidInputError",
    "InvalidRequestError",
    "MissingAuthError",
    "ModelNotFoundError",
    "PermissionDeniedError",
    "PredictionCanceledError",
    "PredictionFailedError",
    "RateLimitError",
    "ReplicateConnectionError",
    "ReplicateTimeoutError",
    "ResponseError",
    "ServerError",
    "StreamInterruptedError",
    "TransientFailureError",
    "UnsupportedParameterError",
]


class MissingAuthError(core.MissingAuthError, langchain.ModelAuthenticationError):
    """An API token is needed and none was given."""


class ResponseError(core.ResponseError, langchain.ModelError):
    """The API's reply cannot be used.

    Not retryable: the request may have been served, and a repetition would be paid again.
    """


class AuthenticationError(ResponseError, langchain.ModelAuthenticationError):
    """The API rejected the token (401)."""


class PermissionDeniedError(ResponseError, langchain.ModelPermissionDeniedError):
    """The account may not do this (403), or has no credit (402)."""


class InvalidRequestError(ResponseError, langchain.ModelInvalidRequestError):
    """The API rejected the request (another 4xx)."""


class ServerError(ResponseError, langchain.ModelAPIError):
    """The API failed (5xx)."""


class ModelNotFoundError(core.ModelNotFoundError, ResponseError, langchain.ModelNotFoundError):
    """There is no such model, version or deployment, or the token may not see it."""


class RateLimitError(core.RateLimitError, ResponseError, langchain.ModelRateLimitError):
    """Too many requests."""


class InvalidInputError(core.InvalidInputError, ResponseError, langchain.ModelInvalidRequestError):
    """An input that the model does not take."""


class UnsupportedParameterError(core.UnsupportedParameterError, langchain.ModelInvalidRequestError):
    """The model has no input for a parameter."""


class ReplicateConnectionError(core.ReplicateConnectionError, langchain.ModelConnectionError):
    """No connection could be made, or it broke before the reply arrived."""


class ReplicateTimeoutError(core.ReplicateTimeoutError, langchain.ModelTimeoutError):
    """Nothing arrived within `timeout`, or the `deadline` passed."""


class PredictionFailedError(core.PredictionFailedError, langchain.ModelError):
    """The prediction failed."""


class TransientFailureError(PredictionFailedError, langchain.ModelAPIError):
    """The prediction failed for a reason that passes, such as high demand."""


class ContextOverflowError(PredictionFailedError, langchain.ContextOverflowError):
    """The prediction failed because the prompt exceeds the context window."""


class PredictionCanceledError(core.PredictionCanceledError, langchain.ModelError):
    """The prediction was canceled by someone else, or aborted by its deadline."""


class StreamInterruptedError(core.StreamInterruptedError, langchain.ModelConnectionError):
    """The event stream broke, and the rest could not be fetched."""


class AnswerFormatError(
    core.AnswerFormatError, langchain.OutputParserException, langchain.ModelError
):
    """The answer has no tool call, or no valid JSON, where one was required.

    An `OutputParserException`, because a parser would have raised one for this answer. Not
    retryable: the request was repeated as often as `max_repairs` allows.
    """

    observation: str | None = None
    send_to_llm: bool = False
    if not TYPE_CHECKING:  # type checkers see the attribute of OutputParserException

        @property
        def llm_output(self) -> str:
            """The answer's text."""
            return self.completion.text


_CLASSES: dict[type[core.ReplicateError], type[core.ReplicateError]] = {
    core.MissingAuthError: MissingAuthError,
    core.ModelNotFoundError: ModelNotFoundError,
    core.RateLimitError: RateLimitError,
    core.InvalidInputError: InvalidInputError,
    core.UnsupportedParameterError: UnsupportedParameterError,
    core.ReplicateConnectionError: ReplicateConnectionError,
    core.ReplicateTimeoutError: ReplicateTimeoutError,
    core.PredictionCanceledError: PredictionCanceledError,
    core.StreamInterruptedError: StreamInterruptedError,
    core.AnswerFormatError: AnswerFormatError,
}

# Error texts of models whose context window the prompt exceeds (docs/replicate-api.md 5.3).
_CONTEXT_OVERFLOW = (
    r"(?i)context (?:length|window|size)|maximum context|exceed_context|prompt (?:is )?too long"
    r"|too many (?:input )?tokens|(?:token|prompt) (?:count|length).{0,40}exceed"
)
# Failures of the platform, and of vendors under high demand (docs/replicate-api.md 4).
_TRANSIENT = r"\bE1000\b|\bE6716\b|\bE9828\b|code: PA\b|\(E00[34]\)|please retry"


@contextmanager
def raise_as_langchain() -> Iterator[None]:
    """Raise the core's errors as the classes of this module."""
    try:
        yield
    except core.ReplicateError as error:
        raise to_langchain(error).with_traceback(error.__traceback__) from error.__cause__


def to_langchain(error: core.ReplicateError) -> core.ReplicateError:
    """Convert an error of the core; an error of another class is returned as it is."""
    cls = _select_class(error)
    if cls is None:
        return error
    # Past the constructors, whose arguments differ from class to class.
    converted = cls.__new__(cls, *error.args)
    converted.args = error.args
    converted.__dict__.update(error.__dict__)
    return converted


def _select_class(error: core.ReplicateError) -> type[core.ReplicateError] | None:
    if type(error) is core.PredictionFailedError:
        return _classify_failure(error.error or "")
    if type(error) is core.ResponseError:
        return _classify_status(error.status)
    return _CLASSES.get(type(error))


def _classify_failure(text: str) -> type[PredictionFailedError]:
    if re.search(_CONTEXT_OVERFLOW, text):
        return ContextOverflowError
    return TransientFailureError if re.search(_TRANSIENT, text) else PredictionFailedError


def _classify_status(status: int | None) -> type[ResponseError]:
    if status == HTTPStatus.UNAUTHORIZED:
        return AuthenticationError
    if status in {HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN}:
        return PermissionDeniedError
    if status is None or status < HTTPStatus.BAD_REQUEST:
        return ResponseError
    return InvalidRequestError if status < HTTPStatus.INTERNAL_SERVER_ERROR else ServerError

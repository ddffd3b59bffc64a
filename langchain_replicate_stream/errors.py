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
        - RefusalError               ModelRefusalError
      + PredictionCanceledError      ModelError
      + StreamInterruptedError       ModelConnectionError        retryable
      + AnswerFormatError            OutputParserException, ModelError
      + BudgetExceededError          ModelError

`ChatReplicate` raises these, with the core's text and attributes, so that handlers of either kind
catch them; LangChain's agents and middleware look at `is_retryable`. LangChain has most of its
kinds since langchain-core 1.6; before, its root `LangChainException` stands for them.

No error with `has_unknown_outcome` is retryable: the request may have been served, and a repetition
would be paid again. `with_retry()` of LangChain does not look at that, but at classes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


_REQUEST_IDS = ("x-request-id", "request-id", "cf-ray")  # the API stands behind Cloudflare


class MissingAuthError(core.MissingAuthError, langchain.ModelAuthenticationError):
    """An API token is needed and none was given."""


@dataclass(frozen=True)
class ErrorResponse:
    """The API's reply to a request that failed, as LangChain's traces record it.

    Attributes:
        status_code: The HTTP status.
        headers: The headers, with the secrets of the request redacted.
        body: Title and detail of the reply, likewise.
    """

    status_code: int
    headers: Mapping[str, str]
    body: Mapping[str, str]

    def json(self) -> dict[str, str]:
        """Return the body."""
        return dict(self.body)


class ResponseError(core.ResponseError, langchain.ModelError):
    """The API's reply cannot be used."""

    @property
    def response(self) -> ErrorResponse:
        """The reply.

        Raises:
            AttributeError: No server has replied. Traces then do not have an empty reply.
        """
        if self.status is None:
            raise AttributeError("The error was found before a request was sent")
        texts = {"title": self.title, "detail": self.detail}
        body = {name: text for name, text in texts.items() if text}
        return ErrorResponse(self.status, self.headers or {}, body)

    @property
    def request_id(self) -> str | None:
        """The id that the API or its proxy gave the request."""
        headers = {name.lower(): value for name, value in (self.headers or {}).items()}
        return next((headers[name] for name in _REQUEST_IDS if name in headers), None)


class AuthenticationError(ResponseError, langchain.ModelAuthenticationError):
    """The API rejected the token (401)."""


class PermissionDeniedError(ResponseError, langchain.ModelPermissionDeniedError):
    """The account may not do this (403), or has no credit (402)."""


class InvalidRequestError(ResponseError, langchain.ModelInvalidRequestError):
    """The API rejected the request (another 4xx)."""


class ServerError(ResponseError, langchain.ModelAPIError):
    """The API failed (5xx)."""


class ModelNotFoundError(core.ModelNotFoundError, ResponseError, langchain.ModelNotFoundError):
    """The model, version or deployment does not exist, or the token may not see it."""


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


class RefusalError(PredictionFailedError, langchain.ModelRefusalError):
    """The prediction failed because its prompt or answer was flagged as sensitive (E005)."""


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

    def __init__(self, problem: str, *, completion: core.Completion) -> None:
        # Not OutputParserException's, which adds a link to the text, and sets `llm_output`.
        error = core.AnswerFormatError(problem, completion=completion)
        self.args = error.args
        vars(self).update(vars(error))

    if not TYPE_CHECKING:  # type checkers see the attribute of OutputParserException

        @property
        def llm_output(self) -> str:
            """The answer's text."""
            return self.completion.text


class BudgetExceededError(core.BudgetExceededError, langchain.ModelError):
    """The budget is spent. Not retryable: it stays spent."""

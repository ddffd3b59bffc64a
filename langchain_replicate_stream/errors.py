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

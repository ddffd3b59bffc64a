"""Errors that are the core's and LangChain's at once.

Agents and middleware look at LangChain's kinds (`is_retryable`), users of the core at the core's.
So an error of the core is raised here as a subclass of both, with the same text and fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from langchain_core import exceptions as langchain

import replicate_stream as core

# What models say of a prompt that does not fit (they fail with it; replicate-api.md 5.3).
_OVERFLOW = (
    r"(?i)context (?:length|window|size)|maximum context|exceed_context|prompt (?:is )?too long"
    r"|too many (?:input )?tokens|(?:token|prompt) (?:count|length).{0,40}exceed"
)
# Failures that pass: the platform's own and a vendor's high demand (replicate-api.md 4).
_PASSING = r"\bE1000\b|\bE6716\b|\bE9828\b|code: PA\b|\(E00[34]\)|please retry"


def _both(
    name: str, ours: type[core.ReplicateError], *theirs: str, **attributes: Any
) -> type[core.ReplicateError]:
    """A class of both trees; the core's own where LangChain has no such kind (before 1.6)."""
    kinds = [kind for their in theirs if (kind := getattr(langchain, their, None)) is not None]
    if not kinds:
        return ours
    about = f"{ours.__name__} that is also LangChain's {' and '.join(k.__name__ for k in kinds)}."
    return type(name, (ours, *kinds), {"__doc__": about, "__module__": __name__, **attributes})


MissingAuth = _both("MissingAuth", core.MissingAuthError, "ModelAuthenticationError")
Unauthorized = _both("Unauthorized", core.ResponseError, "ModelAuthenticationError")
Forbidden = _both("Forbidden", core.ResponseError, "ModelPermissionDeniedError")
Refused = _both("Refused", core.ResponseError, "ModelInvalidRequestError")
Unusable = _both("Unusable", core.ResponseError, "ModelError")
ServerFault = _both("ServerFault", core.ResponseError, "ModelAPIError")
NotFound = _both("NotFound", core.ModelNotFoundError, "ModelNotFoundError")
RateLimited = _both("RateLimited", core.RateLimitError, "ModelRateLimitError")
InvalidInput = _both("InvalidInput", core.InvalidInputError, "ModelInvalidRequestError")
Unsupported = _both("Unsupported", core.UnsupportedParameterError, "ModelInvalidRequestError")
NotConnected = _both("NotConnected", core.ReplicateConnectionError, "ModelConnectionError")
TimedOut = _both("TimedOut", core.ReplicateTimeoutError, "ModelTimeoutError")
Failed = _both("Failed", core.PredictionFailedError, "ModelError")
FailedForNow = _both("FailedForNow", core.PredictionFailedError, "ModelAPIError")
Overflowed = _both("Overflowed", core.PredictionFailedError, "ContextOverflowError")
Canceled = _both("Canceled", core.PredictionCanceledError, "ModelError")
Interrupted = _both("Interrupted", core.StreamInterruptedError, "ModelConnectionError")
# What a parser would raise for it, so that the same handlers catch it. To repeat the request is no
# remedy: that was done, as often as `max_repairs` allows.
Unfit = _both(
    "Unfit",
    core.AnswerFormatError,
    "OutputParserException",
    "ModelError",
    # Attributes of an OutputParserException, which its constructor would set.
    observation=None,
    llm_output=property(lambda self: self.completion.text),
    send_to_llm=False,
)


@contextmanager
def as_langchains() -> Iterator[None]:
    """Raise the core's errors as errors of both trees."""
    try:
        yield
    except core.ReplicateError as error:
        raise translate(error).with_traceback(error.__traceback__) from error.__cause__


def translate(error: core.ReplicateError) -> core.ReplicateError:
    """The same error as one that is LangChain's too; itself where LangChain has no such kind."""
    kind = _kind_of(error)
    if kind is None or isinstance(error, kind):
        return error
    twin = kind.__new__(kind, *error.args)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return twin


def _kind_of(error: core.ReplicateError) -> type[core.ReplicateError] | None:
    if isinstance(error, core.PredictionFailedError):
        return _failed(error.error or "")
    if type(error) is core.ResponseError:
        return _refused(error.status)
    for ours, kind in _KINDS.items():
        if isinstance(error, ours):
            return kind
    return None


_KINDS: dict[type[core.ReplicateError], type[core.ReplicateError]] = {
    core.MissingAuthError: MissingAuth,
    core.ModelNotFoundError: NotFound,
    core.RateLimitError: RateLimited,
    core.InvalidInputError: InvalidInput,
    core.UnsupportedParameterError: Unsupported,
    core.ReplicateConnectionError: NotConnected,
    core.ReplicateTimeoutError: TimedOut,
    core.PredictionCanceledError: Canceled,
    core.StreamInterruptedError: Interrupted,
    core.AnswerFormatError: Unfit,
}


def _failed(said: str) -> type[core.ReplicateError]:
    if re.search(_OVERFLOW, said):
        return Overflowed
    return FailedForNow if re.search(_PASSING, said) else Failed


def _refused(status: int | None) -> type[core.ReplicateError]:
    if status == HTTPStatus.UNAUTHORIZED:
        return Unauthorized
    if status in {HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN}:
        return Forbidden
    if status is None or status < HTTPStatus.BAD_REQUEST:
        return Unusable  # the request may have been served, and paid: to repeat it may pay again
    return Refused if status < HTTPStatus.INTERNAL_SERVER_ERROR else ServerFault

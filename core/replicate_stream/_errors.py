"""The exceptions of the library.

    ReplicateError
      + MissingAuthError             an API token is required and missing
      + ResponseError                the API rejected a request, or its response is invalid
        - ModelNotFoundError         404: unknown model, version or deployment
        - RateLimitError             429: too many requests
        - InvalidInputError          422, or rejected by the client before anything was paid
      + UnsupportedParameterError    the model has no input for a parameter
      + ReplicateConnectionError     the connection failed before a response arrived
      + ReplicateTimeoutError        nothing came for `timeout` seconds, or the `deadline` passed
      + PredictionFailedError        the prediction ended as `failed`
      + PredictionCanceledError      the prediction was canceled by someone else
      + StreamInterruptedError       the stream broke or has a gap, and the rest cannot be fetched
      + AnswerFormatError            the answer lacks the required tool call or valid JSON
      + BudgetExceededError          the client's budget is spent

Messages never hold the API token or the stream's URL. They quote messages of the service and of the
model, and hold the text of a prompt only if one of those repeats it.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from replicate_stream._lazy import public

TOKENS_PAGE = "https://replicate.com/account/api-tokens"
_SHORT_REPR = reprlib.Repr()
_SHORT_REPR.maxstring = _SHORT_REPR.maxother = 200


@public
class ReplicateError(Exception):
    """The base class of all exceptions of this library.

    Attributes that a subclass sets in its constructor survive pickling and copying.

    Attributes:
        completion: The part of the answer that `Client.complete`, or an adapter, had received, a
            `Completion` with the finish reason `error`; None if there is none.
        has_unknown_outcome: True if a prediction may have been created, and be paid, although no
            usable response came: it was lost, or the server failed (5xx). A repeated request may
            then be paid twice.
        text_index: The position of the text, among those of `Client.embed`, that the error is
            about; None if it is not about one of them.
    """

    completion: Any = None
    has_unknown_outcome: bool = False
    text_index: int | None = None

    def __reduce__(self) -> tuple[Callable[..., ReplicateError], tuple[Any, ...]]:
        """Rebuild from the attributes: the default cannot call keyword-only constructors."""
        return rebuild, (type(self), self.args, self.__dict__)


def rebuild(
    cls: type[ReplicateError], args: tuple[Any, ...], state: dict[str, Any]
) -> ReplicateError:
    """Build an error with these attributes."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


@public
class ParameterWarning(UserWarning):
    """Warns of a parameter that was left out or changed to a value that the model accepts."""


@public
class MissingAuthError(ReplicateError):
    """An API token is required, and neither an argument nor the environment has one."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message
            or "No Replicate API token: set REPLICATE_API_TOKEN or pass api_key=. "
            f"Get one at {TOKENS_PAGE}"
        )


@public
class ResponseError(ReplicateError):
    """The API rejected a request, or its response is invalid.

    Attributes:
        status: The HTTP status; None if the error was found before a request was sent.
        title: The `title` of the response, e.g. `Unauthenticated`; None if it has no title.
        detail: The `detail` of the response, or the start of a response that is not JSON.
        prediction_id: The id of the prediction, if it exists already.
        retry_after: The wait that the service asks for, in seconds; None if it does not.
        headers: The headers of the response, with its secrets redacted; None without a response.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        title: str | None = None,
        detail: str | None = None,
        prediction_id: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.headers = headers
        self.status = status
        self.title = title
        self.detail = detail
        self.prediction_id = prediction_id
        self.retry_after = retry_after


@public
class ModelNotFoundError(ResponseError):
    """The model, version or deployment does not exist, or the token has no access to it."""


@public
class RateLimitError(ResponseError):
    """Too many requests. `retry_after` is the wait in seconds, if the service sent one.

    Raised for look-ups and other requests once `max_retries` are used up, or if the wait is longer
    than `timeout`. Creations of predictions wait for the limit instead; they raise this error only
    if the wait is longer than what remains of the `deadline`, and a `ReplicateTimeoutError` if that
    passes while they wait.
    """


@public
class InvalidInputError(ResponseError):
    """An argument or an input of the model is invalid.

    Raised by the client before anything is paid (`status` is None), or for the API's status 422.

    Attributes:
        fields: The names of the invalid arguments or inputs, if they are known.
    """

    def __init__(self, message: str, *, fields: tuple[str, ...] = (), **reply: Any) -> None:
        super().__init__(message, **reply)
        self.fields = fields


def wrong_type(name: str, value: object, expected: str) -> InvalidInputError:
    """Build the error for an argument of a wrong type. It does not show the value."""
    actual = type(value).__name__
    message = f"{name} is of type {actual}; it must be {expected}"
    return InvalidInputError(message, fields=(name,))


def too_deep(name: str) -> InvalidInputError:
    """Build the error for an argument whose JSON cannot be written."""
    message = f"{name} is nested too deeply; it must have at most 100 levels"
    return InvalidInputError(message, fields=(name,))


def invalid_value(name: str, value: object, expected: str) -> InvalidInputError:
    """Build the error for an argument of a wrong value, which it shows."""
    message = f"{name} is {describe_value(value)}; it must be {expected}"
    return InvalidInputError(message, fields=(name,))


def describe_value(value: object) -> str:
    """Return the `repr` of a value, shortened; its type if it has none.

    A list may be nested too deeply for `repr`, and a number too long.
    """
    try:
        return _SHORT_REPR.repr(value)
    except Exception:  # noqa: BLE001 - a class may raise anything
        return f"of type {type(value).__name__}"


@public
class UnsupportedParameterError(ReplicateError):
    """The model has no input for a parameter, and `on_unsupported` is `"raise"`.

    Attributes:
        parameter: The parameter, e.g. `top_k`, or the unknown name given in `extra_input`.
        available: The names of the model's inputs, in the order of its schema.
    """

    def __init__(self, message: str, *, parameter: str, available: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.available = available


@public
class ReplicateConnectionError(ReplicateError):
    """The connection could not be made, or it broke before the response arrived.

    Attributes:
        is_sent: False if the request cannot have reached the server, so that it has no effect.
    """

    def __init__(self, message: str, *, is_sent: bool = True) -> None:
        super().__init__(message)
        self.is_sent = is_sent


@public
class ReplicateTimeoutError(ReplicateError):
    """Nothing came for `timeout` seconds, or the `deadline` passed.

    Attributes:
        waited_for: The event that did not come, e.g. `the first token`.
        seconds: The length of the wait, in seconds.
        prediction_id: The id of the prediction, if it exists already.
    """

    def __init__(
        self, message: str, *, waited_for: str, seconds: float, prediction_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.waited_for = waited_for
        self.seconds = seconds
        self.prediction_id = prediction_id


@public
class PredictionFailedError(ReplicateError):
    """The prediction ended as `failed`.

    Attributes:
        prediction_id: The id of the prediction.
        error: The `error` text of the prediction.
    """

    def __init__(self, message: str, *, prediction_id: str, error: str | None = None) -> None:
        super().__init__(message)
        self.prediction_id = prediction_id
        self.error = error


@public
class PredictionCanceledError(ReplicateError):
    """The prediction was canceled by someone else, or aborted by its deadline.

    Attributes:
        prediction_id: The id of the prediction.
        status: `canceled`, or `aborted` for a prediction that had not started.
    """

    def __init__(self, message: str, *, prediction_id: str, status: str = "canceled") -> None:
        super().__init__(message)
        self.prediction_id = prediction_id
        self.status = status


@public
class StreamInterruptedError(ReplicateError):
    """The event stream broke, or lacks text that the record has, and cannot be completed.

    Attributes:
        prediction_id: The id of the prediction.
        delivered: The number of characters of the answer that were delivered before.
    """

    def __init__(self, message: str, *, prediction_id: str, delivered: int) -> None:
        super().__init__(message)
        self.prediction_id = prediction_id
        self.delivered = delivered


@public
class AnswerFormatError(ReplicateError):
    """The answer lacks the required tool call, or is not JSON of the required format.

    Attributes:
        problem: A description of the fault, without the text of the answer.
        completion: The complete answer, a `Completion`.
    """

    def __init__(self, problem: str, *, completion: Any) -> None:
        super().__init__(f"The model's answer is not what was asked for: {problem}")
        self.problem = problem
        self.completion = completion


@public
class BudgetExceededError(ReplicateError):
    """The client's `budget` is spent. No prediction was requested.

    Attributes:
        spent: What the client's predictions have used so far, a `Usage`.
    """

    def __init__(self, message: str, *, spent: Any) -> None:
        super().__init__(message)
        self.spent = spent

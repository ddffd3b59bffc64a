"""Everything that can go wrong, as one tree.

    ReplicateError
      + MissingAuthError             no API token where one is needed
      + ResponseError                the API refused, or answered with something unusable
        - ModelNotFoundError         404: no such model, version or deployment
        - RateLimitError             429: too many requests
        - InvalidInputError          422, or refused here before anything was paid
      + UnsupportedParameterError    the model has no input for a parameter
      + ReplicateConnectionError     no connection, or it broke before there was a reply
      + ReplicateTimeoutError        a silence longer than `timeout`, or the `deadline`
      + PredictionFailedError        the model, or Replicate, gave up on the prediction
      + PredictionCanceledError      somebody else ended the prediction
      + StreamInterruptedError       the stream broke, and the rest could not be had
      + AnswerFormatError            no tool call, or no fitting JSON, where that was asked for

Messages carry neither the API token, nor the stream's URL, nor the text of a prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from replicate_stream._lazy import public

TOKENS_PAGE = "https://replicate.com/account/api-tokens"


@public
class ReplicateError(Exception):
    """The root of everything that this library raises on purpose.

    Attributes that a subclass sets in its constructor survive pickling and copying.
    """

    def __reduce__(self) -> tuple[Callable[..., ReplicateError], tuple[Any, ...]]:
        """Rebuild from the attributes: keyword-only constructors defeat the default."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(
    cls: type[ReplicateError], args: tuple[Any, ...], state: dict[str, Any]
) -> ReplicateError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


@public
class ParameterWarning(UserWarning):
    """A parameter was changed to what the model allows, or left out."""


@public
class MissingAuthError(ReplicateError):
    """An API token is needed and none was given, neither as an argument nor in the environment."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message
            or "No Replicate API token: set REPLICATE_API_TOKEN or pass api_key=. "
            f"Get one at {TOKENS_PAGE}"
        )


@public
class ResponseError(ReplicateError):
    """The API refused a request, or its answer cannot be used.

    Attributes:
        status: The HTTP status, None where there was no HTTP reply.
        title: The reply's `title`, e.g. `Unauthenticated`; None where it had none.
        detail: The reply's `detail`, or the start of a reply that is not JSON.
        prediction_id: The prediction it was about, if there was one.
        retry_after: Seconds that the service asks to wait, if it does.
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
    ) -> None:
        super().__init__(message)
        self.status = status
        self.title = title
        self.detail = detail
        self.prediction_id = prediction_id
        self.retry_after = retry_after


@public
class ModelNotFoundError(ResponseError):
    """There is no such model, version or deployment, or the token may not see it."""


@public
class RateLimitError(ResponseError):
    """Too many requests; `retry_after` says for how many seconds, where the service says it."""


@public
class InvalidInputError(ResponseError):
    """An input that the model does not take.

    Raised here before anything is paid (`status` is None then), or by the API (422).

    Attributes:
        fields: The names of the inputs that are at fault, as far as they are known.
    """

    def __init__(self, message: str, *, fields: tuple[str, ...] = (), **reply: Any) -> None:
        super().__init__(message, **reply)
        self.fields = fields


def wrong_type(name: str, value: object, expected: str) -> InvalidInputError:
    """Build the error for an argument of a wrong type. It does not show the value."""
    actual = type(value).__name__
    message = f"{name} is of type {actual}; it must be {expected}"
    return InvalidInputError(message, fields=(name,))


def invalid_value(name: str, value: object, expected: str) -> InvalidInputError:
    """Build the error for an argument of the right type and a wrong value, which it shows."""
    return InvalidInputError(f"{name} is {value!r}; it must be {expected}", fields=(name,))


@public
class UnsupportedParameterError(ReplicateError):
    """The model has no input for a parameter, and `on_unsupported` is `"raise"`.

    Attributes:
        parameter: The parameter, e.g. `top_k`, or the unknown name given in `extra_input`.
        available: The inputs that the model does have, in the model's own order.
    """

    def __init__(self, message: str, *, parameter: str, available: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.available = available


@public
class ReplicateConnectionError(ReplicateError):
    """No connection could be made, or it broke before the reply was there."""


@public
class ReplicateTimeoutError(ReplicateError):
    """Nothing came for longer than `timeout`, or the `deadline` passed.

    Attributes:
        waited_for: What was waited for, e.g. `the first token`.
        seconds: For how long, in seconds.
        prediction_id: The prediction, where it was known.
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
        prediction_id: The prediction.
        error: The prediction's own `error` text.
    """

    def __init__(self, message: str, *, prediction_id: str, error: str | None = None) -> None:
        super().__init__(message)
        self.prediction_id = prediction_id
        self.error = error


@public
class PredictionCanceledError(ReplicateError):
    """The prediction was canceled, or aborted by its deadline, and not by this caller.

    Attributes:
        prediction_id: The prediction.
        status: `canceled`, or `aborted` if it had not started yet.
    """

    def __init__(self, message: str, *, prediction_id: str, status: str = "canceled") -> None:
        super().__init__(message)
        self.prediction_id = prediction_id
        self.status = status


@public
class StreamInterruptedError(ReplicateError):
    """The event stream broke off and what is missing could not be fetched.

    Attributes:
        prediction_id: The prediction.
        delivered: How many characters of the answer were delivered before.
    """

    def __init__(self, message: str, *, prediction_id: str, delivered: int) -> None:
        super().__init__(message)
        self.prediction_id = prediction_id
        self.delivered = delivered


@public
class AnswerFormatError(ReplicateError):
    """The answer is not what was asked for: no tool call, or no JSON of that form.

    Attributes:
        problem: What is wrong with it, without its text.
        completion: The whole answer, a `Completion`.
    """

    def __init__(self, problem: str, *, completion: Any) -> None:
        super().__init__(f"The model's answer is not what was asked for: {problem}")
        self.problem = problem
        self.completion = completion

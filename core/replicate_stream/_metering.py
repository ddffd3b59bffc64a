"""What the predictions of a client use: sums, the budget, and a report of each one that ends."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from replicate_stream._errors import (
    BudgetExceededError,
    InvalidInputError,
    ReplicateError,
    UnsupportedParameterError,
    wrong_type,
)
from replicate_stream._logging import log
from replicate_stream._types.costs import Budget, Price, find_price, read_budget, read_prices
from replicate_stream._types.prediction import Prediction, Usage, read_usage
from replicate_stream._types.prediction_report import PredictionReport

if TYPE_CHECKING:
    from replicate_stream._types.messages import StreamEvent
    from replicate_stream._types.request import Request


OnPrediction: TypeAlias = "Callable[[PredictionReport], object]"


class AnswerContent:
    """The texts of a prediction. They are kept only while an observer captures content.

    Attributes:
        request: The request; None for a prediction that was taken up by its id.
        events: The events that the answer was parsed into.
        flush: Adds the events of text that is pending. It does nothing when called again.
    """

    def __init__(self, request: Request | None) -> None:
        """Begin without an answer."""
        self.request = request
        self.events: list[StreamEvent] = []
        self.flush: Callable[[], object] = lambda: None


class Observer(NamedTuple):
    """Gets each report of the process.

    Attributes:
        observe: Called with the report, the context in which the prediction was asked for, and its
            texts; None in place of the texts for one that does not capture content. The report of
            a request that no prediction came of has an error, and neither id nor status.
        captures_content: True to get texts.
    """

    observe: Callable[[PredictionReport, Context, AnswerContent | None], None]
    captures_content: bool


observers: list[Observer] = []
"""Those that `replicate_stream.otel.instrument` has added."""


class Meter:
    """Adds up what a client's predictions use, refuses a request beyond the budget, and reports.

    Attributes:
        prices: The prices by model.
        budget: The budget.
        on_prediction: Called with each report.
        spent: The sum so far.
    """

    def __init__(
        self,
        prices: Mapping[str, Price | Mapping[str, float]] | None = None,
        budget: Budget | Mapping[str, float] | float | None = None,
        on_prediction: OnPrediction | None = None,
    ) -> None:
        """Validate the arguments, which are those of `Client`.

        Raises:
            InvalidInputError: Names an argument of a wrong type or value.
        """
        self.prices = {} if prices is None else read_prices(prices)
        self.budget = None if budget is None else read_budget(budget)
        function: Any = on_prediction
        if function is not None and (
            not callable(function)
            or inspect.iscoroutinefunction(function)
            or inspect.iscoroutinefunction(type(function).__call__)
        ):
            raise wrong_type("on_prediction", on_prediction, "a function that is not async")
        self.on_prediction = on_prediction
        self.spent = Usage(0, 0)
        self._lock = threading.Lock()

    def copy(self) -> Meter:
        """Return a meter of the same arguments that has counted nothing."""
        return Meter(self.prices, self.budget, self.on_prediction)

    def __reduce__(self) -> tuple[Any, ...]:
        return Meter, (self.prices, self.budget, self.on_prediction)

    def check_budget(self, model: str, *, is_counted: bool = True) -> None:
        """Raise an error unless one more prediction may be requested.

        Args:
            model: The model to run.
            is_counted: Whether the record, which has the counts, will be fetched.

        Raises:
            BudgetExceededError: The budget is spent.
            InvalidInputError: What the prediction uses could not be counted.
        """
        budget, spent = self.budget, self.spent
        if budget is None:
            return
        if not is_counted:
            raise InvalidInputError(
                "include_usage is False; with a budget it must be True", fields=("include_usage",)
            )
        if budget.money is not None and find_price(self.prices, model) is None:
            raise InvalidInputError(
                f"prices has no price of {model!r}; with a budget in money it must have one",
                fields=("prices",),
            )
        for name, limit, used in (
            ("money", budget.money, spent.cost),
            ("tokens", budget.tokens, spent.total_tokens),
            ("seconds", budget.seconds, spent.predict_time),
        ):
            if limit is not None and (used or 0) >= limit:
                raise BudgetExceededError(
                    f"The budget is spent: {used or 0:g} of {limit:g} {name}", spent=spent
                )

    def observe(
        self,
        model: str,
        requested_at: float,
        operation: str = "chat",
        request: Request | None = None,
    ) -> Observation:
        """Begin to observe a prediction.

        Args:
            model: The model that was asked for.
            requested_at: The time of the request, by `time.monotonic`.
            operation: As in the report.
            request: The request, for observers that capture content; None if it is unknown.
        """
        observation = Observation(self, model, requested_at, operation)
        if observers and operation == "chat" and any(o.captures_content for o in observers):
            observation.content = AnswerContent(request)
        return observation

    @contextmanager
    def watch_start(
        self, model: str, operation: str = "chat", request: Request | None = None
    ) -> Iterator[None]:
        """Tell observers of an error before there is a prediction. Others get the error itself.

        A request that was cancelled is one, or a service that hangs until its callers give up
        would look idle. An invalid argument is no request: nobody is told of it, nor of a model
        that is none.

        Args:
            model: As for `observe`, like the other arguments.
            operation: As in the report.
            request: The request.
        """
        started_at = time.monotonic()
        try:
            yield
        except (ReplicateError, asyncio.CancelledError) as error:
            if observers and not _is_of_argument(error):
                duration, name = time.monotonic() - started_at, type(error).__name__
                report = PredictionReport(
                    "", model, "", None, {}, None, duration, None, name, operation
                )
                content = AnswerContent(request) if operation == "chat" else None
                _tell_observers(report, copy_context(), content)
            raise

    def add(self, usage: Usage) -> None:
        """Add to the sum, from any thread."""
        with self._lock:
            self.spent += usage


class Observation:
    """What is observed of one prediction: when its text began, and how it ended.

    Attributes:
        price: The price of its model.
        first_text_at: The time of its first text, by `time.monotonic`; None before.
        content: Its texts; None unless an observer captures content.
    """

    content: AnswerContent | None = None

    def __init__(self, meter: Meter, model: str, requested_at: float, operation: str) -> None:
        """Begin. The arguments are those of `Meter.observe`."""
        self.price = find_price(meter.prices, model) if meter.prices else None
        self.first_text_at: float | None = None
        self._meter = meter
        self._model = model
        self._operation = operation
        self._requested_at = requested_at
        self._context = copy_context() if observers else None
        self._has_ended = False
        self._read: tuple[Prediction, Usage | None] | None = None

    def read_usage(self, prediction: Prediction) -> Usage | None:
        """Read what a record of the prediction says that it used, once for each record."""
        if self._read is None or self._read[0] is not prediction:
            self._read = prediction, read_usage(prediction, self.price)
        return self._read[1]

    def note_text(self) -> None:
        """Note that the first text has come."""
        self.first_text_at = time.monotonic()

    def end(
        self,
        prediction: Prediction,
        error: BaseException | None = None,
        finish_reason: str | None = None,
    ) -> None:
        """Count and report the prediction, unless that has been done.

        Args:
            prediction: Its newest record.
            error: The error that ended its reading.
            finish_reason: That of the answer.
        """
        if self._has_ended:
            return
        self._has_ended = True
        meter, first_text_at = self._meter, self.first_text_at
        usage = self.read_usage(prediction)
        if usage is not None:
            meter.add(usage)
        is_logged = log.isEnabledFor(logging.INFO)
        if not is_logged and meter.on_prediction is None and self._context is None:
            return
        report = PredictionReport(
            prediction.id,
            self._model,
            prediction.status,
            usage,
            prediction.metrics,
            None if first_text_at is None else first_text_at - self._requested_at,
            time.monotonic() - self._requested_at,
            finish_reason,
            None if error is None else type(error).__name__,
            self._operation,
        )
        if is_logged:
            log.info("%s", describe(report))
        if meter.on_prediction is not None:
            _call(meter.on_prediction, report)
        if self._context is not None:
            content = self.content
            if content is not None:
                _call(content.flush)
            _tell_observers(report, self._context, content)


def _is_of_argument(error: BaseException) -> bool:
    if isinstance(error, InvalidInputError):
        return error.status is None  # else it is the service that refuses the input
    return isinstance(error, UnsupportedParameterError)


def _tell_observers(
    report: PredictionReport, asked_in: Context, content: AnswerContent | None
) -> None:
    for observe, captures_content in observers:
        _call(observe, report, asked_in, content if captures_content else None)


def _call(function: Callable[..., object], *args: Any) -> None:
    """Call a function of the user's. Its failure is logged: the answer does not depend on it."""
    handled = sys.exc_info()[1]
    try:
        function(*args)
    except Exception as error:  # noqa: BLE001 - whatever it raises
        _detach(error, handled)
        log.warning(
            "a function that is called with the report of a prediction failed", exc_info=error
        )


def _detach(error: BaseException, handled: BaseException | None) -> None:
    """Remove the error that is being handled from the causes of another one.

    A traceback would show the message of the prediction's error, which the service has written.
    """
    link: BaseException | None = error
    while link is not None and link.__context__ is not handled:
        link = link.__context__
    if link is not None:
        link.__context__ = None


def describe(report: PredictionReport) -> str:
    """Write a report as a line, as it is logged."""
    parts = [f"prediction {report.id} of {report.model}: {report.status}"]
    if report.error is not None:
        parts.append(report.error)
    if report.time_to_first_token is not None:
        parts.append(f"first token after {report.time_to_first_token:.2f} s")
    parts.append(f"{report.duration:.2f} s")
    if (usage := report.usage) is not None:
        if usage.total_tokens:
            parts.append(f"{usage.input_tokens} + {usage.output_tokens} tokens")
        if usage.cost is not None:
            parts.append(f"cost {usage.cost:.6g}")
    return ", ".join(parts)

"""OpenTelemetry: a span and metrics for each prediction, by the conventions for generative AI.

    from replicate_stream import otel

    otel.instrument()

Needs the extra `otel`. The conventions are those of
https://github.com/open-telemetry/semantic-conventions-genai. No text is recorded: spans hold the
model, times, counts and the class of an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import Context
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.trace import SpanKind, StatusCode

from replicate_stream._metering import observers
from replicate_stream._types.prediction_report import PredictionReport
from replicate_stream._version import __version__

_PROVIDER = "replicate"
_NANOSECONDS = 1_000_000_000
# The boundaries that the conventions recommend, in seconds and in tokens.
_DURATIONS = [0.01 * 2**power for power in range(14)]
_COUNTS = [4**power for power in range(14)]


class _Instruments:
    """Writes a span and metrics for each report."""

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None,
        meter_provider: metrics.MeterProvider | None,
    ) -> None:
        self._tracer = trace.get_tracer("replicate_stream", __version__, tracer_provider)
        meter = metrics.get_meter("replicate_stream", __version__, meter_provider)
        self._durations, self._first_chunks = (
            meter.create_histogram(
                f"gen_ai.client.operation.{name}",
                unit="s",
                description=description,
                explicit_bucket_boundaries_advisory=_DURATIONS,
            )
            for name, description in (
                ("duration", "GenAI operation duration."),
                ("time_to_first_chunk", "Time to receive the first chunk."),
            )
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_COUNTS,
        )

    def observe(self, report: PredictionReport, asked_in: Context) -> None:
        """Write the span of a prediction that has just ended, and its metrics.

        Args:
            report: The prediction.
            asked_in: The context in which it was asked for, which has the parent span.
        """
        common = {
            "gen_ai.operation.name": report.operation,
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.request.model": report.model,
        }
        if report.error is not None:
            common["error.type"] = report.error
        self._write_span(report, asked_in, common)
        self._durations.record(report.duration, common)
        if report.time_to_first_token is not None:
            self._first_chunks.record(report.time_to_first_token, common)
        if report.usage is not None and report.usage.total_tokens:
            for kind in ("input", "output"):
                count = getattr(report.usage, f"{kind}_tokens")
                self._tokens.record(count, {**common, "gen_ai.token.type": kind})

    def _write_span(
        self, report: PredictionReport, asked_in: Context, common: dict[str, str]
    ) -> None:
        usage = report.usage
        attributes: dict[str, Any] = {
            **common,
            "gen_ai.response.id": report.id,
            "gen_ai.response.time_to_first_chunk": report.time_to_first_token,
            "replicate.prediction.status": report.status,
        }
        if report.finish_reason is not None:
            attributes["gen_ai.response.finish_reasons"] = [report.finish_reason]
        if usage is not None and usage.total_tokens:
            attributes["gen_ai.usage.input_tokens"] = usage.input_tokens
            attributes["gen_ai.usage.output_tokens"] = usage.output_tokens
        if usage is not None:
            attributes["replicate.prediction.predict_time"] = usage.predict_time
            attributes["replicate.prediction.cost"] = usage.cost
        ended_at = time.time_ns()
        span = self._tracer.start_span(
            f"{report.operation} {report.model}",
            asked_in.run(context.get_current),
            SpanKind.CLIENT,
            {name: value for name, value in attributes.items() if value is not None},
            start_time=ended_at - int(report.duration * _NANOSECONDS),
        )
        if report.error is not None:
            span.set_status(StatusCode.ERROR, report.error)
        span.end(ended_at)


def instrument(
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> Callable[[], None]:
    """Write a span and metrics for each prediction of this process, from now on.

    Args:
        tracer_provider: Provides the tracer; the global one by default.
        meter_provider: Provides the meter; the global one by default.

    Returns:
        A function that ends it.
    """
    observe = _Instruments(tracer_provider, meter_provider).observe
    observers.append(observe)

    def uninstrument() -> None:
        if observe in observers:
            observers.remove(observe)

    return uninstrument

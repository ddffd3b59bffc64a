"""Spans and metrics in memory, by the exporters of OpenTelemetry's SDK."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Telemetry:
    """Spans and metrics in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader])
        self.tracer = self.tracer_provider.get_tracer("test")

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """The ended spans by name."""
        return {span.name: span for span in self._exporter.get_finished_spans()}

    def list_contents(self) -> list[dict[str, Any]]:
        """List the texts of each ended span, in the order of the ends."""
        return [_read_content(span) for span in self._exporter.get_finished_spans()]

    def get_points(self, name: str) -> list[Any]:
        """Return the data points of a metric."""
        data: Any = self._reader.get_metrics_data()
        (scope,) = data.resource_metrics[0].scope_metrics
        (metric,) = (metric for metric in scope.metrics if metric.name == name)
        return list(metric.data.data_points)

    def to_text(self) -> str:
        """Write down everything that was exported."""
        spans = [span.to_json() for span in self._exporter.get_finished_spans()]
        return "".join(spans) + repr(self._reader.get_metrics_data())


def _read_content(span: ReadableSpan) -> dict[str, Any]:
    names = ("input.messages", "output.messages", "system_instructions", "tool.definitions")
    attributes: Any = span.attributes
    return {n: json.loads(attributes[f"gen_ai.{n}"]) for n in names if f"gen_ai.{n}" in attributes}

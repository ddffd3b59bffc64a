"""OpenTelemetry: a span and metrics for each prediction, by the conventions for generative AI.

    from replicate_stream import otel

    otel.instrument()

Needs the extra `otel`. The conventions are those of
https://github.com/open-telemetry/semantic-conventions-genai. Spans hold the model, times, counts
and the class of an error. Texts are recorded only on demand: see `instrument`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from typing import Any, TypeAlias

from opentelemetry import context, metrics, trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from replicate_stream._errors import wrong_type
from replicate_stream._logging import log
from replicate_stream._metering import AnswerContent, Observer, observers
from replicate_stream._response.completion import CompletionBuilder
from replicate_stream._types.contents import Contents, parse_contents
from replicate_stream._types.media import Media
from replicate_stream._types.messages import ToolCall, ToolSpec
from replicate_stream._types.prediction_report import PredictionReport
from replicate_stream._types.request import Request
from replicate_stream._types.strict_json import replace_surrogates
from replicate_stream._version import __version__

_Part: TypeAlias = dict[str, Any]

_PROVIDER = "replicate"
_NANOSECONDS = 1_000_000_000
# The boundaries that the conventions recommend, in seconds and in tokens.
_DURATIONS = [0.01 * 2**power for power in range(14)]
_COUNTS = [4**power for power in range(14)]
_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
# Where instrumentations put texts, by the variable; `true` is its older form.
_ON_SPANS = frozenset({"true", "span_only", "span_and_event"})
_NOT_ON_SPANS = frozenset({"", "false", "no_content"})


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

    def observe(
        self, report: PredictionReport, asked_in: Context, content: AnswerContent | None
    ) -> None:
        """Write the span of a prediction that has just ended, and its metrics.

        Args:
            report: The prediction.
            asked_in: The context in which it was asked for, which has the parent span.
            content: Its texts; None unless they are captured.
        """
        common = {
            "gen_ai.operation.name": report.operation,
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.request.model": report.model,
        }
        if report.error is not None:
            common["error.type"] = report.error
        self._durations.record(report.duration, common)
        if report.time_to_first_token is not None:
            self._first_chunks.record(report.time_to_first_token, common)
        if report.usage is not None and report.usage.total_tokens:
            for kind in ("input", "output"):
                count = getattr(report.usage, f"{kind}_tokens")
                self._tokens.record(count, {**common, "gen_ai.token.type": kind})
        span, ended_at = self._start_span(report, asked_in, common)
        if report.error is not None:
            span.set_status(StatusCode.ERROR, report.error)
        try:
            if content is not None and span.is_recording():
                _write_content(span, report, content)
        finally:  # a text that cannot be written costs neither span nor metrics
            span.end(ended_at)

    def _start_span(
        self, report: PredictionReport, asked_in: Context, common: dict[str, str]
    ) -> tuple[Span, int]:
        """Start the span of a prediction; return it and the time of its end."""
        usage = report.usage
        attributes: dict[str, Any] = {
            **common,
            "gen_ai.response.id": report.id or None,
            "gen_ai.response.time_to_first_chunk": report.time_to_first_token,
            "replicate.prediction.status": report.status or None,
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
        return span, ended_at


def instrument(
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    *,
    capture_content: bool | None = None,
) -> Callable[[], None]:
    """Write a span and metrics for each prediction of this process, from now on.

    A request that was refused, got no answer, or was cancelled before it had one, is a span with
    `error.type` too.

    Without `capture_content`, no text is kept or written. With it, the spans of answers also have
    `gen_ai.input.messages`, `gen_ai.output.messages`, `gen_ai.system_instructions` and
    `gen_ai.tool.definitions`, as JSON by the schemas of the conventions: the messages and tools as
    they were passed, and the answer as far as it came, also of a prediction that failed, was left
    or was rejected. An image or a file is its kind and media type, without its content or address.
    The model's own inputs (`extra_input`) are not written, as some are secrets. Metrics, the log
    and `on_prediction` never have texts.

    Args:
        tracer_provider: Provides the tracer; the global one by default.
        meter_provider: Provides the meter; the global one by default.
        capture_content: True to write texts, which may be personal data. None: as the environment
            variable `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` has it for all
            instrumentations, when this is called: `SPAN_ONLY`, `SPAN_AND_EVENT` or `true` write
            them, anything else does not, as no events are written. An argument wins over it.

    Returns:
        A function that ends it.

    Raises:
        InvalidInputError: `capture_content` is not a bool.
    """
    captured: Any = capture_content
    if not isinstance(captured, bool | None):
        raise wrong_type("capture_content", captured, "a bool or None")
    is_captured = _read_variable() if capture_content is None else capture_content
    observer = Observer(_Instruments(tracer_provider, meter_provider).observe, is_captured)
    observers.append(observer)

    def uninstrument() -> None:
        if observer in observers:
            observers.remove(observer)

    return uninstrument


def _read_variable() -> bool:
    """Return True if the environment asks for texts on spans."""
    value = os.environ.get(_VARIABLE, "").strip().lower()
    if value not in _ON_SPANS | _NOT_ON_SPANS:
        known = "SPAN_ONLY, SPAN_AND_EVENT, NO_CONTENT, true or false"
        log.warning("%s is %r; no texts are written. It must be %s.", _VARIABLE, value, known)
    return value in _ON_SPANS


def _write_content(span: Span, report: PredictionReport, content: AnswerContent) -> None:
    """Write the texts of a prediction as attributes of its span."""
    attributes: dict[str, Sequence[Any]] = {"output.messages": _build_answer(report, content)}
    request = content.request
    if request is not None:
        attributes["input.messages"] = list(_build_messages(request))
        attributes["system_instructions"] = _build_texts(request.system_prompt)
        tools = () if request.tools is None else request.tools.tools
        attributes["tool.definitions"] = [_build_tool(tool) for tool in tools]
    for name, value in attributes.items():
        if value:
            # As OpenTelemetry's own instrumentations: older SDKs have no structured attributes.
            text = json.dumps(replace_surrogates(value), ensure_ascii=False)
            span.set_attribute(f"gen_ai.{name}", text)


def _build_answer(report: PredictionReport, content: AnswerContent) -> list[_Part]:
    answer = CompletionBuilder()
    for event in content.events:
        answer.add(event)
    parts = [
        *_build_texts(answer.reasoning, "reasoning"),
        *_build_texts(answer.text),
        *(_build_call(call) for call in answer.tool_calls),
    ]
    reason = "error" if report.error is not None else report.finish_reason
    # The conventions' word; an answer that was left has none.
    finish_reason = {"tool_calls": "tool_call"}.get(reason or "", reason)
    message = {"role": "assistant", "parts": parts, "finish_reason": finish_reason}
    return [message] if parts else []


def _build_messages(request: Request) -> Iterator[_Part]:
    for contents in parse_contents(request.messages):
        message = contents.message
        built: _Part = {"role": message.role, "parts": _build_parts(contents)}
        yield built if message.name is None else {**built, "name": message.name}


def _build_parts(contents: Contents) -> list[_Part]:
    message, media = contents.message, map(_build_media, contents.media)
    if message.role == "tool":
        result = {"type": "tool_call_response", "id": message.tool_call_id}
        return [{**result, "response": contents.text}, *media]
    calls = map(_build_call, message.tool_calls)
    return [*_build_texts(contents.text), *media, *calls]


def _build_texts(text: str | None, part_type: str = "text") -> list[_Part]:
    return [{"type": part_type, "content": text}] if text else []


def _build_call(call: ToolCall) -> _Part:
    return {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}


def _build_media(media: Media) -> _Part:
    # Not as the conventions' `blob` or `uri`, which have to hold the content or its address: an
    # address may be signed.
    modality = "document" if media.kind == "file" else media.kind
    return {"type": media.kind, "modality": modality, "mime_type": media.mime_type}


def _build_tool(tool: ToolSpec) -> _Part:
    definition = {"type": "function", "name": tool.name, "description": tool.description}
    return {**definition, "parameters": tool.parameters}

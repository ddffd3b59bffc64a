"""The event stream of one answer: batches of text become events, and a wrong answer is repaired.

A repair is a second prediction, which is asked for with the reason why the first answer was
rejected. It is possible only while no part of the first answer has been emitted.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from replicate_stream._errors import ReplicateError
from replicate_stream._lazy import public
from replicate_stream._response.completion import CompletionBuilder, derive_finish_reason
from replicate_stream._response.output import CompletionReader
from replicate_stream._response.parser import (
    AnswerParser,
    BufferedAnswerParser,
    MergingAnswerParser,
)
from replicate_stream._types.messages import Completion, Finished, StatusChanged, StreamEvent
from replicate_stream._types.prediction import Prediction, Usage, read_usage

if TYPE_CHECKING:
    from replicate_stream._api.api import Run
    from replicate_stream._response.check import AnswerCheck
    from replicate_stream._types.request import ModelInput, Request

Start: TypeAlias = "Callable[[Request], Awaitable[tuple[Run, ModelInput]]]"
"""Creates the prediction of a request."""


@public
class EventStream:
    """The events of one answer, as an async iterator. `Client.stream` creates and closes it."""

    _model_input: ModelInput  # not set while the model boots
    _is_broken_off = False

    def __init__(
        self,
        run: Run,
        model_input: ModelInput | None,
        request: Request,
        start: Start,
        *,
        is_buffered: bool = False,
        watch_boot: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Take over a prediction that was created.

        Args:
            run: The prediction, or the boot of a model whose inputs are not known before its end.
            model_input: The input that the prediction was created with; None for a boot.
            request: The request that the input was built from.
            start: Creates the prediction after a boot, and that of a repair.
            is_buffered: True to emit an answer only at its end, so that it can always be repaired.
            watch_boot: A context around the boot, of which no prediction comes if it fails.
        """
        self._run = run
        self._request = request
        self._start = start
        self._is_buffered = is_buffered
        self._rejected_usage: Usage | None = None
        if model_input is None:
            self._events = self._generate_after_boot(watch_boot)
        else:
            self._model_input = model_input
            self._events = self._generate()

    @property
    def prediction(self) -> Prediction:
        """The newest record of the prediction."""
        return self._run.prediction

    @property
    def usage(self) -> Usage | None:
        """Token counts of the newest record, and of answers that were rejected; None if unknown.

        The record of a stream that was left early is the one in the response to its cancellation.
        """
        return _add(self._rejected_usage, self._read_own_usage())

    def __aiter__(self) -> AsyncGenerator[StreamEvent, None]:
        self._check_is_readable()
        return self._events

    async def __anext__(self) -> StreamEvent:
        self._check_is_readable()
        return await self._events.__anext__()

    def _check_is_readable(self) -> None:
        """Raise an error instead of the end that Python reports, as of an answer that is whole."""
        if self._is_broken_off:
            raise RuntimeError(
                "the reading of this stream was cancelled, e.g. by asyncio.wait_for around one "
                "event, and cannot go on; timeout= of the client bounds the wait for an event"
            )

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> None:
        # A generator around the context is being dropped: its loop may never resume an `await`.
        if exc_type is GeneratorExit:
            self.abandon()
        else:
            await self.aclose()

    async def aclose(self) -> None:
        """Cancel the prediction, unless it has ended, and wait until the service has answered."""
        try:
            await self._run.cancel()
        finally:
            self._report()
            events: Any = self._events  # a generator
            if not events.ag_running:  # by another task, which will find the prediction cancelled
                await events.aclose()

    def leave_running(self) -> None:
        """Let the prediction run on if the stream is left."""
        self._run.leave_running()

    def abandon(self) -> None:
        """Cancel the prediction from code that cannot await."""
        self._run.abandon()
        self._report()

    def _report(self, error: BaseException | None = None, finish_reason: str | None = None) -> None:
        """Report the prediction, if that has not been done."""
        if self._run.observation is not None:
            self._run.observation.end(self._run.prediction, error, finish_reason)

    # One generator and not several nested ones: each would cost a resumption for each event.
    async def _generate(self) -> AsyncGenerator[StreamEvent, None]:  # noqa: C901 - see above
        repairs = self._request.max_repairs
        while True:
            run, model_input = self._run, self._model_input
            completion = CompletionReader(has_tools=self._request.tools is not None)
            parser = self._create_parser(model_input, completion)
            check = self._create_check()
            status, observation = "", run.observation
            try:
                async with aclosing(run.stream()) as batches:
                    yield StatusChanged(status := run.prediction.status)
                    async for batch in batches:
                        if run.prediction.status != status and not run.prediction.is_terminal:
                            yield StatusChanged(status := run.prediction.status)
                        # Not at an empty text, with which many models begin.
                        if observation is not None and any(batch):
                            observation.note_text()
                            observation = None
                        texts = batch if completion.is_over else completion.feed(batch)
                        events = parser.feed(texts)
                        for event in events if check is None else check.add(events):
                            yield event
                        if parser.is_stopped:
                            break
            except asyncio.CancelledError:
                self._is_broken_off = True
                raise
            except ReplicateError as error:
                error.completion = self._build_partial(parser, completion)
                self._report(error)
                raise
            rest = await self._end_answer(parser, completion, check, has_repairs_left=repairs > 0)
            for event in rest:
                yield event
            finished = self._build_finished(parser)
            self._report(finish_reason=finished.reason)
            for event in () if check is None else check.accept_cut_off(finished.reason):
                yield event
            if check is None or check.is_accepted:
                break
            repairs -= 1
            started = await self._start(self._extend_request(check, finished))
            self._rejected_usage = finished.usage
            self._run, self._model_input = started
        yield finished

    async def _generate_after_boot(
        self, watch_boot: Callable[[], AbstractContextManager[None]]
    ) -> AsyncGenerator[StreamEvent, None]:
        yield StatusChanged(self._run.prediction.status)
        with watch_boot():
            async with aclosing(self._run.stream()) as checks:
                async for _ in checks:
                    pass
        self._run, self._model_input = await self._start(self._request)
        async with aclosing(self._generate()) as events:
            async for event in events:
                yield event

    async def _end_answer(
        self,
        parser: AnswerParser,
        completion: CompletionReader,
        check: AnswerCheck | None,
        *,
        has_repairs_left: bool,
    ) -> Sequence[StreamEvent]:
        """Cancel a prediction whose answer has stopped; return the events held back so far."""
        if parser.is_stopped:
            await self._run.stop()
        rest = parser.feed(completion.flush())
        events = [*rest, *parser.flush(is_cut_off=self._is_cut_off())]
        if check is None:
            return events
        return check.close(events, has_repairs_left=has_repairs_left, missing=parser.missing)

    def _create_parser(self, model_input: ModelInput, completion: CompletionReader) -> AnswerParser:
        create: Callable[..., AnswerParser]
        create = MergingAnswerParser if self._request.coalesce else AnswerParser
        if self._is_buffered:
            create = BufferedAnswerParser
        parser = create(model_input.stop, model_input.expected_answer, _new_call_id)
        observation = self._run.observation
        if observation is None or observation.content is None:
            return parser
        # Around the parser, so that it costs nothing when it is off; and not around the check,
        # which withholds the text of a rejected answer.
        from replicate_stream._response.recording import RecordingParser

        recording = RecordingParser(parser, completion, observation.content.events)
        observation.content.flush = recording.flush_pending
        return recording

    def _build_partial(
        self, parser: AnswerParser, completion: CompletionReader
    ) -> Completion | None:
        """Build the part of a buffered answer that an error ends; None if it was handed on."""
        if not self._is_buffered:
            return None
        builder = CompletionBuilder()
        rest = parser.feed(completion.flush())
        for event in (*rest, *parser.flush(is_cut_off=True)):
            builder.add(event)
        return builder.build_partial(self._run.prediction)

    def _extend_request(self, check: AnswerCheck, finished: Finished) -> Request:
        """Build the request of a repair, or raise the error of an answer that cannot be repaired.

        Each repair extends the first request, so that failed repairs do not pile up in it.
        """
        if not check.is_repairable:
            raise check.build_error(finished)
        if check.missing == "answer":
            return replace(self._request, tools=None)  # with them it would announce one again
        messages = [*self._request.messages, *check.build_repair_messages()]
        return replace(self._request, messages=messages)

    def _create_check(self) -> AnswerCheck | None:
        if not self._model_input.expected_answer.is_checked:
            return None
        # Imported here, because most answers are not checked: only those with tools or a format.
        from replicate_stream._response.check import AnswerCheck

        return AnswerCheck(self._model_input.expected_answer)

    def _read_own_usage(self) -> Usage | None:
        """Read what the newest prediction alone has used."""
        observation = self._run.observation
        if observation is None:
            return read_usage(self._run.prediction)
        return observation.read_usage(self._run.prediction)

    def _is_cut_off(self) -> bool:
        """Return True if the answer is as long as it may be, by the request or by default."""
        limit = self._model_input.max_tokens or self._model_input.default_max_tokens
        if limit is None or limit <= 0:
            return False
        usage = read_usage(self._run.prediction)
        return usage is not None and limit <= usage.output_tokens

    def _build_finished(self, parser: AnswerParser) -> Finished:
        """Build the last event, with the tokens of all predictions together."""
        usage = self._read_own_usage()
        reason = derive_finish_reason(
            usage,  # of this prediction alone: max_tokens bounds each by itself
            self._model_input.max_tokens,
            is_stopped=parser.is_stopped,
            has_calls=parser.has_calls,
        )
        prediction = self._run.prediction.without_stream()
        return Finished(reason, _add(self._rejected_usage, usage), prediction)


def _add(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _new_call_id() -> str:
    return f"call_{uuid.uuid4().hex}"

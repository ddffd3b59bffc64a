"""The events of an answer: the only place where what a stream brings becomes an event of a chat.

An answer that is not what was asked for is asked for again, while nobody has seen any of it.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replicate_stream._errors import AnswerFormatError
from replicate_stream._lazy import public
from replicate_stream._request.prepare import PreparedInput
from replicate_stream._types.messages import (
    Completion,
    Finished,
    Message,
    ReasoningDelta,
    StatusChanged,
    StreamEvent,
)
from replicate_stream._types.prediction import Prediction, Usage, read_usage

if TYPE_CHECKING:
    from replicate_stream._api.predictions import PredictionRun
    from replicate_stream._response.parser import AnswerParser
    from replicate_stream._types.prepared import ExpectedAnswer

Again = Callable[..., Awaitable["tuple[PredictionRun, PreparedInput]"]]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How an answer is told.

    Attributes:
        include_usage: Whether to ask for the token counts.
        max_repairs: How often it is asked for again.
        is_whole: Whether nothing is told before the end, so that it can always be asked for again.
    """

    include_usage: bool = True
    max_repairs: int = 1
    is_whole: bool = False


@public
class EventStream:
    """The events of one answer. Got from `Client.stream`, which also closes it."""

    def __init__(
        self, run: PredictionRun, prepared: PreparedInput, again: Again, told: StreamOptions
    ) -> None:
        self._run = run
        self._prepared = prepared
        self._again = again
        self._told = told
        self._events = self._tell()

    @property
    def prediction(self) -> Prediction:
        """The prediction as last seen."""
        return self._run.prediction

    def __aiter__(self) -> AsyncGenerator[StreamEvent, None]:
        return self._events

    async def __anext__(self) -> StreamEvent:
        return await self._events.__anext__()

    async def aclose(self) -> None:
        """End the answer: cancel the prediction if it has not ended, and wait for that."""
        try:
            await self._run.cancel()
        finally:
            await self._events.aclose()

    def abandon(self) -> None:
        """End the answer from where nothing can be awaited: the prediction is cancelled."""
        self._run.abandon()

    async def _tell(self) -> AsyncGenerator[StreamEvent, None]:
        from replicate_stream._response.parser import AnswerParser

        spent: Usage | None = None
        repairs = self._told.max_repairs
        while True:
            run, reading = self._run, self._prepared.reading
            answer = AnswerParser(self._prepared.stop, reading, _new_id)
            check = _Check(self._told, reading) if reading.is_checked else None
            status = ""
            async with aclosing(run.batches()) as batches:
                yield StatusChanged(status := run.prediction.status)
                async for batch in batches:
                    if run.prediction.status != status and not run.prediction.is_terminal:
                        yield StatusChanged(status := run.prediction.status)
                    if isinstance(batch, Prediction):
                        continue
                    events = answer.feed(batch)
                    for event in events if check is None else check.see(events):
                        yield event
                    if answer.is_stopped:
                        break
            rest = answer.flush()
            for event in rest if check is None else check.end(rest, may_repeat=repairs > 0):
                yield event
            spent = _sum(spent, await self._account(is_stopped=answer.is_stopped))
            finished = self._finished(answer, spent)
            if check is None or check.problem is None or check.is_last:
                break
            if not check.is_again:
                raise AnswerFormatError(check.problem, completion=check.completion(finished))
            repairs -= 1
            self._run, self._prepared = await self._again(*check.complaint())
        yield finished

    async def _account(self, *, is_stopped: bool) -> Usage | None:
        if is_stopped:
            await self._run.cancel()
        elif self._told.include_usage:
            await self._run.account()
        return read_usage(self._run.prediction)

    def _finished(self, answer: AnswerParser, spent: Usage | None) -> Finished:
        from replicate_stream._response.parser import finish_reason

        prediction = self._run.prediction.without_stream()
        reason = finish_reason(
            read_usage(prediction),
            self._prepared.max_tokens,
            is_stopped=answer.is_stopped,
            has_calls=answer.has_calls,
        )
        return Finished(reason, spent, prediction)


class _Check:
    """Keeps an answer that may not be what was asked for.

    Attributes:
        problem: After the end: what is wrong with the answer; None for nothing.
        is_again: Whether it is asked for again.
        is_last: Whether it is handed on, whatever is wrong with it.
    """

    def __init__(self, told: StreamOptions, reading: ExpectedAnswer) -> None:
        from replicate_stream._response.parser import CompletionBuilder

        self.problem: str | None = None
        self.is_again = self.is_last = False
        self._is_whole = told.is_whole
        self._is_told = False  # whether any of it was told already: its thoughts do not count
        self._reading = reading
        self._kept: list[StreamEvent] = []
        self._answer = CompletionBuilder()

    def see(self, events: Iterable[StreamEvent]) -> Iterable[StreamEvent]:
        """Note events; gives those that can be told by now."""
        noted = list(events)
        for event in noted:
            self._answer.add(event)
        if self._is_whole:
            self._kept += noted
            return []
        self._is_told = self._is_told or not all(isinstance(e, ReasoningDelta) for e in noted)
        return noted

    def end(self, rest: Iterable[StreamEvent], *, may_repeat: bool) -> Iterable[StreamEvent]:
        """Note the last events and judge the answer; gives what is still to be told of it."""
        from replicate_stream._response.check import is_of_another, problem_of

        for event in rest:
            self._answer.add(event)
            self._kept.append(event)
        calls = self._answer.tool_calls
        self.problem = problem_of(self._reading, self._answer.text, calls)
        is_usable = bool(calls) and not is_of_another(self._reading, calls)
        self.is_again = self.problem is not None and may_repeat and not self._is_told
        self.is_last = not self.is_again and (self.problem is None or is_usable)
        return self._kept if self.is_last else []

    def completion(self, finished: Finished) -> Completion:
        """The whole answer."""
        self._answer.add(finished)
        return self._answer.completion()

    def complaint(self) -> list[Message]:
        """What to say to the model so that it tries again."""
        from replicate_stream._response.check import remedy_of

        text, calls = self._answer.text, self._answer.tool_calls
        remedy = remedy_of(self._reading)
        complaint = Message("user", f"That answer will not do: {self.problem}. {remedy}")
        said = Message("assistant", text, tool_calls=calls)
        return [said, complaint] if text or calls else [complaint]


def _sum(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return other if one is None else one
    return Usage(one.input_tokens + other.input_tokens, one.output_tokens + other.output_tokens)


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex}"

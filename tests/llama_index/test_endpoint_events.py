"""Events, spans and token counts of each endpoint, however its call ends."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from threading import Thread
from typing import Any

import pytest
from anyio import create_task_group
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr

import replicate_stream as core
from replicate_stream.testing import Emulator, Fault, Reply

PLAIN = ["chat", "complete"]
ASYNC = ["achat", "acomplete"]
STREAMS = ["stream_chat", "stream_complete"]
ASYNC_STREAMS = ["astream_chat", "astream_complete"]
WAYS = [*PLAIN, *ASYNC, *STREAMS, *ASYNC_STREAMS]
ANSWER = Reply(["a", "b", "c"], metrics={"input_token_count": 5, "output_token_count": 7})
ENDLESS = Reply(
    ["a"] * 2000, delays=[0.01] * 2000, metrics={"input_token_count": 5, "output_token_count": 7}
)


class Recorder(BaseEventHandler):
    """Keeps the names of the events of LLMs, and of the ends that the framework has for errors."""

    _names: list[str] = PrivateAttr(default_factory=list)

    def handle(self, event: Any, **_: Any) -> None:
        self._names.append(type(event).__name__)


class Witness:
    """All handlers of the framework at once."""

    def __init__(self) -> None:
        self.counter = TokenCountingHandler()
        self.debug = LlamaDebugHandler(print_trace_on_end=False)
        self.callback_manager = CallbackManager([self.counter, self.debug])
        self.recorder = Recorder()
        self.spans = SimpleSpanHandler()

    @property
    def counts(self) -> list[tuple[int, int]]:
        """The tokens of each call."""
        counts = self.counter.llm_token_counts
        return [(each.prompt_token_count, each.completion_token_count) for each in counts]

    def check(self, method: str, end: str) -> None:
        """Check that there is one start and one end, and which event is the end."""
        ((_, ended),) = self.debug.get_event_pairs(CBEventType.LLM)
        is_answer = end == "EndEvent"
        assert (EventPayload.EXCEPTION in (ended.payload or {})) is not is_answer
        kind = "LLMChat" if "chat" in method else "LLMCompletion"
        first, *middle, last = self.recorder._names
        assert first == f"{kind}StartEvent"
        assert set(middle) <= {f"{kind}InProgressEvent"}
        assert last == (f"{kind}{end}" if is_answer else end)
        assert self.spans.open_spans == {}
        assert len(self.spans.completed_spans) + len(self.spans.dropped_spans) == 1


@pytest.fixture
def witness() -> Iterator[Witness]:
    """Handlers of everything, at the root of the framework's instrumentation."""
    made, dispatcher = Witness(), get_dispatcher()
    dispatcher.add_event_handler(made.recorder)
    dispatcher.add_span_handler(made.spans)
    yield made
    dispatcher.event_handlers.remove(made.recorder)
    dispatcher.span_handlers.remove(made.spans)


@pytest.mark.parametrize("method", WAYS)
async def test_an_answer_is_counted_once(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, witness: Witness, method: str
) -> None:
    replicate_emulator.reply = ANSWER
    await ask(make_llm(callback_manager=witness.callback_manager), method)
    assert witness.counts == [(5, 7)]
    witness.check(method, "EndEvent")


@pytest.mark.parametrize("is_begun", [False, True], ids=["refused", "failed in the middle"])
@pytest.mark.parametrize("method", WAYS)
async def test_an_error_ends_what_has_begun(
    make_llm: Any,
    ask: Any,
    replicate_emulator: Emulator,
    witness: Witness,
    method: str,
    is_begun: bool,
) -> None:
    replicate_emulator.reply = Reply(["a", "b"], status="failed")
    model = replicate_emulator.model if is_begun else "no/model"
    llm = make_llm(model=model, callback_manager=witness.callback_manager)
    with pytest.raises(core.PredictionFailedError if is_begun else core.ModelNotFoundError):
        await ask(llm, method)
    # The framework's own count of a call that failed; its event has no place for another.
    assert witness.counts == [(0, 0)]
    witness.check(method, "ExceptionEvent" if "stream" in method else "SpanDropEvent")


@pytest.mark.parametrize("method", WAYS)
async def test_an_unknown_argument_reaches_no_handler(
    make_llm: Any, ask: Any, witness: Witness, method: str
) -> None:
    """It may be a token, which the call does not take."""
    llm = make_llm(callback_manager=witness.callback_manager)
    with pytest.raises(TypeError, match="has no argument 'api_key'"):
        await ask(llm, method, api_key="r8_FAKE_TOKEN")
    assert witness.recorder._names == []
    assert witness.debug.get_events() == []
    assert len(witness.spans.completed_spans) + len(witness.spans.dropped_spans) == 0


def get_last_response(witness: Witness, method: str) -> Any:
    """Return the response that a handler got at the end of a call."""
    ((_, ended),) = witness.debug.get_event_pairs(CBEventType.LLM)
    payload: Any = ended.payload
    return payload[EventPayload.RESPONSE if "chat" in method else EventPayload.COMPLETION]


@pytest.mark.parametrize("method", [*STREAMS, *ASYNC_STREAMS])
@pytest.mark.parametrize("count", [1, 3])
async def test_a_stream_that_is_left_has_the_usage_of_its_record(
    make_llm: Any,
    call: Callable[..., Any],
    replicate_emulator: Emulator,
    witness: Witness,
    method: str,
    count: int,
) -> None:
    replicate_emulator.reply = ENDLESS
    await read_and_leave(
        call(make_llm(callback_manager=witness.callback_manager), method),
        lambda responses: len(responses) == count,
    )
    assert witness.counts == [(5, 7)]
    witness.check(method, "EndEvent")
    last = get_last_response(witness, method)
    assert last.raw["status"] == last.raw["finish_reason"] == "canceled"
    assert str(last).removeprefix("assistant: ") == "a" * count
    assert len(replicate_emulator.cancels) == 1


async def read_and_leave(stream: Any, is_enough: Callable[[list[Any]], bool]) -> None:
    """Read a stream of either kind as far as is enough, and close it."""
    responses: list[Any] = []
    is_blocking = isinstance(stream, Iterator)
    stream = stream if is_blocking else await stream
    while not is_enough(responses):
        responses.append(next(stream) if is_blocking else await anext(stream))
    if is_blocking:
        stream.close()
    else:
        await stream.aclose()


@pytest.mark.parametrize("method", [*STREAMS, *ASYNC_STREAMS])
async def test_a_stream_that_is_left_at_its_last_response_is_a_whole_answer(
    make_llm: Any,
    call: Callable[..., Any],
    replicate_emulator: Emulator,
    witness: Witness,
    method: str,
) -> None:
    replicate_emulator.reply = ANSWER
    await read_and_leave(
        call(make_llm(callback_manager=witness.callback_manager), method),
        lambda responses: bool(responses) and responses[-1].raw is not None,
    )
    assert get_last_response(witness, method).raw["finish_reason"] == "stop"
    assert witness.counts == [(5, 7)]
    witness.check(method, "EndEvent")
    assert replicate_emulator.cancels == []


@pytest.mark.parametrize("method", STREAMS)
@pytest.mark.parametrize("is_merged", [False, True])
def test_a_blocking_stream_is_counted_when_the_loop_over_it_is_left(
    make_llm: Any,
    call: Callable[..., Any],
    replicate_emulator: Emulator,
    witness: Witness,
    method: str,
    is_merged: bool,
) -> None:
    replicate_emulator.reply = ENDLESS
    llm = make_llm(callback_manager=witness.callback_manager, coalesce=is_merged)
    for _ in call(llm, method):
        break
    assert witness.counts == [(5, 7)]
    witness.check(method, "EndEvent")


@pytest.mark.parametrize("method", STREAMS)
def test_a_blocking_stream_that_is_left_during_a_long_silence_has_its_usage(
    make_llm: Any,
    call: Callable[..., Any],
    replicate_emulator: Emulator,
    witness: Witness,
    method: str,
) -> None:
    replicate_emulator.reply = Reply(["a", "b"], delays=[0, 3600], metrics=ENDLESS.metrics)
    stream = call(make_llm(callback_manager=witness.callback_manager), method)
    next(stream)
    stream.close()
    assert witness.counts == [(5, 7)]
    witness.check(method, "EndEvent")


@pytest.mark.parametrize("method", STREAMS)
def test_a_blocking_stream_waits_only_a_short_time_for_its_record(
    make_llm: Any,
    call: Callable[..., Any],
    replicate_emulator: Emulator,
    witness: Witness,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("replicate_stream.adapters._LEAVE_TIMEOUT", 0.01)
    replicate_emulator.reply = ENDLESS
    replicate_emulator.fault(Fault(on="cancel", delay=2))
    stream = call(make_llm(callback_manager=witness.callback_manager), method)
    next(stream)
    stream.close()
    last = get_last_response(witness, method)
    assert (last.raw["status"], last.raw["usage"]) == ("processing", {})
    witness.check(method, "EndEvent")


@pytest.mark.parametrize("method", STREAMS)
def test_a_blocking_stream_that_another_thread_closes_ends_without_usage(
    make_llm: Any,
    call: Callable[..., Any],
    replicate_emulator: Emulator,
    witness: Witness,
    method: str,
) -> None:
    replicate_emulator.reply = ENDLESS
    # As a web server does that reads it in threads, and drops it in the event loop's.
    stream = call(make_llm(callback_manager=witness.callback_manager), method)
    next(stream)
    closer = Thread(target=stream.close)
    closer.start()
    closer.join()
    replicate_emulator.wait_for(lambda e: len(e.cancels) == 1)
    assert witness.counts == [(0, 0)]
    witness.check(method, "ExceptionEvent")


@pytest.mark.parametrize("method", ASYNC)
async def test_a_cancelled_call_ends_what_has_begun(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, witness: Witness, method: str
) -> None:
    replicate_emulator.reply = ENDLESS
    task = asyncio.create_task(ask(make_llm(callback_manager=witness.callback_manager), method))
    await replicate_emulator.wait_for_async(lambda e: e.streams_open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert witness.counts == [(0, 0)]
    witness.check(method, "SpanDropEvent")


@pytest.mark.parametrize("delay", [0.01, 3600], ids=["text arrives", "no token yet"])
@pytest.mark.parametrize("scope", ["task", "timeout", "anyio", "cancel_on_exit"])
@pytest.mark.parametrize("method", ASYNC_STREAMS)
async def test_a_cancelled_stream_has_the_usage_of_its_record(
    make_llm: Any,
    call: Callable[..., Any],
    replicate_emulator: Emulator,
    witness: Witness,
    method: str,
    scope: str,
    delay: float,
) -> None:
    replicate_emulator.reply = Reply(["a"] * 2000, delays=[delay] * 2000, metrics=ENDLESS.metrics)
    responses: list[Any] = []
    is_open = asyncio.Event()

    async def read() -> None:
        stream = await call(make_llm(callback_manager=witness.callback_manager), method)
        if scope == "cancel_on_exit":
            stream = core.cancel_on_exit(stream)
        async for response in stream:
            responses.append(response)  # noqa: PERF401 - those before the cancellation are kept

    async def wait() -> None:
        await replicate_emulator.wait_for_async(lambda e: e.streams_open == 1)
        is_open.set()

    waiting = asyncio.create_task(wait())
    if scope == "timeout":
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(read(), 1)
    elif scope == "anyio":
        async with create_task_group() as group:
            group.start_soon(read)
            await is_open.wait()
            group.cancel_scope.cancel()
    else:
        task = asyncio.create_task(read())
        await is_open.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await waiting
    await replicate_emulator.wait_for_async(lambda _: bool(witness.counts))
    assert witness.counts == [(5, 7)]
    witness.check(method, "EndEvent")
    last = get_last_response(witness, method)
    assert last.raw["status"] == last.raw["finish_reason"] == "canceled"
    assert [each.raw for each in responses] == [None] * len(responses)  # none for the reader
    assert len(replicate_emulator.cancels) == 1


@pytest.mark.parametrize("method", ASYNC_STREAMS)
async def test_a_stream_that_is_cancelled_before_it_is_open_has_no_answer(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, witness: Witness, method: str
) -> None:
    replicate_emulator.fault(Fault(on="create", delay=30))
    task = asyncio.create_task(ask(make_llm(callback_manager=witness.callback_manager), method))
    await replicate_emulator.wait_for_async(lambda e: bool(e.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert witness.counts == [(0, 0)]
    witness.check(method, "ExceptionEvent")


class Keeper(SimpleSpanHandler):
    """Keeps the arguments of the calls, as handlers that export them do."""

    _arguments: list[str] = PrivateAttr(default_factory=list)

    def new_span(self, id_: str, bound_args: Any, *args: Any, **kwargs: Any) -> Any:
        arguments = bound_args.arguments
        self._arguments.append(f"{arguments} {json.dumps(arguments, default=str)}")
        return super().new_span(id_, bound_args, *args, **kwargs)


class EventKeeper(BaseEventHandler):
    """Keeps the events as text."""

    _events: list[str] = PrivateAttr(default_factory=list)

    def handle(self, event: Any, **_: Any) -> None:
        self._events.append(f"{event!r} {event.model_dump()} {pickle.dumps(event)!r}")


@pytest.mark.parametrize("is_found", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("name", ["additional_kwargs", "extra_input"])
@pytest.mark.parametrize("method", WAYS)
async def test_no_handler_sees_the_secret_inputs_of_a_call(
    make_llm: Any,
    ask: Any,
    replicate_emulator: Emulator,
    method: str,
    name: str,
    is_found: bool,
) -> None:
    secret = {"type": "string", "format": "password", "x-cog-secret": True}
    inputs = {"prompt": {"type": "string"}, "door": secret, "style": {"type": "string"}}
    replicate_emulator.add_model("acme/vault", {"type": "object", "properties": inputs})
    spans, events, debug = Keeper(), EventKeeper(), LlamaDebugHandler(print_trace_on_end=False)
    dispatcher = get_dispatcher()
    dispatcher.add_span_handler(spans)
    dispatcher.add_event_handler(events)
    llm = make_llm(model="acme/vault", callback_manager=CallbackManager([debug]), max_retries=0)
    if not is_found:
        replicate_emulator.fault(Fault(on="model", status=500), times=None)
    given = {name: {"door": "0penSesame", "style": "plain"}}
    try:
        with nullcontext() if is_found else pytest.raises(core.ResponseError):
            await ask(llm, method, **given)
    finally:
        dispatcher.span_handlers.remove(spans)
        dispatcher.event_handlers.remove(events)
    pairs = debug.get_event_pairs(CBEventType.LLM)
    seen = (
        f"{spans._arguments} {events._events} {[each.payload for pair in pairs for each in pair]}"
    )
    assert "0penSesame" not in seen
    assert ("plain" in seen) is is_found
    if is_found:
        (prediction,) = replicate_emulator.predictions.values()
        assert (prediction.input["door"], prediction.input["style"]) == ("0penSesame", "plain")
    assert given == {name: {"door": "0penSesame", "style": "plain"}}

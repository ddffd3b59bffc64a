"""Events and spans of a call, as the framework's handlers receive them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.callbacks.schema import CBEventType
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr

import replicate_stream as core
from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator, Reply

WAYS = ["chat", "complete", "achat", "acomplete", "stream_chat", "stream_complete"]
WAYS += ["astream_chat", "astream_complete"]


class Recorder(BaseEventHandler):
    """Keeps the events of an LLM."""

    _events: list[Any] = PrivateAttr(default_factory=list)

    def handle(self, event: Any, **_: Any) -> None:
        if type(event).__name__.startswith("LLM"):
            self._events.append(event)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """The events of the LLM, as the framework's instrumentation sees them."""
    recorder = Recorder()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(recorder)
    yield recorder._events
    dispatcher.event_handlers.remove(recorder)


@pytest.fixture
def spans() -> Iterator[SimpleSpanHandler]:
    """The spans that were ended."""
    handler = SimpleSpanHandler()
    dispatcher = get_dispatcher()
    dispatcher.add_span_handler(handler)
    yield handler
    dispatcher.span_handlers.remove(handler)


@pytest.mark.parametrize("method", WAYS)
async def test_a_call_is_one_start_and_one_end(
    llm: Replicate, ask: Any, events: list[Any], words: list[str], method: str
) -> None:
    await ask(llm, method)
    names = [type(event).__name__ for event in events]
    kind = "LLMChat" if "chat" in method else "LLMCompletion"
    chunks = len([*filter(None, words)]) + 1 if "stream" in method else 0
    middle = [f"{kind}InProgressEvent"] * chunks
    assert names == [f"{kind}StartEvent", *middle, f"{kind}EndEvent"]


@pytest.mark.parametrize("method", WAYS)
async def test_a_call_is_one_event_for_callback_handlers(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = ["a", "b"]
    handler = LlamaDebugHandler(print_trace_on_end=False)
    await ask(make_llm(callback_manager=CallbackManager([handler])), method)
    ((started, ended),) = handler.get_event_pairs(CBEventType.LLM)
    assert (started.payload, ended.payload) != (None, None)


@pytest.mark.parametrize("method", WAYS)
async def test_a_call_is_one_span_by_its_own_name(
    llm: Replicate, ask: Any, spans: SimpleSpanHandler, method: str
) -> None:
    await ask(llm, method)
    assert [span.id_.rpartition("-")[0].split("-")[0] for span in spans.completed_spans] == [
        f"Replicate.{method}"
    ]


@pytest.mark.parametrize("method", WAYS)
async def test_events_hold_no_secret_and_not_the_stream_itself(
    llm: Replicate, ask: Any, replicate_emulator: Emulator, events: list[Any], method: str
) -> None:
    await ask(llm, method)
    assert not any(replicate_emulator.token in str(event.model_dump()) for event in events)
    start = events[0]
    assert start.additional_kwargs == {}


@pytest.mark.parametrize("method", WAYS)
async def test_a_token_counter_counts_a_call_once(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = Reply(
        tokens=["a", "b"], metrics={"input_token_count": 5, "output_token_count": 7}
    )
    counter = TokenCountingHandler()
    await ask(make_llm(callback_manager=CallbackManager([counter])), method)
    assert len(counter.llm_token_counts) == 1
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (5, 7)


@pytest.mark.parametrize("method", WAYS)
async def test_tokens_that_the_model_does_not_count_the_frameworks_tokenizer_counts(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = Reply(tokens=["The quick", " brown fox"], token_counts=None)
    counter = TokenCountingHandler()
    await ask(make_llm(callback_manager=CallbackManager([counter])), method)
    # 4 words; a chat's answer is counted with "assistant: ", which is 2 more.
    assert counter.completion_llm_token_count == (6 if "chat" in method else 4)
    assert counter.prompt_llm_token_count > 0


@pytest.mark.parametrize("method", WAYS)
async def test_a_failed_call_has_no_end_event(
    make_llm: Any, ask: Any, events: list[Any], method: str
) -> None:
    with pytest.raises(core.ModelNotFoundError):
        await ask(make_llm(model="no/model"), method)
    kind = "LLMChat" if "chat" in method else "LLMCompletion"
    assert [type(event).__name__ for event in events] == [f"{kind}StartEvent"]

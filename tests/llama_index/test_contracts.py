"""Contracts of the framework's own tests, and the tests here that restate them.

Their files are under `llama-index-core/tests`; none of them is copied.

    llms/test_callbacks.py                    test_llm.py (prompts by name, missing and double;
                                              empty answers), test_stream_callbacks.py,
                                              test_fields.py (traces), and below
    llms/test_custom.py                       test_llm.py, all eight endpoints
    llms/test_function_calling.py             test_tools.py, `predict_and_call`
    llms/test_predict_and_call.py             test_tools.py, with a ReAct agent
    llms/test_structured_llm.py               test_structured_output.py
    llms/test_instrumentation_events.py       below
    llms/test_mock.py                         test_differential.py
    program/test_function_program.py          test_structured_output.py
    program/test_utils.py                     test_tools.py, partial calls for programs
    program/test_streaming_utils.py           test_structured_output.py, growing objects
    agent/workflow/test_single_agent_…        test_agents.py, test_differential.py
    agent/workflow/test_multi_agent_…         test_agents.py, the hand-off
    agent/workflow/test_agent_with_struct…    test_agents.py, a result that is an object
    agent/workflow/test_return_direct_e2e.py  test_agents.py, a tool's own answer
    agent/workflow/test_thinking_delta.py     test_agents.py, a call while it grows
    agent/workflow/test_tool_streaming.py     test_agents.py, the same
    agent/workflow/test_react_agent.py        test_agents.py
    agent/workflow/test_code_act_agent.py     test_agents.py
    agent/workflow/test_function_agent_reasoning_only.py   below: the recovery is not in the
                                              installed release, what it needs of a model is
    agent/workflow/test_function_call.py      not: it is about the framework's own functions
    chat_engine/test_simple.py, test_context.py, test_condense_question.py,
    test_condense_plus_context.py, test_streaming_history.py   test_chat_engines.py
    integrations: llms-openai/test_openai.py, llms-ollama/test_llms_ollama.py
                                              test_to_core.py, test_tools.py: inputs
    integrations: test_http_client.py         test_fields.py, a shared client
    integrations: test_retry_after.py         tests/core/api/test_http.py: the core's task
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import ChatResponse, ThinkingBlock
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import ChatMessage, CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator, Reply

HI = [ChatMessage(role="user", content="Hi")]
COUNTED = {"input_token_count": 5, "output_token_count": 7}
PASSWORD, HEADER = "FAKE_PASSWORD", "FAKE_HEADER_SECRET"


def weather(city: str) -> str:
    """Get the weather of a city."""
    return f"sunny in {city}"


WEATHER = FunctionTool.from_defaults(weather)
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>'


class Dumper(BaseEventHandler):
    """Keeps all events as a tracer would send them."""

    _dumped: list[str] = PrivateAttr(default_factory=list)

    def handle(self, event: Any, **_: Any) -> None:
        self._dumped.append(f"{type(event).__name__} {event.model_dump()}")


@pytest.fixture
def dumper() -> Iterator[Dumper]:
    """All events of the framework, dumped as they come."""
    dumper = Dumper()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(dumper)
    yield dumper
    dispatcher.event_handlers.remove(dumper)


@pytest.fixture
def spans() -> Iterator[SimpleSpanHandler]:
    """All spans of the framework."""
    spans = SimpleSpanHandler()
    dispatcher = get_dispatcher()
    dispatcher.add_span_handler(spans)
    yield spans
    dispatcher.span_handlers.remove(spans)


def test_it_is_an_instance_of_every_base_class_that_the_docs_name() -> None:
    ancestors = [BaseLLM, CustomLLM, FunctionCallingLLM]
    assert all(ancestor in Replicate.__mro__ for ancestor in ancestors)


async def test_what_a_tracer_does_with_a_response_does_not_change_it(
    make_llm: Any, replicate_emulator: Emulator, dumper: Dumper
) -> None:
    replicate_emulator.reply = Reply(tokens=["<think>Hm", "</think>", CALL], metrics=COUNTED)
    llm = make_llm()
    stream = await llm.astream_chat_with_tools([WEATHER], chat_history=HI)
    seen: list[ChatResponse] = []
    kept: list[ChatResponse] = []
    async for response in stream:
        seen.append(response)
        kept.append(copy.deepcopy(response))
    assert len(seen) > 3
    assert [each.model_dump() for each in seen] == [each.model_dump() for each in kept]
    assert len({id(each.message) for each in seen}) == len(seen)
    assert len({id(each.additional_kwargs) for each in seen}) == len(seen)
    assert any("LLMChatInProgressEvent" in each for each in dumper._dumped)


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
async def test_nothing_that_handlers_get_holds_a_secret(
    make_llm: Any, replicate_emulator: Emulator, dumper: Dumper, spans: SimpleSpanHandler
) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = make_llm(
        default_headers={"X-Key": HEADER},
        callback_manager=CallbackManager([debug]),
        temperature=0.5,
    )
    replicate_emulator.enqueue(CALL)
    replicate_emulator.enqueue("Sunny.")
    assert str(await FunctionAgent(tools=[WEATHER], llm=llm).run("Hi")) == "Sunny."
    replicate_emulator.reply = "Hello."
    await llm.acomplete("Hi")
    list(llm.stream_chat(HI))
    shown = [*dumper._dumped, *(str(span.model_dump()) for span in spans.completed_spans)]
    shown += [str(event.payload) for event in debug.get_events()]
    assert len(shown) > 20
    for secret in (replicate_emulator.token, HEADER):
        assert not any(secret in text for text in shown)
    starts = [text for text in dumper._dumped if text.startswith("LLMChatStartEvent")]
    assert all("'temperature': 0.5" in text for text in starts)


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
@pytest.mark.parametrize("streaming", [True, False])
async def test_the_tokens_of_a_run_are_those_that_were_paid(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool
) -> None:
    for tokens in ("I'd rather not.", CALL, "Sunny."):  # the first is asked for again
        replicate_emulator.enqueue(Reply(tokens=[tokens], metrics=COUNTED))
    counter = TokenCountingHandler()
    agent = FunctionAgent(
        tools=[WEATHER],
        llm=make_llm(callback_manager=CallbackManager([counter])),
        initial_tool_choice="weather",
        streaming=streaming,
    )
    assert str(await agent.run("Hi")) == "Sunny."
    counts = [
        (each.prompt_token_count, each.completion_token_count) for each in counter.llm_token_counts
    ]
    assert counts == [(10, 14), (5, 7)]
    assert len(replicate_emulator.predictions) == 3


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
@pytest.mark.parametrize("streaming", [True, False])
async def test_an_answer_that_is_only_thought_is_kept_apart_for_who_wants_it(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool
) -> None:
    replicate_emulator.reply = ["<think>", "It is 42.", "</think>"]
    agent: Any = FunctionAgent(tools=[WEATHER], llm=make_llm(), streaming=streaming)
    result = await agent.run("Hi")
    (thought,) = [b for b in result.response.blocks if isinstance(b, ThinkingBlock)]
    assert thought.content == "It is 42."
    assert result.response.content == ""


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat", "stream_complete"])
async def test_a_stream_that_fails_ends_with_its_error_and_no_answer(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, dumper: Dumper, method: str
) -> None:
    replicate_emulator.reply = Reply(tokens=["a", "b"], error="boom")
    with pytest.raises(Exception, match="boom"):
        await ask(make_llm(), method)
    kind = "LLMChat" if "chat" in method else "LLMCompletion"
    names = [text.split()[0] for text in dumper._dumped]
    assert names[0] == f"{kind}StartEvent"
    assert f"{kind}InProgressEvent" in names
    assert "ExceptionEvent" in names
    assert f"{kind}EndEvent" not in names


def test_a_model_with_a_secret_in_its_proxy_shows_it_nowhere() -> None:
    llm = Replicate("a/b", api_key="r8_FAKE_TOKEN_FOR_TESTS", proxy=f"http://u:{PASSWORD}@p:1")
    for shown in (repr(llm), str(llm.to_dict()), llm.to_json(), str(llm.to_payload())):
        assert PASSWORD not in shown
        assert "FAKE_TOKEN" not in shown

"""LangChain's middleware for agents: retries and summaries."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, SummarizationMiddleware
from langchain_core.exceptions import ModelConnectionError, ModelNotFoundError

from langchain_replicate_stream import ChatReplicate, errors
from replicate_stream.testing import Emulator, Fault, Reply

MakeLLM = Callable[..., ChatReplicate]


def weather(city: str) -> str:
    """Get the weather of a city."""
    return f"It is sunny in {city}."


def get_prompts(emulator: Emulator) -> list[str]:
    """Return the inputs of all predictions, in their order."""
    return [json.dumps(dict(prediction.input)) for prediction in emulator.predictions.values()]


async def test_the_retry_middleware_repeats_a_transient_failure(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.enqueue(Reply(error="Prediction interrupted; please retry (code: PA)"))
    replicate_emulator.enqueue("Sunny.")
    again = ModelRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False)
    agent: Any = create_agent(make_llm(), [weather], middleware=[again])
    state = await agent.ainvoke({"messages": "How is the weather?"})
    assert state["messages"][-1].content == "Sunny."
    assert len(replicate_emulator.predictions) == 2


async def test_the_retry_middleware_does_not_repeat_a_permanent_failure(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    again = ModelRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False, on_failure="error")
    agent: Any = create_agent(make_llm(model="no/model"), [weather], middleware=[again])
    with pytest.raises(ModelNotFoundError):
        await agent.ainvoke({"messages": "Hi"})
    looked_up = [r for r in replicate_emulator.requests if r.path.endswith("/models/no/model")]
    assert len(looked_up) == 1


async def test_the_retry_middleware_does_not_repeat_a_request_that_may_have_been_served(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.fault(Fault(on="create", lose_reply=True))
    again = ModelRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False, on_failure="error")
    agent: Any = create_agent(make_llm(), [weather], middleware=[again])
    with pytest.raises(ModelConnectionError) as caught:
        await agent.ainvoke({"messages": "Hi"})
    assert caught.value.is_retryable is False
    assert len(replicate_emulator.predictions) == 1


@pytest.mark.parametrize("is_told", [True, False])
async def test_with_retry_repeats_such_a_request_unless_it_is_told_which_errors_to_repeat(
    is_told: bool, replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.fault(Fault(on="create", lose_reply=True))
    known = (errors.RateLimitError, errors.TransientFailureError)
    llm = make_llm().with_retry(
        retry_if_exception_type=known if is_told else (Exception,), wait_exponential_jitter=False
    )
    if is_told:
        with pytest.raises(errors.ReplicateConnectionError):
            await llm.ainvoke("Hi")
    else:
        assert (await llm.ainvoke("Hi")).text
    assert len(replicate_emulator.predictions) == (1 if is_told else 2)


def test_the_summarization_middleware_shortens_a_long_conversation(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.enqueue("They talked about owls.")
    replicate_emulator.enqueue("Owls, then.")
    llm = make_llm()
    shorten = SummarizationMiddleware(llm, trigger=("messages", 4), keep=("messages", 1))
    agent: Any = create_agent(llm, [weather], middleware=[shorten])
    turns = [("human", "Owls?"), ("ai", "Birds."), ("human", "And?"), ("ai", "They fly.")]
    state = agent.invoke({"messages": [*turns, ("human", "What did we talk about?")]})
    assert state["messages"][-1].content == "Owls, then."
    assert "They talked about owls." in get_prompts(replicate_emulator)[-1]
    assert "They fly." not in get_prompts(replicate_emulator)[-1]


def test_a_summary_whose_prompt_does_not_fit_is_made_of_a_shorter_one(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.enqueue(Reply(error="the prompt exceeds the context length"))
    replicate_emulator.enqueue("They talked about owls.")
    replicate_emulator.enqueue("Owls, then.")
    llm = make_llm()
    shorten = SummarizationMiddleware(llm, trigger=("messages", 4), keep=("messages", 1))
    agent: Any = create_agent(llm, [weather], middleware=[shorten])
    turns = [("human", "Owls? " * 400), ("ai", "Birds. " * 400)] * 3
    state = agent.invoke({"messages": [*turns, ("human", "What did we talk about?")]})
    assert state["messages"][-1].content == "Owls, then."
    first, second, _ = get_prompts(replicate_emulator)
    assert len(second) < len(first)

"""Agents on models of every family, with the faults that models have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from pydantic import BaseModel, Field

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Reply, ToolUser

MakeLLM = Callable[..., ChatReplicate]
Model = Callable[[Mapping[str, Any]], Reply]
MakeModel = Callable[..., Model]

PARIS = ("weather", {"city": "Paris"})
TOKYO = ("weather", {"city": "Tokyo"})


class Report(BaseModel):
    """A report of the weather."""

    # A scripted model takes the example.
    city: str = Field(examples=["Paris"])
    summary: str


def weather(city: str) -> str:
    """Get the weather of a city."""
    return f"It is sunny in {city}."


@pytest.fixture
def make_hosted(host: Callable[[str, Model], None], make_llm: MakeLLM) -> MakeLLM:
    """Makes a chat model of a family that a scripted model answers for."""

    def make_hosted(family: str, model: Model) -> ChatReplicate:
        host(family, model)
        return make_llm(model=family)

    return make_hosted


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_two_calls_at_once_become_one_answer(
    make_hosted: MakeLLM, family: str, make_tool_user: MakeModel, streaming: bool
) -> None:
    llm = make_hosted(family, make_tool_user(calls=[PARIS, TOKYO]))
    agent: Any = create_agent(llm, [weather])
    inputs: Any = {"messages": "What is the weather in Paris and in Tokyo?"}
    if streaming:
        modes = ["messages", "values"]  # the first makes the framework stream the model
        updates = [each async for each in agent.astream(inputs, stream_mode=modes)]
        messages = updates[-1][1]["messages"]
    else:
        messages = (await agent.ainvoke(inputs))["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "tool", "ai"]
    cities = [call["args"]["city"] for call in messages[1].tool_calls]
    assert cities == ["Paris", "Tokyo"]
    assert messages[-1].text.strip() == "It is sunny in Paris. It is sunny in Tokyo."


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
async def test_an_answer_is_an_object_by_either_strategy(
    make_hosted: MakeLLM, family: str, make_tool_user: MakeModel, strategy: Any
) -> None:
    llm = make_hosted(family, make_tool_user(calls=[PARIS]))
    agent: Any = create_agent(llm, [weather], response_format=strategy(Report))
    state = await agent.ainvoke({"messages": "Report the weather in Paris."})
    assert isinstance(state["structured_response"], Report)
    assert state["structured_response"].city == "Paris"


async def test_a_truncated_call_is_never_run(make_hosted: MakeLLM, family: str) -> None:
    model = ToolUser(calls=[PARIS, TOKYO], truncated=True)
    llm: Any = make_hosted(family, model).bind_tools([weather])
    question = "What is the weather in Paris and in Tokyo?"
    total: Any = None
    async for chunk in llm.astream(question):
        total = chunk if total is None else total + chunk
    for message in (await llm.ainvoke(question), total):
        assert [call["args"] for call in message.tool_calls] == [{"city": "Paris"}]
        # A Llama's second call breaks off in its name: it stays text, and is not lost.
        assert message.invalid_tool_calls or "weather" in message.text

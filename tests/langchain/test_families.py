"""Agents on models of every family, with the faults that models have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from pydantic import BaseModel

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator, ToolUser

MakeLLM = Callable[..., ChatReplicate]


class Report(BaseModel):
    """A report of the weather."""

    city: str
    summary: str


def weather(city: str) -> str:
    """Get the weather of a city."""
    return f"It is sunny in {city}."


@pytest.fixture
def family_of(host: Callable[[str, ToolUser], None], make_llm: MakeLLM) -> MakeLLM:
    """Makes a model of a family, which behaves as it is told."""

    def family_of(family: str, model: ToolUser) -> ChatReplicate:
        host(family, model)
        return make_llm(model=family)

    return family_of


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_two_calls_at_once_become_one_answer(
    family_of: MakeLLM, family: str, tool_user: ToolUser, streaming: bool
) -> None:
    agent: Any = create_agent(family_of(family, tool_user), [weather])
    asked: Any = {"messages": "What is the weather in Paris and in Tokyo?"}
    if streaming:
        modes = ["messages", "values"]  # the first makes the framework stream the model
        told = [each async for each in agent.astream(asked, stream_mode=modes)]
        messages = told[-1][1]["messages"]
    else:
        messages = (await agent.ainvoke(asked))["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "tool", "ai"]
    cities = [call["args"]["city"] for call in messages[1].tool_calls]
    assert cities == ["Paris", "Tokyo"]
    assert messages[-1].text.strip() == "It is sunny in Paris. It is sunny in Tokyo."


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
async def test_an_answer_is_an_object_by_either_strategy(
    family_of: MakeLLM, family: str, tool_user: ToolUser, strategy: Any
) -> None:
    llm = family_of(family, tool_user)
    agent: Any = create_agent(llm, [weather], response_format=strategy(Report))
    state = await agent.ainvoke({"messages": "Report the weather in Paris."})
    assert isinstance(state["structured_response"], Report)
    assert state["structured_response"].city == "Paris"


async def test_what_is_cut_off_is_never_called(
    family_of: MakeLLM, replicate_emulator: Emulator, family: str
) -> None:
    llm: Any = family_of(family, ToolUser(truncated=True)).bind_tools([weather])
    asked = "What is the weather in Paris and in Tokyo?"
    total: Any = None
    async for chunk in llm.astream(asked):
        total = chunk if total is None else total + chunk
    for message in (await llm.ainvoke(asked), total):
        assert [call["args"] for call in message.tool_calls] == [{"city": "Paris"}]
        # A Llama's second call breaks off in its name: that is text, and not lost.
        assert message.invalid_tool_calls or "weather" in message.text

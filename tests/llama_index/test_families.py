"""Agents and objects by models of every family, with the faults that models have.

The model reads the tools out of the prompt in the format that was sent, and answers in that format.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import ToolUser

# The framework's agents look at every attribute of themselves, deprecated ones of pydantic's too.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")

Make = Callable[..., Replicate]


class Report(BaseModel):
    """A report of the weather."""

    city: str
    summary: str


class Place(BaseModel):
    """Where it is."""

    city: str


class Forecast(BaseModel):
    """What `forecast` takes."""

    place: Place
    days: int = 1


def forecast(place: dict[str, str], days: int = 1) -> str:
    """Get the forecast of a place."""
    return f"rain in {place['city']}"


def weather(city: str) -> str:
    """Get the weather of a city."""
    return f"It is sunny in {city}."


@pytest.fixture
def family_of(host: Callable[[str, ToolUser], None], make_llm: Any) -> Make:
    """Makes a model of a family, which behaves as it is told."""

    def family_of(family: str, model: ToolUser) -> Replicate:
        host(family, model)
        llm: Replicate = make_llm(model=family)
        return llm

    return family_of


async def run(agent: Any, said: str) -> tuple[str, list[tuple[str, str]]]:
    """What an agent answers, and what its tools gave."""
    handler = agent.run(said)
    found = [
        (event.tool_name, event.tool_output.content)
        async for event in handler.stream_events()
        if isinstance(event, ToolCallResult)
    ]
    return str(await handler), found


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_two_calls_at_once_become_one_answer(
    family_of: Make, family: str, tool_user: ToolUser, streaming: bool
) -> None:
    agent = FunctionAgent(tools=[weather], llm=family_of(family, tool_user), streaming=streaming)
    answer, found = await run(agent, "What is the weather in Paris and in Tokyo?")
    assert sorted(found) == [
        ("weather", "It is sunny in Paris."),
        ("weather", "It is sunny in Tokyo."),
    ]
    assert "sunny in Paris" in answer
    assert "sunny in Tokyo" in answer


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_an_object_is_made_by_a_call_that_is_required(
    family_of: Make, family: str, tool_user: ToolUser, streaming: bool
) -> None:
    llm, prompt = family_of(family, tool_user), PromptTemplate("Report the weather in {city}.")
    if streaming:
        stream = await llm.astream_structured_predict(Report, prompt, city="Paris")
        seen = [each async for each in stream]
        report: Any = seen[-1]
        assert len(seen) > 2 or family == "acme/caller"
    else:
        report = await llm.astructured_predict(Report, prompt, city="Paris")
    assert isinstance(report, Report)
    assert report.city == "Paris"


async def test_an_answer_that_breaks_off_runs_no_tool(family_of: Make, family: str) -> None:
    agent = FunctionAgent(tools=[weather], llm=family_of(family, ToolUser(truncated=True)))
    _, found = await run(agent, "What is the weather in Paris?")
    assert found == []


async def test_one_agent_hands_over_to_another(family_of: Make, family: str) -> None:
    llm = family_of(family, ToolUser())
    clerk = FunctionAgent(name="clerk", description="Talks.", tools=[], llm=llm)
    expert = FunctionAgent(name="expert", description="Knows weather.", tools=[weather], llm=llm)
    workflow = AgentWorkflow(agents=[clerk, expert], root_agent="clerk")
    answer, found = await run(workflow, "Please handoff to agent expert: the weather in Paris.")
    assert found[0][0] == "handoff"
    assert answer


async def test_a_tool_with_a_nested_argument_is_called(family_of: Make) -> None:
    tool = FunctionTool.from_defaults(forecast, fn_schema=Forecast)
    agent = FunctionAgent(tools=[tool], llm=family_of("some/model", ToolUser()))
    _, found = await run(agent, "What is the forecast in Oslo?")
    assert found == [("forecast", "rain in Oslo")]

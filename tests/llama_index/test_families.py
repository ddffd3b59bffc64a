"""Agents and objects by models of every family, with the faults that models have.

The scripted model reads the tools in the format of the prompt, and calls them in that format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Reply, ToolUser

# The framework's agents look at every attribute of themselves, deprecated ones of pydantic's too.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")

MakeLLM = Callable[..., Replicate]
Model = Callable[[Mapping[str, Any]], Reply]
MakeModel = Callable[..., Model]

PARIS = ("weather", {"city": "Paris"})
TOKYO = ("weather", {"city": "Tokyo"})


class Report(BaseModel):
    """A report of the weather."""

    # A scripted model takes the example.
    city: str = Field(examples=["Paris"])
    summary: str


class Place(BaseModel):
    """A place."""

    city: str


class Forecast(BaseModel):
    """Arguments of `forecast`."""

    place: Place
    days: int = 1


def forecast(place: dict[str, str], days: int = 1) -> str:
    """Get the forecast of a place."""
    return f"rain in {place['city']}"


def weather(city: str) -> str:
    """Get the weather of a city."""
    return f"It is sunny in {city}."


@pytest.fixture
def make_hosted(host: Callable[[str, Model], None], make_llm: MakeLLM) -> MakeLLM:
    """Makes an LLM of a family that a scripted model answers for."""

    def make_hosted(family: str, model: Model) -> Replicate:
        host(family, model)
        return make_llm(model=family)

    return make_hosted


async def run(agent: Any, question: str) -> tuple[str, list[tuple[str, str]]]:
    """Runs an agent; returns its answer, and the names and results of the tools it called."""
    handler = agent.run(question)
    found = [
        (event.tool_name, event.tool_output.content)
        async for event in handler.stream_events()
        if isinstance(event, ToolCallResult)
    ]
    return str(await handler), found


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_two_calls_at_once_become_one_answer(
    make_hosted: MakeLLM, family: str, make_tool_user: MakeModel, streaming: bool
) -> None:
    llm = make_hosted(family, make_tool_user(calls=[PARIS, TOKYO]))
    agent = FunctionAgent(tools=[weather], llm=llm, streaming=streaming)
    answer, found = await run(agent, "What is the weather in Paris and in Tokyo?")
    assert sorted(found) == [
        ("weather", "It is sunny in Paris."),
        ("weather", "It is sunny in Tokyo."),
    ]
    assert "sunny in Paris" in answer
    assert "sunny in Tokyo" in answer


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_an_object_is_made_by_a_call_that_is_required(
    make_hosted: MakeLLM, family: str, make_tool_user: MakeModel, streaming: bool
) -> None:
    llm = make_hosted(family, make_tool_user())
    prompt = PromptTemplate("Report the weather in {city}.")
    if streaming:
        stream = await llm.astream_structured_predict(Report, prompt, city="Paris")
        seen = [each async for each in stream]
        report: Any = seen[-1]
        assert len(seen) > 2 or family == "acme/caller"
    else:
        report = await llm.astructured_predict(Report, prompt, city="Paris")
    assert isinstance(report, Report)
    assert report.city == "Paris"


async def test_an_answer_that_breaks_off_runs_no_tool(make_hosted: MakeLLM, family: str) -> None:
    agent = FunctionAgent(
        tools=[weather], llm=make_hosted(family, ToolUser(calls=[PARIS], truncated=True))
    )
    _, found = await run(agent, "What is the weather in Paris?")
    assert found == []


async def test_one_agent_hands_over_to_another(make_hosted: MakeLLM, family: str) -> None:
    handoff = ("handoff", {"to_agent": "expert", "reason": "It knows weather."})
    llm = make_hosted(family, ToolUser(calls=[handoff]))
    clerk = FunctionAgent(name="clerk", description="Talks.", tools=[], llm=llm)
    expert = FunctionAgent(name="expert", description="Knows weather.", tools=[weather], llm=llm)
    workflow = AgentWorkflow(agents=[clerk, expert], root_agent="clerk")
    answer, found = await run(workflow, "What is the weather in Paris?")
    assert found[0][0] == "handoff"
    assert answer


async def test_a_tool_with_a_nested_argument_is_called(make_hosted: MakeLLM) -> None:
    tool = FunctionTool.from_defaults(forecast, fn_schema=Forecast)
    model = ToolUser(calls=[("forecast", {"place": {"city": "Oslo"}})])
    agent = FunctionAgent(tools=[tool], llm=make_hosted("some/model", model))
    _, found = await run(agent, "What is the forecast in Oslo?")
    assert found == [("forecast", "rain in Oslo")]

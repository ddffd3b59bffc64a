"""Agents and graphs: every turn of them is a prediction, whose prompt holds what came before."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]


class Weather(BaseModel):
    """What the weather is like."""

    city: str
    degrees: float
    advice: str | None = None


@tool
def weather(city: str) -> str:
    """Get the weather of a city."""
    return f"It is sunny in {city}: 21 degrees."


@tool
def population(city: str) -> int:
    """Get how many live in a city."""
    return len(city) * 1000


def refuse(city: str) -> str:
    """Always fails."""
    raise ToolException(f"nobody knows {city}")


def call(name: str, **arguments: Any) -> str:
    """What a model writes to call a tool, in the format that it was told."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def prompts(emulator: Emulator) -> list[str]:
    """What each prediction was given, in their order."""
    return [
        json.dumps(dict(prediction.input), ensure_ascii=False)
        for prediction in emulator.predictions.values()
    ]


def kinds(messages: list[BaseMessage]) -> list[str]:
    return [message.type for message in messages]


@pytest.fixture
def emulator(replicate_emulator: Emulator) -> Emulator:
    """An emulator whose model calls a tool, and then answers."""
    replicate_emulator.enqueue(f"Let me look. {call('weather', city='Kraków')}")
    replicate_emulator.enqueue("It is sunny in Kraków.")
    return replicate_emulator


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_agent_calls_a_tool_and_answers(
    emulator: Emulator, make_llm: MakeLLM, is_async: bool
) -> None:
    agent: Any = create_agent(make_llm(), [weather], system_prompt="Be brief.")
    asked = {"messages": [("human", "How is the weather in Kraków?")]}
    state = await agent.ainvoke(asked) if is_async else agent.invoke(asked)
    human, called, found, answer = state["messages"]
    assert (human.type, called.type, found.type, answer.type) == ("human", "ai", "tool", "ai")
    assert called.content.strip() == "Let me look."
    (tool_call,) = called.tool_calls
    assert (tool_call["name"], tool_call["args"]) == ("weather", {"city": "Kraków"})
    assert found.tool_call_id == tool_call["id"]
    assert answer.content == "It is sunny in Kraków."
    first, second = prompts(emulator)
    assert "Be brief." in first
    assert "Get the weather of a city." in first
    assert "It is sunny in Kraków: 21 degrees." in second
    assert "Get the weather of a city." in second


both_ways = pytest.mark.parametrize(
    "is_async",
    [
        False,
        pytest.param(
            True,
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11),
                reason="LangGraph streams from asynchronous nodes from Python 3.11 on",
            ),
        ),
    ],
)


@both_ways
async def test_an_agents_stream_has_tokens_pieces_of_calls_results_and_the_answer(
    emulator: Emulator, make_llm: MakeLLM, is_async: bool
) -> None:
    agent: Any = create_agent(make_llm(), [weather])
    asked = {"messages": "How is the weather in Kraków?"}
    if is_async:
        told = [one async for one, _ in agent.astream(asked, stream_mode="messages")]
    else:
        told = [one for one, _ in agent.stream(asked, stream_mode="messages")]
    pieces = [
        piece for one in told if isinstance(one, AIMessageChunk) for piece in one.tool_call_chunks
    ]
    assert [piece["name"] for piece in pieces if piece["name"]] == ["weather"]
    assert json.loads("".join(piece["args"] or "" for piece in pieces)) == {"city": "Kraków"}
    (found,) = [one for one in told if isinstance(one, ToolMessage)]
    before, after = told[: told.index(found)], told[told.index(found) + 1 :]
    assert "".join(one.text for one in before).strip() == "Let me look."
    assert "".join(one.text for one in after) == "It is sunny in Kraków."
    assert len(after) > 3


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_agents_events_have_a_stream_for_each_turn(
    emulator: Emulator, make_llm: MakeLLM, is_async: bool
) -> None:
    agent: Any = create_agent(make_llm(), [weather])
    asked = {"messages": "How is the weather in Kraków?"}
    turns: list[AIMessage] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain says of version 3 that it is a beta
        if is_async:
            run: Any = await agent.astream_events(asked, version="v3")
            turns += [await turn.output async for turn in run.messages]
        else:
            run = agent.stream_events(asked, version="v3")
            turns += [turn.output for turn in run.messages]
    called, answer = turns
    assert [c["args"] for c in called.tool_calls] == [{"city": "Kraków"}]
    assert called.text.strip() == "Let me look."
    assert answer.text == "It is sunny in Kraków."


@pytest.mark.parametrize("is_async", [False, True])
async def test_two_tools_are_called_at_once(
    replicate_emulator: Emulator, make_llm: MakeLLM, is_async: bool
) -> None:
    replicate_emulator.enqueue(f"{call('weather', city='Oslo')}\n{call('population', city='Oslo')}")
    replicate_emulator.enqueue("Sunny for four thousand.")
    agent: Any = create_agent(make_llm(), [weather, population])
    asked = {"messages": "Tell me of Oslo."}
    state = await agent.ainvoke(asked) if is_async else agent.invoke(asked)
    assert kinds(state["messages"]) == ["human", "ai", "tool", "tool", "ai"]
    first, second = state["messages"][1].tool_calls
    assert first["id"] != second["id"]
    told = prompts(replicate_emulator)[-1]
    assert told.index("21 degrees") < told.index("4000")


def test_the_model_is_told_that_a_tool_failed_and_may_try_another(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.enqueue(call("refuse", city="Oslo"))
    replicate_emulator.enqueue(call("weather", city="Oslo"))
    replicate_emulator.enqueue("Sunny.")
    failing: BaseTool = tool(refuse)
    failing.handle_tool_error = True
    agent: Any = create_agent(make_llm(), [failing, weather])
    state = agent.invoke({"messages": "How is the weather in Oslo?"})
    assert kinds(state["messages"]) == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert state["messages"][2].status == "error"
    assert "Error: nobody knows Oslo" in prompts(replicate_emulator)[1]


def test_the_model_is_told_of_a_tool_that_there_is_not(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.enqueue(call("forecast", city="Oslo"))
    replicate_emulator.enqueue("Sunny.")
    agent: Any = create_agent(make_llm(), [weather])
    state = agent.invoke({"messages": "How is it in Oslo?"})
    assert state["messages"][1].tool_calls[0]["name"] == "forecast"
    assert state["messages"][2].status == "error"
    assert "forecast is not a valid tool" in prompts(replicate_emulator)[1]


async def test_twenty_turns_are_remembered(replicate_emulator: Emulator, make_llm: MakeLLM) -> None:
    agent: Any = create_agent(make_llm(), [population], checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    for turn in range(20):
        replicate_emulator.enqueue(call("population", city="x" * (turn + 1)))
        replicate_emulator.enqueue(f"Answer {turn}.")
        state = await agent.ainvoke({"messages": f"Question {turn}?"}, thread)
    assert len(state["messages"]) == 80
    assert len({c["id"] for m in state["messages"][1::4] for c in m.tool_calls}) == 20
    told = prompts(replicate_emulator)[-1]
    places = [
        told.index(text)
        for turn in range(20)
        for text in (f"Question {turn}?", f"{turn + 1}000", *([f"Answer {turn}."] * (turn < 19)))
    ]
    assert places == sorted(places)


# Structured answers


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("tools", [[], [weather]], ids=["no tools", "a tool"])
async def test_an_agent_answers_with_an_object_by_the_models_own_json(
    replicate_emulator: Emulator, make_llm: MakeLLM, tools: list[Any], is_async: bool
) -> None:
    if tools:
        replicate_emulator.enqueue(call("weather", city="Oslo"))
    replicate_emulator.enqueue('Here you are:\n```json\n{"city": "Oslo", "degrees": 21}\n```')
    agent: Any = create_agent(make_llm(), tools, response_format=ProviderStrategy(Weather))
    asked = {"messages": "How is the weather in Oslo?"}
    state = await agent.ainvoke(asked) if is_async else agent.invoke(asked)
    assert state["structured_response"] == Weather(city="Oslo", degrees=21)
    assert '"degrees"' in prompts(replicate_emulator)[-1].replace('\\"', '"')
    assert json.loads(state["messages"][-1].content) == {"city": "Oslo", "degrees": 21}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("tools", [[], [weather]], ids=["no tools", "a tool"])
async def test_an_agent_answers_with_an_object_by_a_tool(
    replicate_emulator: Emulator, make_llm: MakeLLM, tools: list[Any], is_async: bool
) -> None:
    if tools:
        replicate_emulator.enqueue(call("weather", city="Oslo"))
    replicate_emulator.enqueue(call("Weather", city="Oslo", degrees=21))
    agent: Any = create_agent(make_llm(), tools, response_format=ToolStrategy(Weather))
    asked = {"messages": "How is the weather in Oslo?"}
    state = await agent.ainvoke(asked) if is_async else agent.invoke(asked)
    assert state["structured_response"] == Weather(city="Oslo", degrees=21)
    assert len(replicate_emulator.predictions) == 1 + len(tools)


@pytest.mark.parametrize("model", ["openai/gpt-4o", "xai/grok-4", "some/model"])
def test_a_schema_alone_works_whichever_strategy_a_models_name_selects(
    replicate_emulator: Emulator, make_llm: MakeLLM, model: str
) -> None:
    replicate_emulator.add_model(model, official=True)
    by_name = model != "some/model"
    text = '{"city": "Oslo", "degrees": 21}'
    replicate_emulator.enqueue(call("weather", city="Oslo"))
    replicate_emulator.enqueue(text if by_name else call("Weather", city="Oslo", degrees=21))
    agent: Any = create_agent(make_llm(model=model), [weather], response_format=Weather)
    state = agent.invoke({"messages": "How is the weather in Oslo?"})
    assert state["structured_response"] == Weather(city="Oslo", degrees=21)


# A graph of one's own


class State(TypedDict):
    messages: Annotated[list[BaseMessage], add_messages]


@both_ways
async def test_a_graph_of_ones_own_streams_and_runs_tools(
    emulator: Emulator, make_llm: MakeLLM, is_async: bool
) -> None:
    llm = make_llm().bind_tools([weather])

    def ask(state: State) -> State:
        return {"messages": [llm.invoke(state["messages"])]}

    async def aask(state: State) -> State:
        return {"messages": [await llm.ainvoke(state["messages"])]}

    graph = StateGraph(State)
    graph.add_node("ask", aask if is_async else ask)
    graph.add_node("tools", ToolNode([weather]))
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", tools_condition)
    graph.add_edge("tools", "ask")
    app: Any = graph.compile()
    asked = {"messages": [("human", "How is the weather in Kraków?")]}
    if is_async:
        told = [one async for one, _ in app.astream(asked, stream_mode="messages")]
    else:
        told = [one for one, _ in app.stream(asked, stream_mode="messages")]
    (found,) = [one for one in told if isinstance(one, ToolMessage)]
    after = told[told.index(found) + 1 :]
    assert "".join(one.text for one in after) == "It is sunny in Kraków."
    assert len(after) > 3

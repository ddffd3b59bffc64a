"""Agents and graphs: each turn is a prediction with the earlier turns in its prompt."""

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
    """A weather report."""

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


def write_call(name: str, **arguments: Any) -> str:
    """Write a call in the format that the prompt describes."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def get_prompts(emulator: Emulator) -> list[str]:
    """Return the inputs of all predictions as JSON, in their order."""
    return [
        json.dumps(dict(prediction.input), ensure_ascii=False)
        for prediction in emulator.predictions.values()
    ]


def get_types(messages: list[BaseMessage]) -> list[str]:
    return [message.type for message in messages]


@pytest.fixture
def emulator(replicate_emulator: Emulator) -> Emulator:
    """An emulator whose model calls a tool, and then answers."""
    replicate_emulator.enqueue(f"Let me look. {write_call('weather', city='Kraków')}")
    replicate_emulator.enqueue("It is sunny in Kraków.")
    return replicate_emulator


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_agent_calls_a_tool_and_answers(
    emulator: Emulator, make_llm: MakeLLM, is_async: bool
) -> None:
    agent: Any = create_agent(make_llm(), [weather], system_prompt="Be brief.")
    question = {"messages": [("human", "How is the weather in Kraków?")]}
    state = await agent.ainvoke(question) if is_async else agent.invoke(question)
    _, call_message, tool_message, answer = state["messages"]
    assert get_types(state["messages"]) == ["human", "ai", "tool", "ai"]
    assert call_message.content.strip() == "Let me look."
    (tool_call,) = call_message.tool_calls
    assert (tool_call["name"], tool_call["args"]) == ("weather", {"city": "Kraków"})
    assert tool_message.tool_call_id == tool_call["id"]
    assert answer.content == "It is sunny in Kraków."
    first, second = get_prompts(emulator)
    assert "Be brief." in first
    assert "Get the weather of a city." in first
    assert "It is sunny in Kraków: 21 degrees." in second
    assert "Get the weather of a city." in second


sync_and_async = pytest.mark.parametrize(
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


@sync_and_async
async def test_an_agents_stream_has_tokens_calls_results_and_the_answer(
    emulator: Emulator, make_llm: MakeLLM, is_async: bool
) -> None:
    agent: Any = create_agent(make_llm(), [weather])
    question = {"messages": "How is the weather in Kraków?"}
    if is_async:
        streamed = [item async for item, _ in agent.astream(question, stream_mode="messages")]
    else:
        streamed = [item for item, _ in agent.stream(question, stream_mode="messages")]
    pieces = [
        piece
        for item in streamed
        if isinstance(item, AIMessageChunk)
        for piece in item.tool_call_chunks
    ]
    assert [piece["name"] for piece in pieces if piece["name"]] == ["weather"]
    assert json.loads("".join(piece["args"] or "" for piece in pieces)) == {"city": "Kraków"}
    (tool_message,) = [item for item in streamed if isinstance(item, ToolMessage)]
    place = streamed.index(tool_message)
    before, after = streamed[:place], streamed[place + 1 :]
    assert "".join(item.text for item in before).strip() == "Let me look."
    assert "".join(item.text for item in after) == "It is sunny in Kraków."
    assert len(after) > 3


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_agents_events_have_a_stream_for_each_turn(
    emulator: Emulator, make_llm: MakeLLM, is_async: bool
) -> None:
    agent: Any = create_agent(make_llm(), [weather])
    question = {"messages": "How is the weather in Kraków?"}
    turns: list[AIMessage] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain warns that version 3 is a beta
        if is_async:
            run: Any = await agent.astream_events(question, version="v3")
            turns += [await turn.output async for turn in run.messages]
        else:
            run = agent.stream_events(question, version="v3")
            turns += [turn.output for turn in run.messages]
    call_message, answer = turns
    assert [c["args"] for c in call_message.tool_calls] == [{"city": "Kraków"}]
    assert call_message.text.strip() == "Let me look."
    assert answer.text == "It is sunny in Kraków."


@pytest.mark.parametrize("is_async", [False, True])
async def test_two_tools_are_called_at_once(
    replicate_emulator: Emulator, make_llm: MakeLLM, is_async: bool
) -> None:
    replicate_emulator.enqueue(
        f"{write_call('weather', city='Oslo')}\n{write_call('population', city='Oslo')}"
    )
    replicate_emulator.enqueue("Sunny for four thousand.")
    agent: Any = create_agent(make_llm(), [weather, population])
    question = {"messages": "Tell me of Oslo."}
    state = await agent.ainvoke(question) if is_async else agent.invoke(question)
    assert get_types(state["messages"]) == ["human", "ai", "tool", "tool", "ai"]
    first, second = state["messages"][1].tool_calls
    assert first["id"] != second["id"]
    prompt = get_prompts(replicate_emulator)[-1]
    assert prompt.index("21 degrees") < prompt.index("4000")


def test_a_failed_tool_is_in_the_next_prompt(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.enqueue(write_call("refuse", city="Oslo"))
    replicate_emulator.enqueue(write_call("weather", city="Oslo"))
    replicate_emulator.enqueue("Sunny.")
    failing: BaseTool = tool(refuse)
    failing.handle_tool_error = True
    agent: Any = create_agent(make_llm(), [failing, weather])
    state = agent.invoke({"messages": "How is the weather in Oslo?"})
    assert get_types(state["messages"]) == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert state["messages"][2].status == "error"
    assert "Error: nobody knows Oslo" in get_prompts(replicate_emulator)[1]


def test_a_call_of_an_unknown_tool_is_an_error_in_the_next_prompt(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.enqueue(write_call("forecast", city="Oslo"))
    replicate_emulator.enqueue("Sunny.")
    agent: Any = create_agent(make_llm(), [weather])
    state = agent.invoke({"messages": "How is it in Oslo?"})
    assert state["messages"][1].tool_calls[0]["name"] == "forecast"
    assert state["messages"][2].status == "error"
    assert "forecast is not a valid tool" in get_prompts(replicate_emulator)[1]


async def test_twenty_turns_are_remembered(replicate_emulator: Emulator, make_llm: MakeLLM) -> None:
    agent: Any = create_agent(make_llm(), [population], checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    for turn in range(20):
        replicate_emulator.enqueue(write_call("population", city="x" * (turn + 1)))
        replicate_emulator.enqueue(f"Answer {turn}.")
        state = await agent.ainvoke({"messages": f"Question {turn}?"}, thread)
    assert len(state["messages"]) == 80
    assert len({c["id"] for m in state["messages"][1::4] for c in m.tool_calls}) == 20
    prompt = get_prompts(replicate_emulator)[-1]
    places = [
        prompt.index(text)
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
        replicate_emulator.enqueue(write_call("weather", city="Oslo"))
    replicate_emulator.enqueue('Here you are:\n```json\n{"city": "Oslo", "degrees": 21}\n```')
    agent: Any = create_agent(make_llm(), tools, response_format=ProviderStrategy(Weather))
    question = {"messages": "How is the weather in Oslo?"}
    state = await agent.ainvoke(question) if is_async else agent.invoke(question)
    assert state["structured_response"] == Weather(city="Oslo", degrees=21)
    assert '"degrees"' in get_prompts(replicate_emulator)[-1].replace('\\"', '"')
    assert json.loads(state["messages"][-1].content) == {"city": "Oslo", "degrees": 21}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("tools", [[], [weather]], ids=["no tools", "a tool"])
async def test_an_agent_answers_with_an_object_by_a_tool(
    replicate_emulator: Emulator, make_llm: MakeLLM, tools: list[Any], is_async: bool
) -> None:
    if tools:
        replicate_emulator.enqueue(write_call("weather", city="Oslo"))
    replicate_emulator.enqueue(write_call("Weather", city="Oslo", degrees=21))
    agent: Any = create_agent(make_llm(), tools, response_format=ToolStrategy(Weather))
    question = {"messages": "How is the weather in Oslo?"}
    state = await agent.ainvoke(question) if is_async else agent.invoke(question)
    assert state["structured_response"] == Weather(city="Oslo", degrees=21)
    assert len(replicate_emulator.predictions) == 1 + len(tools)


@pytest.mark.parametrize("model", ["openai/gpt-4o", "xai/grok-4", "some/model"])
def test_a_bare_schema_works_with_the_strategy_selected_by_the_models_name(
    replicate_emulator: Emulator, make_llm: MakeLLM, model: str
) -> None:
    replicate_emulator.add_model(model, official=True)
    by_name = model != "some/model"
    text = '{"city": "Oslo", "degrees": 21}'
    replicate_emulator.enqueue(write_call("weather", city="Oslo"))
    replicate_emulator.enqueue(text if by_name else write_call("Weather", city="Oslo", degrees=21))
    agent: Any = create_agent(make_llm(model=model), [weather], response_format=Weather)
    state = agent.invoke({"messages": "How is the weather in Oslo?"})
    assert state["structured_response"] == Weather(city="Oslo", degrees=21)


# Custom graphs


class State(TypedDict):
    messages: Annotated[list[BaseMessage], add_messages]


@sync_and_async
async def test_a_custom_graph_streams_and_runs_tools(
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
    question = {"messages": [("human", "How is the weather in Kraków?")]}
    if is_async:
        streamed = [item async for item, _ in app.astream(question, stream_mode="messages")]
    else:
        streamed = [item for item, _ in app.stream(question, stream_mode="messages")]
    (tool_message,) = [item for item in streamed if isinstance(item, ToolMessage)]
    after = streamed[streamed.index(tool_message) + 1 :]
    assert "".join(item.text for item in after) == "It is sunny in Kraków."
    assert len(after) > 3

"""Agents: every step of them is a prediction, whose prompt holds what came before."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel
from workflows.errors import WorkflowTimeoutError

import replicate_stream as core
from replicate_stream.testing import Emulator, Reply

# What the framework's agents do to themselves: they look at every attribute, deprecated ones of
# pydantic's too, and ask for what their own workflow has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]

STREAMING = pytest.mark.parametrize("streaming", [True, False])


class Report(BaseModel):
    """The weather of a city."""

    city: str
    degrees: float
    advice: str | None = None


def weather(city: str) -> str:
    """Get the weather of a city."""
    return f"sunny in {city}: 21 degrees"


def population(city: str) -> int:
    """Get how many live in a city."""
    return len(city) * 1000


def now() -> str:
    """Get the time."""
    return "noon"


def refuse(city: str) -> str:
    """Always fails."""
    raise LookupError(f"nobody knows {city}")


def call(name: str, **arguments: Any) -> str:
    """Write a tool call in the format of the prompt."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def say(emulator: Emulator, *answers: str) -> None:
    """Set what the model answers, one step after the other, in small tokens."""
    for answer in answers:
        emulator.enqueue([answer[at : at + 3] for at in range(0, len(answer), 3)])


def prompts(emulator: Emulator) -> list[str]:
    return [
        json.dumps(dict(each.input), ensure_ascii=False) for each in emulator.predictions.values()
    ]


async def run(agent: Any, messages: str, **kwargs: Any) -> tuple[Any, list[Any]]:
    """An agent's result, and the events of its run."""
    handler = agent.run(messages, **kwargs)
    events = [event async for event in handler.stream_events()]
    return await handler, events


def results(events: list[Any]) -> list[tuple[str, str]]:
    found = [event for event in events if isinstance(event, ToolCallResult)]
    return [(event.tool_name, event.tool_output.content) for event in found]


@STREAMING
async def test_an_agent_calls_a_tool_and_answers(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool
) -> None:
    say(replicate_emulator, f"Let me look. {call('weather', city='Kraków')}", "It is sunny.")
    agent = FunctionAgent(
        tools=[weather], llm=make_llm(), system_prompt="Be brief.", streaming=streaming
    )
    result, events = await run(agent, "How is the weather in Kraków?")
    assert str(result) == "It is sunny."
    assert results(events) == [("weather", "sunny in Kraków: 21 degrees")]
    deltas = [event.delta for event in events if isinstance(event, AgentStream)]
    assert "".join(deltas) == ("Let me look. It is sunny." if streaming else "")
    first, second = prompts(replicate_emulator)
    assert "Be brief." in first
    assert "Get the weather of a city." in first
    assert "Let me look." in second
    assert "sunny in Kraków: 21 degrees" in second
    assert "Get the weather of a city." in second
    assert result.raw["usage"]["total_tokens"] > 0


async def test_an_agents_stream_shows_a_call_while_it_grows(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    say(replicate_emulator, f"<think>Hm.</think>{call('weather', city='Kraków')}", "Sunny.")
    _, events = await run(FunctionAgent(tools=[weather], llm=make_llm()), "Weather?")
    streamed = [event for event in events if isinstance(event, AgentStream)]
    thoughts = [event.thinking_delta for event in streamed]
    assert "".join(filter(None, thoughts)) == "Hm."
    assert None in thoughts
    grown = [event.tool_calls[0].tool_kwargs for event in streamed if event.tool_calls]
    assert grown[0] == {}
    assert grown[-1] == {"city": "Kraków"}
    assert any(0 < len(each.get("city", "")) < len("Kraków") for each in grown)


@STREAMING
async def test_several_tools_are_called_at_once(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool
) -> None:
    say(replicate_emulator, f"{call('weather', city='Oslo')}\n{call('now')}", "Done.")
    agent = FunctionAgent(tools=[weather, now], llm=make_llm(), streaming=streaming)
    result, events = await run(agent, "Weather and time?")
    assert sorted(results(events)) == [("now", "noon"), ("weather", "sunny in Oslo: 21 degrees")]
    assert str(result) == "Done."
    _, second = prompts(replicate_emulator)
    assert "noon" in second
    assert "sunny in Oslo" in second


async def test_one_tool_at_a_time_without_leave_for_more(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    say(replicate_emulator, f"{call('weather', city='Oslo')}\n{call('now')}", "Done.")
    agent = FunctionAgent(tools=[weather, now], llm=make_llm(), allow_parallel_tool_calls=False)
    _, events = await run(agent, "Weather and time?")
    assert results(events) == [("weather", "sunny in Oslo: 21 degrees")]


@STREAMING
@pytest.mark.parametrize("arguments", ["", ', "arguments": {}', ', "arguments": null'])
async def test_a_tool_without_arguments_is_called(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool, arguments: str
) -> None:
    say(replicate_emulator, f'<tool_call>\n{{"name": "now"{arguments}}}\n</tool_call>', "Noon.")
    agent = FunctionAgent(tools=[now], llm=make_llm(), streaming=streaming)
    result, events = await run(agent, "What time is it?")
    assert results(events) == [("now", "noon")]
    assert str(result) == "Noon."


@STREAMING
async def test_the_first_tool_can_be_forced(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool
) -> None:
    say(replicate_emulator, "I'd rather not.", call("now"), "Noon.")
    agent = FunctionAgent(
        tools=[weather, now], llm=make_llm(), initial_tool_choice="now", streaming=streaming
    )
    result, events = await run(agent, "Hi")
    assert results(events) == [("now", "noon")]
    assert str(result) == "Noon."
    sent = ["must call the function now now" in prompt for prompt in prompts(replicate_emulator)]
    assert sent == [True, True, False]


@STREAMING
async def test_a_model_that_will_not_call_what_it_must_ends_the_run_with_an_error(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool
) -> None:
    replicate_emulator.reply = "I'd rather not."
    agent = FunctionAgent(
        tools=[now], llm=make_llm(), initial_tool_choice="now", streaming=streaming
    )
    with pytest.raises(core.AnswerFormatError):
        await run(agent, "Hi")
    assert len(replicate_emulator.predictions) == 2


@STREAMING
@pytest.mark.parametrize("name", ["refuse", "made_up"])
async def test_the_model_learns_of_a_tool_that_fails_or_is_unknown(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool, name: str
) -> None:
    say(replicate_emulator, call(name, city="Atlantis"), "I could not find out.")
    agent = FunctionAgent(tools=[refuse], llm=make_llm(), streaming=streaming)
    result, _ = await run(agent, "Weather in Atlantis?")
    assert str(result) == "I could not find out."
    _, second = prompts(replicate_emulator)
    assert ("nobody knows Atlantis" if name == "refuse" else "made_up not found") in second


@STREAMING
async def test_no_tool_is_run_by_a_malformed_call(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool
) -> None:
    def remove(path: str = "/") -> str:
        """Remove files."""
        raise AssertionError("this must not be run")

    say(replicate_emulator, 'Well. <tool_call>\n{"name": "remove", "arguments": {"path": "/tmp')
    agent = FunctionAgent(tools=[remove], llm=make_llm(), streaming=streaming)
    result, events = await run(agent, "Clean up /tmp/x")
    assert results(events) == []
    assert str(result).strip() == "Well."
    (bad,) = result.response.additional_kwargs["invalid_tool_calls"]
    assert bad["function"] == {"name": "remove", "arguments": '{"path": "/tmp'}


async def test_a_tools_own_answer_can_end_the_run(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    say(replicate_emulator, call("now"))
    tool = FunctionTool.from_defaults(now, return_direct=True)
    result, _ = await run(FunctionAgent(tools=[tool], llm=make_llm()), "Time?")
    assert str(result) == "noon"
    assert len(replicate_emulator.predictions) == 1


async def test_an_agent_remembers_messages_and_calls(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    agent = FunctionAgent(tools=[weather], llm=make_llm())
    memory = ChatMemoryBuffer.from_defaults()
    for turn in range(5):
        say(replicate_emulator, call("weather", city=f"City{turn}"), f"Answer {turn}.")
        result, _ = await run(agent, f"Question {turn}?", memory=memory)
        assert str(result) == f"Answer {turn}."
    sent = prompts(replicate_emulator)[-1]
    messages = [f"Question {n}?" for n in range(5)]
    found = [f"sunny in City{n}" for n in range(5)]
    places = [sent.index(text) for pair in zip(messages, found, strict=True) for text in pair]
    assert places == sorted(places)
    assert sent.count("</tool_call>") >= 5


async def test_an_agent_of_the_loop_runs_twenty_steps(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    say(replicate_emulator, *[call("population", city="x" * n) for n in range(1, 20)], "Done.")
    agent = FunctionAgent(tools=[population], llm=make_llm())
    result, events = await run(agent, "Count!", max_iterations=30)
    assert str(result) == "Done."
    assert [content for _, content in results(events)] == [str(n * 1000) for n in range(1, 20)]
    assert len(replicate_emulator.predictions) == 20


@STREAMING
async def test_an_agents_result_can_be_an_object(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool
) -> None:
    sent = call("Report", city="Kraków", degrees=21)
    say(replicate_emulator, call("weather", city="Kraków"), "Sunny, 21 degrees.", sent)
    agent = FunctionAgent(tools=[weather], llm=make_llm(), output_cls=Report, streaming=streaming)
    result, _ = await run(agent, "Weather in Kraków?")
    assert result.structured_response == {"city": "Kraków", "degrees": 21.0, "advice": None}
    assert result.get_pydantic_model(Report) == Report(city="Kraków", degrees=21)


@STREAMING
async def test_agents_hand_off_to_each_other(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool
) -> None:
    llm = make_llm()
    asker = FunctionAgent(
        name="asker",
        description="Talks to the user.",
        llm=llm,
        tools=[now],
        can_handoff_to=["forecaster"],
        streaming=streaming,
    )
    forecaster = FunctionAgent(
        name="forecaster",
        description="Knows the weather.",
        llm=llm,
        tools=[weather],
        system_prompt="You know the weather.",
        streaming=streaming,
    )
    workflow = AgentWorkflow(agents=[asker, forecaster], root_agent="asker")
    say(
        replicate_emulator,
        call("handoff", to_agent="forecaster", reason="It is about the weather."),
        call("weather", city="Oslo"),
        "Sunny in Oslo.",
    )
    result, events = await run(workflow, "Weather in Oslo?")
    assert str(result) == "Sunny in Oslo."
    assert result.current_agent_name == "forecaster"
    assert [name for name, _ in results(events)] == ["handoff", "weather"]
    first, second, third = prompts(replicate_emulator)
    assert "You know the weather." not in first
    assert "It is about the weather." in second
    assert "You know the weather." in second
    assert "sunny in Oslo" in third


@STREAMING
async def test_a_react_agent_reasons_acts_and_answers(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool
) -> None:
    say(
        replicate_emulator,
        'Thought: I need a tool.\nAction: weather\nAction Input: {"city": "Oslo"}',
        "Thought: I can answer without using any more tools.\nAnswer: Sunny.",
    )
    agent = ReActAgent(tools=[weather], llm=make_llm(), streaming=streaming)
    result, events = await run(agent, "Weather in Oslo?")
    assert str(result) == "Sunny."
    assert results(events) == [("weather", "sunny in Oslo: 21 degrees")]
    first, second = prompts(replicate_emulator)
    assert "Get the weather of a city." in first
    assert "Observation: sunny in Oslo" in second


@STREAMING
async def test_a_code_act_agent_runs_what_the_model_writes(
    make_llm: Any, replicate_emulator: Emulator, streaming: bool
) -> None:
    def execute(code: str) -> str:
        sent = io.StringIO()
        with contextlib.redirect_stdout(sent):
            exec(code, {"population": population})
        return sent.getvalue()

    say(
        replicate_emulator,
        "I count.\n<execute>\nprint(population('Oslo') + 1)\n</execute>",
        "It is 4001.",
    )
    agent = CodeActAgent(
        code_execute_fn=execute, llm=make_llm(), tools=[population], streaming=streaming
    )
    result, events = await run(agent, "How many live in Oslo, and one?")
    assert str(result) == "It is 4001."
    assert results(events) == [("execute", "4001\n")]
    first, second = prompts(replicate_emulator)
    assert "def population(city" in first
    assert "4001" in second


async def test_an_error_of_the_model_ends_the_run_with_it(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(tokens=["a"], error="out of memory")
    with pytest.raises(core.PredictionFailedError, match="out of memory"):
        await run(FunctionAgent(tools=[now], llm=make_llm()), "Hi")


async def test_a_run_that_is_cancelled_cancels_once(endless: Emulator, make_llm: Any) -> None:
    handler = FunctionAgent(tools=[now], llm=make_llm()).run("Hi")
    seen = 0
    async for event in handler.stream_events():
        seen += isinstance(event, AgentStream)
        if seen == 10:
            break
    await handler.cancel_run()
    (prediction,) = endless.predictions
    await endless.wait_for_async(lambda e: e.cancels == [prediction] and e.streams_open == 0)


async def test_a_run_that_takes_too_long_cancels_once(endless: Emulator, make_llm: Any) -> None:
    agent = FunctionAgent(tools=[now], llm=make_llm(), timeout=0.5)
    with pytest.raises(WorkflowTimeoutError):
        await agent.run("Hi")
    (prediction,) = endless.predictions
    await endless.wait_for_async(lambda e: e.cancels == [prediction] and e.streams_open == 0)

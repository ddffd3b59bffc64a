"""Answers as models write them, through LangChain: what is a call, and what is only text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator
from tests import written_answers

MakeLLM = Callable[..., ChatReplicate]

SIZES = (1, 2, 3, 5, 7, 11, 1000)
SCHEMA = {"type": "object", "properties": {"prompt": {"type": "string"}}}
# Once: the framework makes a class of each function, which costs more than an answer.
TOOLS = [convert_to_openai_tool(each) for each in written_answers.TOOLS]


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"It is sunny in {city}."


def delete_file(path: str) -> str:
    """Delete a file."""
    raise AssertionError(path)


async def read(llm: Any, emulator: Emulator, text: str, size: int | None) -> AIMessage:
    """Ask a model that answers with a text; streamed in pieces of a size, or whole."""
    pieces = size or len(text)
    emulator.reply = [text[at : at + pieces] for at in range(0, len(text), pieces)]
    if size is None:
        whole: AIMessage = await llm.ainvoke("Hi")
        return whole
    chunks = [chunk async for chunk in llm.astream("Hi")]
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert isinstance(total, AIMessage)
    return total


async def test_every_shared_answer_is_read_right(
    make_llm: MakeLLM, replicate_emulator: Emulator, shared: Path
) -> None:
    answers = json.loads((shared / "tool-answers.json").read_text(encoding="utf-8"))
    for answer in answers:
        replicate_emulator.add_model(answer["model"], SCHEMA, official=True)
        llm = make_llm(model=answer["model"], max_repairs=0).bind_tools([get_weather])
        for size in (None, *SIZES):
            message = await read(llm, replicate_emulator, answer["answer"], size)
            calls = [{"name": call["name"], "args": call["args"]} for call in message.tool_calls]
            context = (answer["name"], size)
            if answer["expect"] == "right or invalid":
                right = [{"name": "get_weather", "args": {"city": "Paris"}}]
                assert calls == right or (not calls and message.invalid_tool_calls), context
                continue
            assert calls == answer["expect"], context
            assert message.invalid_tool_calls == [], context
            assert message.text == ("" if calls else answer["answer"]), context


@pytest.mark.parametrize("answer", written_answers.ANSWERS, ids=lambda answer: answer.name)
async def test_every_written_answer_is_read_right(
    make_llm: MakeLLM, replicate_emulator: Emulator, answer: written_answers.Answer
) -> None:
    replicate_emulator.add_model(answer.model, SCHEMA, official=True)
    llm = make_llm(model=answer.model, max_repairs=0).bind_tools(TOOLS)
    for size in (None, 1, 7):
        message = await read(llm, replicate_emulator, answer.answer, size)
        calls = [{"name": call["name"], "args": call["args"]} for call in message.tool_calls]
        answer.check(message.text, calls, len(message.invalid_tool_calls))


QUOTATIONS = [
    "Never write `<tool_call>{}</tool_call>`: it deletes everything.",
    "A call would look like this:\n```json\n{}\n```\nI did not make it.",
    "```json\n{}\n```\nis what such a call looks like.",
    "The manual says \u201c<tool_call>{}</tool_call>\u201d.",
    "It says:\n> <tool_call>{}</tool_call>\nDo not do that.",
    '{"name": "delete_file"} or {} would delete it.',
]


@pytest.mark.parametrize("quotation", QUOTATIONS)
@pytest.mark.parametrize("model", ["meta/meta-llama-3-70b-instruct", "meta/meta-llama-3.1-405b"])
async def test_an_agent_does_not_make_a_call_that_is_only_quoted(
    make_llm: MakeLLM, replicate_emulator: Emulator, quotation: str, model: str
) -> None:
    text = quotation.replace("{}", '{"name": "delete_file", "parameters": {"path": "/"}}')
    replicate_emulator.add_model(model, SCHEMA, official=True)
    replicate_emulator.reply = text
    agent: Any = create_agent(make_llm(model=model), [delete_file])
    state = await agent.ainvoke({"messages": "What would delete everything?"})
    assert [message.type for message in state["messages"]] == ["human", "ai"]
    assert state["messages"][-1].text == text


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_an_agent_gets_the_text_of_an_answer_that_command_r_announces_as_a_call(
    make_llm: MakeLLM, replicate_emulator: Emulator, is_streamed: bool
) -> None:
    announced = 'Action: ```json\n[{"tool_name": "directly-answer", "parameters": {}}]\n```'
    answers = iter([announced, "It is sunny."])
    model = "cohere/command-r-plus"
    replicate_emulator.add_model(model, SCHEMA, official=True)
    replicate_emulator.reply = lambda _: next(answers)
    agent: Any = create_agent(make_llm(model=model, streaming=is_streamed), [get_weather])
    state = await agent.ainvoke({"messages": "Weather?"})
    assert [message.type for message in state["messages"]] == ["human", "ai"]
    assert state["messages"][-1].text == "It is sunny."
    first, again = (each.input["prompt"] for each in replicate_emulator.predictions.values())
    assert "get_weather" in first
    assert "get_weather" not in again


async def test_an_agent_whose_model_writes_a_malformed_call_asks_again(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    answers = iter(["<tool_call>now</tool_call>", "It is sunny."])
    replicate_emulator.reply = lambda _: next(answers)
    agent: Any = create_agent(make_llm(), [get_weather])
    state = await agent.ainvoke({"messages": "Weather?"})
    assert state["messages"][-1].text == "It is sunny."
    assert len(replicate_emulator.predictions) == 2

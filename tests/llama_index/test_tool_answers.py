"""Answers as models write them, through LlamaIndex: what is a call, and what is only text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.tools import FunctionTool

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator
from tests import written_answers

pytestmark = [
    # The framework's own: it looks at every attribute of an agent.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]

MakeLLM = Callable[..., Replicate]

SIZES = (1, 2, 3, 5, 7, 11, 1000)
SCHEMA = {"type": "object", "properties": {"prompt": {"type": "string"}}}


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"It is sunny in {city}."


def delete_file(path: str) -> str:
    """Delete a file."""
    raise AssertionError(path)


TOOLS = [FunctionTool.from_defaults(get_weather)]
# Once: the framework makes a class of each function, which costs more than an answer.
WRITTEN_TOOLS = [FunctionTool.from_defaults(each) for each in written_answers.TOOLS]


async def read(
    llm: Replicate,
    emulator: Emulator,
    text: str,
    size: int | None,
    tools: Sequence[FunctionTool] = TOOLS,
) -> ChatResponse:
    """Ask a model that answers with a text; streamed in pieces of a size, or whole."""
    pieces = size or len(text)
    emulator.reply = [text[at : at + pieces] for at in range(0, len(text), pieces)]
    history: Any = [ChatMessage(role="user", content="Hi")]
    options = {"chat_history": history, "allow_parallel_tool_calls": True}
    if size is None:
        return await llm.achat_with_tools(tools, **options)
    stream = await llm.astream_chat_with_tools(tools, **options)
    return [response async for response in stream][-1]


async def test_every_shared_answer_is_read_right(
    make_llm: MakeLLM, replicate_emulator: Emulator, shared: Path
) -> None:
    answers = json.loads((shared / "tool-answers.json").read_text(encoding="utf-8"))
    for answer in answers:
        replicate_emulator.add_model(answer["model"], SCHEMA, official=True)
        llm = make_llm(model=answer["model"], max_repairs=0)
        for size in (None, *SIZES):
            response = await read(llm, replicate_emulator, answer["answer"], size)
            selections = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
            calls = [{"name": each.tool_name, "args": each.tool_kwargs} for each in selections]
            context = (answer["name"], size)
            if answer["expect"] == "right or invalid":
                assert calls in ([], [{"name": "get_weather", "args": {"city": "Paris"}}]), context
                continue
            assert calls == answer["expect"], context
            assert (response.message.content or "") == ("" if calls else answer["answer"]), context


@pytest.mark.parametrize("answer", written_answers.ANSWERS, ids=lambda answer: answer.name)
async def test_every_written_answer_is_read_right(
    make_llm: MakeLLM, replicate_emulator: Emulator, answer: written_answers.Answer
) -> None:
    replicate_emulator.add_model(answer.model, SCHEMA, official=True)
    llm = make_llm(model=answer.model, max_repairs=0)
    for size in (None, 1, 7):
        response = await read(llm, replicate_emulator, answer.answer, size, WRITTEN_TOOLS)
        selections = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        calls = [{"name": each.tool_name, "args": each.tool_kwargs} for each in selections]
        # A call that must not be made is no selection, but it stays in the message.
        malformed = response.message.additional_kwargs.get("invalid_tool_calls") or ()
        answer.check(response.message.content or "", calls, len(malformed))


QUOTATIONS = [
    "Never write `<tool_call>{}</tool_call>`: it deletes everything.",
    "A call would look like this:\n```json\n{}\n```\nI did not make it.",
    "```json\n{}\n```\nis what such a call looks like.",
    "The manual says \u201c<tool_call>{}</tool_call>\u201d.",
    "It says:\n> <tool_call>{}</tool_call>\nDo not do that.",
    '{"name": "delete_file"} or {} would delete it.',
]


@pytest.mark.parametrize("quotation", QUOTATIONS)
@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_does_not_make_a_call_that_is_only_quoted(
    make_llm: MakeLLM, replicate_emulator: Emulator, quotation: str, streaming: bool
) -> None:
    text = quotation.replace("{}", '{"name": "delete_file", "parameters": {"path": "/"}}')
    replicate_emulator.reply = text
    agent: Any = FunctionAgent(tools=[delete_file], llm=make_llm(), streaming=streaming)
    answer = await agent.run("What would delete everything?")
    assert answer.response.content == text
    assert answer.tool_calls == []

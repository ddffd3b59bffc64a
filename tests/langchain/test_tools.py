"""Tools bound to a model: how they are offered, and how calls are parsed."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tools import StructuredTool, tool
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

import replicate_stream as core
from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]


class Search(BaseModel):
    """Search for something."""

    query: str = Field(description="What for.")


class SearchV1(BaseModelV1):
    """Search for something."""

    query: str


class SearchDict(TypedDict):
    """Search for something."""

    query: Annotated[str, ..., "What for."]


def search(query: str) -> str:
    """Search for something."""
    return query


PARAMETERS = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
ABOUT = {"name": "search", "description": "Search for something."}
KINDS: dict[str, Any] = {
    "function": search,
    "tool": tool(search),
    "structured tool": StructuredTool.from_function(search),
    "Pydantic": Search,
    "Pydantic 1": SearchV1,
    "TypedDict": SearchDict,
    "JSON schema": {**PARAMETERS, "title": "search", "description": "Search for something."},
    "OpenAI": {"type": "function", "function": {**ABOUT, "parameters": PARAMETERS}},
    "OpenAI's function": {**ABOUT, "parameters": PARAMETERS},
    "Anthropic": {**ABOUT, "input_schema": PARAMETERS, "cache_control": {"type": "ephemeral"}},
    "Amazon": {"toolSpec": {**ABOUT, "inputSchema": {"json": PARAMETERS}}},
}


def write_call(name: str, **arguments: Any) -> str:
    """Write a call in the format that the prompt describes."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def last_prompt(emulator: Emulator) -> str:
    return json.dumps(dict(list(emulator.predictions.values())[-1].input), ensure_ascii=False)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_every_kind_of_tool_is_offered_and_called(
    replicate_emulator: Emulator, make_llm: MakeLLM, kind: Any
) -> None:
    name = getattr(kind, "__name__", "search") if isinstance(kind, type) else "search"
    replicate_emulator.reply = write_call(name, query="sowy 🦉")
    message = await make_llm().bind_tools([kind]).ainvoke("Look for owls")
    assert [(c["name"], c["args"]) for c in message.tool_calls] == [(name, {"query": "sowy 🦉"})]
    assert message.response_metadata["finish_reason"] == "tool_calls"
    prompt = last_prompt(replicate_emulator)
    assert "Search for something." in prompt
    assert name in prompt
    assert "query" in prompt


async def test_an_empty_list_of_tools_offers_none(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = "Hello"
    plain = await make_llm().aprepare("Hi")
    assert (await make_llm().bind_tools([]).ainvoke("Hi")).content == "Hello"
    (prediction,) = replicate_emulator.predictions.values()
    assert dict(prediction.input) == plain.body["input"]


@pytest.mark.parametrize(
    ("choice", "is_forced"),
    [
        (None, False),
        ("auto", False),
        ("any", True),
        ("required", True),
        (True, True),
        ("search", True),
        ({"type": "function", "function": {"name": "search"}}, True),
        ({"type": "tool", "name": "search"}, True),
        ({"type": "any"}, True),
        ({"type": "auto"}, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_only_a_required_choice_requires_a_call(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    ask: Any,
    choice: Any,
    is_forced: bool,
    method: str,
) -> None:
    replicate_emulator.enqueue("I would rather not.")
    replicate_emulator.enqueue(write_call("search", query="owls"))
    llm: Any = make_llm().bind_tools([search], tool_choice=choice)
    answer = await ask(llm, method, "Look for owls")
    message = reduce(add, answer) if method == "astream" else answer
    assert bool(message.tool_calls) == is_forced
    assert len(replicate_emulator.predictions) == 1 + is_forced


@pytest.mark.parametrize("choice", ["none", False, {"type": "none"}], ids=str)
async def test_a_choice_of_none_allows_no_call(
    replicate_emulator: Emulator, make_llm: MakeLLM, choice: Any
) -> None:
    replicate_emulator.reply = "Hello"
    message = await make_llm().bind_tools([search], tool_choice=choice).ainvoke("Hi")
    assert (message.content, message.tool_calls) == ("Hello", [])


@pytest.mark.parametrize("method", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_missing_required_call_is_an_error(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, method: str
) -> None:
    replicate_emulator.reply = "I would rather not."
    llm: Any = make_llm().bind_tools([search], tool_choice="any")
    with pytest.raises(core.AnswerFormatError, match="calls no tool"):
        await ask(llm, method)
    assert len(replicate_emulator.predictions) == 2
    with pytest.raises(core.AnswerFormatError):
        await ask(llm.bind(max_repairs=0), method)
    assert len(replicate_emulator.predictions) == 3


async def test_a_choice_of_an_unknown_tool_is_an_error_before_anything_is_paid(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    with pytest.raises(core.InvalidInputError) as caught:
        await make_llm().bind_tools([search], tool_choice="find").ainvoke("Hi")
    assert isinstance(caught.value, ModelInvalidRequestError)
    assert not replicate_emulator.predictions


@pytest.mark.parametrize(("parallel", "count"), [(None, 2), (True, 2), (False, 1)])
@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_parallel_calls_can_be_switched_off(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    ask: Any,
    parallel: bool | None,
    count: int,
    method: str,
) -> None:
    replicate_emulator.reply = (
        f"{write_call('search', query='a')}\n{write_call('search', query='b')}"
    )
    llm: Any = make_llm().bind_tools([search], parallel_tool_calls=parallel)
    answer = await ask(llm, method)
    message = reduce(add, answer) if method == "astream" else answer
    assert len(message.tool_calls) == count
    assert len({c["id"] for c in message.tool_calls}) == count


@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_text_before_and_after_a_call_is_kept(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, method: str
) -> None:
    replicate_emulator.reply = [
        "Let",
        " me",
        " look.",
        write_call("search", query="a"),
        " There",
        ".",
    ]
    answer = await ask(make_llm().bind_tools([search]), method)
    message = reduce(add, answer) if method == "astream" else answer
    assert message.text.split() == ["Let", "me", "look.", "There."]
    assert len(message.tool_calls) == 1


@pytest.mark.parametrize("method", ["ainvoke", "astream"])
@pytest.mark.parametrize(
    "answer",
    [
        '<tool_call>\n{"name": "search", "arguments": {"query": "ow',
        '<tool_call>\n{"name": "search", "arguments": {"query": owls}}\n</tool_call>',
    ],
)
async def test_a_malformed_call_is_invalid_and_keeps_its_text(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, answer: str, method: str
) -> None:
    replicate_emulator.reply = list(answer)
    result = await ask(make_llm().bind_tools([search]), method)
    message = reduce(add, result) if method == "astream" else result
    assert isinstance(message, AIMessage)
    assert message.tool_calls == []
    (bad,) = message.invalid_tool_calls
    assert bad["name"] == "search"
    assert '{"query": ' in (bad["args"] or "")


async def test_the_sum_of_chunks_marks_a_malformed_call_that_a_whole_answer_explains(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = list('<tool_call>\n{"name": "search", "arguments": {"query": "ow')
    llm: Any = make_llm(max_repairs=0).bind_tools([search])
    (whole,) = (await llm.ainvoke("Hi")).invalid_tool_calls
    summed = reduce(add, [chunk async for chunk in llm.astream("Hi")])
    (streamed,) = summed.invalid_tool_calls
    assert whole["args"] == '{"query": "ow'
    assert whole["error"] == "The arguments are not a JSON object."
    assert streamed["args"] == '{"query": "ow "] /* malformed */'
    assert streamed["error"] is None
    assert "/*" not in str((await llm.aprepare([summed, ("human", "Go on")])).body)


MALFORMED_ANSWERS = {
    "cut off": '<tool_call>\n{"name": "search", "arguments": {"query": "ow',
    "two commas": '<tool_call>{"name": "search", "arguments": {"query": 1,, }}</tool_call>',
    "without a name": '<tool_call>{"arguments": {"query": "owls"}}</tool_call>',
    "no JSON, behind text": "Wait.\n<tool_call>now</tool_call>",
}


@pytest.mark.parametrize("answer", MALFORMED_ANSWERS.values(), ids=MALFORMED_ANSWERS)
@pytest.mark.parametrize("output_version", ["v0", "v1"])
@pytest.mark.parametrize("method", ["invoke", "ainvoke"])
async def test_an_invoke_that_streams_explains_a_malformed_call_as_a_whole_answer_does(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    ask: Any,
    answer: str,
    output_version: str,
    method: str,
) -> None:
    replicate_emulator.reply = list(answer)
    settings = {"max_repairs": 0, "output_version": output_version}
    whole = await ask(make_llm(**settings).bind_tools([search]), method)
    ends = EndRecorder()
    llm: Any = make_llm(**settings, streaming=True, callbacks=[ends]).bind_tools([search])
    streamed = await ask(llm, method)
    (expected,), (bad,) = whole.invalid_tool_calls, streamed.invalid_tool_calls
    assert {**bad, "id": None} == {**expected, "id": None}
    assert expected["error"]
    assert "/*" not in str(streamed)
    assert ends.messages == [streamed]
    if output_version == "v1":
        assert bad in streamed.content


class EndRecorder(BaseCallbackHandler):
    """Keeps the messages that callbacks get at the end of a run."""

    run_inline = True  # else an asynchronous run calls it in a thread, later

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        ((generation,),) = response.generations
        assert isinstance(generation, ChatGeneration)
        self.messages.append(generation.message)


async def test_an_agent_whose_tokens_are_shown_gets_the_text_and_the_error_of_a_malformed_call(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = list(MALFORMED_ANSWERS["cut off"])
    agent: Any = create_agent(make_llm(), [search])
    modes = ["messages", "values"]
    states = [
        state
        async for mode, state in agent.astream({"messages": "Hi"}, stream_mode=modes)
        if mode == "values"
    ]
    (bad,) = states[-1]["messages"][-1].invalid_tool_calls
    assert (bad["name"], bad["args"]) == ("search", '{"query": "ow')
    assert bad["error"] == "The arguments are not a JSON object."


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity"])
async def test_a_streamed_call_with_a_number_that_is_none_is_invalid(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, number: str
) -> None:
    replicate_emulator.reply = list(write_call("search", query=7).replace("7", number))
    message = reduce(add, await ask(make_llm().bind_tools([search]), "astream"))
    assert message.tool_calls == []
    (bad,) = message.invalid_tool_calls
    assert number in (bad["args"] or "")


async def test_a_call_is_streamed_while_the_model_writes_it(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = list(write_call("search", query="owls and other birds"))
    llm: Any = make_llm().bind_tools([search])
    chunks = [chunk async for chunk in llm.astream("Hi")]
    pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
    assert len(pieces) > 10
    assert (pieces[0]["name"], pieces[0]["index"]) == ("search", 0)
    assert all(piece["name"] is None and piece["id"] is None for piece in pieces[1:])
    assert all(piece["index"] == 0 for piece in pieces)
    assert "".join(chunk.text for chunk in chunks).strip() == ""


async def test_tools_are_sent_in_the_models_own_input(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "messages": {"type": "array", "items": {"type": "object"}},
            "tools": {"type": "array", "items": {"type": "object"}},
            "tool_choice": {"type": "string"},
        },
    }
    replicate_emulator.add_model("some/model", schema, official=True)
    llm = make_llm(model="some/model").bind_tools([search], strict=True, tool_choice="any")
    replicate_emulator.reply = write_call("search", query="owls")
    assert len((await llm.ainvoke("Hi")).tool_calls) == 1
    (prediction,) = replicate_emulator.predictions.values()
    (prompt,) = prediction.input["tools"]
    assert prompt["function"]["name"] == "search"
    assert prompt["function"]["strict"] is True
    assert "Search for something." not in str(prediction.input["messages"])


def test_binding_a_value_that_is_not_a_tool_is_an_error(make_llm: MakeLLM) -> None:
    with pytest.raises(ValueError, match="Unsupported"):
        make_llm().bind_tools([{"type": "object"}])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_a_single_call_and_a_dry_run_take_tools(
    replicate_emulator: Emulator, make_llm: MakeLLM, kind: Any
) -> None:
    name = getattr(kind, "__name__", "search") if isinstance(kind, type) else "search"
    replicate_emulator.reply = write_call(name, query="owls")
    llm = make_llm()
    message = await llm.ainvoke("Hi", tools=[kind], tool_choice="any")
    assert len(message.tool_calls) == 1
    prepared = await llm.aprepare("Hi", tools=[kind], tool_choice="any")
    (prediction,) = replicate_emulator.predictions.values()
    assert prepared.body["input"] == dict(prediction.input)
    assert "Search for something." in str(prepared.body)


async def test_a_class_can_be_the_format_of_a_single_answer(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = 'Here: {"query": "owls"}'
    message = await make_llm().ainvoke("Hi", response_format=Search)
    assert json.loads(message.text) == {"query": "owls"}

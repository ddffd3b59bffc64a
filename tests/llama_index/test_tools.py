"""Tools and their calls, whole and in pieces, and the methods that run the tools."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatResponse, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.utils import process_streaming_objects
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

import replicate_stream as core
from llama_index_replicate_stream import Replicate
from llama_index_replicate_stream._to_core import to_core
from replicate_stream.testing import Emulator

CHATS = ["chat_with_tools", "achat_with_tools", "stream_chat_with_tools"]
CHATS += ["astream_chat_with_tools"]
PREDICTIONS = ["predict_and_call", "apredict_and_call"]


def weather(city: str, unit: str = "C") -> str:
    """Get the weather of a city."""
    return f"sunny in {city}, in {unit}"


def now() -> str:
    """Get the time."""
    return "noon"


# The framework's agents look at every attribute of themselves, deprecated ones of pydantic's too.
THE_AGENTS_OWN = "ignore::pydantic.warnings.PydanticDeprecationWarning"
WEATHER = FunctionTool.from_defaults(weather)
NOW = FunctionTool.from_defaults(now)


def call(name: str, **arguments: Any) -> str:
    """Write a tool call in the format of the prompt."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def pieces(text: str) -> list[str]:
    """A text in tokens of three characters."""
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def prompts(emulator: Emulator) -> list[str]:
    return [
        json.dumps(dict(each.input), ensure_ascii=False) for each in emulator.predictions.values()
    ]


Use = Callable[..., Any]


@pytest.fixture
def use() -> Use:
    """Uses tools by the name of a method; returns its response, or the list of a stream."""

    async def use(
        llm: Replicate, method: str, tools: Sequence[Any] = (WEATHER,), **kwargs: Any
    ) -> Any:
        result = getattr(llm, method)(tools, **{"user_msg": "Weather in Kraków?", **kwargs})
        if method.startswith("a"):
            result = await result
        if method.startswith("astream"):
            return [response async for response in result]
        return list(result) if method.startswith("stream") else result

    return use


def last(answer: Any) -> Any:
    response = answer[-1] if isinstance(answer, list) else answer
    assert isinstance(response, ChatResponse)
    return response


def called(llm: Replicate, response: ChatResponse) -> list[tuple[str, dict[str, Any]]]:
    selected = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    return [(each.tool_name, each.tool_kwargs) for each in selected]


# What comes out


def test_it_is_a_model_that_calls_functions(make_llm: Any) -> None:
    assert isinstance(make_llm(), FunctionCallingLLM)
    assert make_llm().metadata.is_function_calling_model
    assert not make_llm(is_function_calling_model=False).metadata.is_function_calling_model


@pytest.mark.parametrize("method", CHATS)
async def test_a_call_is_a_block_and_in_the_list_that_programs_read(
    make_llm: Any, replicate_emulator: Emulator, use: Use, method: str
) -> None:
    replicate_emulator.reply = pieces(f"Let me look.\n{call('weather', city='Kraków')}")
    llm = make_llm()
    response = last(await use(llm, method))
    text, block = response.message.blocks
    assert isinstance(text, TextBlock)
    assert isinstance(block, ToolCallBlock)
    assert text.text.strip() == "Let me look."
    assert (block.tool_name, block.tool_kwargs) == ("weather", {"city": "Kraków"})
    function = {"name": "weather", "arguments": '{"city": "Kraków"}'}
    openai_calls = {"id": block.tool_call_id, "type": "function", "function": function}
    assert response.message.additional_kwargs == {"tool_calls": [openai_calls]}
    (selected,) = llm.get_tool_calls_from_response(response)
    assert (selected.tool_id, selected.tool_name) == (block.tool_call_id, "weather")
    assert selected.tool_kwargs == {"city": "Kraków"}
    assert response.raw["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("method", ["stream_chat_with_tools", "astream_chat_with_tools"])
async def test_a_streamed_call_grows(
    make_llm: Any, replicate_emulator: Emulator, use: Use, method: str
) -> None:
    written = f"<think>Hm</think>Well. {call('weather', city='Kraków', unit='F')} So."
    replicate_emulator.reply = pieces(written)
    llm = make_llm()
    responses: Any = await use(llm, method)
    assert all(isinstance(response.delta, str) for response in responses)
    partial_arguments: list[str] = []
    for response in responses[:-1]:
        kinds = [block.block_type for block in response.message.blocks]
        assert kinds in (
            ["text"],
            ["thinking", "text"],
            ["thinking", "text", "tool_call"],
        )
        for block in response.message.blocks:
            if isinstance(block, ToolCallBlock):
                assert isinstance(block.tool_kwargs, str)
                partial_arguments.append(block.tool_kwargs)
                assert response.message.additional_kwargs["tool_calls"]
    assert partial_arguments[0] == ""
    assert all(later.startswith(earlier) for earlier, later in pairwise(partial_arguments))
    assert len(set(partial_arguments)) > 3
    partial = [called(llm, response)[0][1] for response in responses if called(llm, response)]
    assert {} in partial
    assert {"city": "Kraków"} in partial
    thinking, text, block = responses[-1].message.blocks
    assert isinstance(thinking, ThinkingBlock)
    assert isinstance(text, TextBlock)
    assert isinstance(block, ToolCallBlock)
    assert text.text == "".join(response.delta or "" for response in responses)
    assert text.text.split() == ["Well.", "So."]
    assert block.tool_kwargs == {"city": "Kraków", "unit": "F"}
    assert responses[-1].raw["usage"]


@pytest.mark.parametrize("method", CHATS)
async def test_several_calls_of_one_answer_keep_their_order(
    make_llm: Any, replicate_emulator: Emulator, use: Use, method: str
) -> None:
    both = f"{call('weather', city='A')}\n{call('now')}\n{call('weather', city='B')}"
    replicate_emulator.reply = pieces(both)
    llm = make_llm()
    response = last(await use(llm, method, [WEATHER, NOW], allow_parallel_tool_calls=True))
    assert called(llm, response) == [
        ("weather", {"city": "A"}),
        ("now", {}),
        ("weather", {"city": "B"}),
    ]
    ids = [call["id"] for call in response.message.additional_kwargs["tool_calls"]]
    assert len(set(ids)) == 3
    assert response.message.content is None


@pytest.mark.parametrize("method", CHATS)
async def test_one_call_at_most_without_leave_for_more(
    make_llm: Any, replicate_emulator: Emulator, use: Use, method: str
) -> None:
    replicate_emulator.reply = pieces(f"{call('weather', city='A')}\n{call('now')}")
    llm = make_llm()
    assert called(llm, last(await use(llm, method, [WEATHER, NOW]))) == [("weather", {"city": "A"})]


@pytest.mark.parametrize("method", CHATS)
@pytest.mark.parametrize(
    "written",
    [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Kra',
        '<tool_call>\n{"name": "weather", "arguments": ',
        '<tool_call>\n{"name": "weather", "arguments": [1]}\n</tool_call>',
    ],
)
async def test_a_malformed_call_is_never_one_to_be_made(
    make_llm: Any, replicate_emulator: Emulator, use: Use, method: str, written: str
) -> None:
    replicate_emulator.reply = pieces(f"Well. {call('now')} {written}")
    llm = make_llm()
    response = last(await use(llm, method, [WEATHER, NOW], allow_parallel_tool_calls=True))
    assert called(llm, response) == [("now", {})]
    *_, block = response.message.blocks
    assert isinstance(block, ToolCallBlock)
    assert isinstance(block.tool_kwargs, str)  # what the model wrote is not lost
    about = response.message.additional_kwargs
    assert [each["function"]["name"] for each in about["tool_calls"]] == ["now"]
    assert [each["id"] for each in about["invalid_tool_calls"]] == [block.tool_call_id]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity"])
async def test_a_streamed_call_with_a_number_that_is_none_is_malformed(
    make_llm: Any, replicate_emulator: Emulator, use: Use, number: str
) -> None:
    replicate_emulator.reply = pieces(call("weather", city=7).replace("7", number))
    llm = make_llm()
    response = last(await use(llm, "astream_chat_with_tools"))
    assert called(llm, response) == []
    assert "invalid_tool_calls" in response.message.additional_kwargs


async def test_a_lonely_malformed_call_is_an_error_where_one_is_expected(
    make_llm: Any, replicate_emulator: Emulator, use: Use
) -> None:
    replicate_emulator.reply = '<tool_call>\n{"name": "weather", "arguments": {"city": "Kra'
    llm = make_llm()
    response = last(await use(llm, "astream_chat_with_tools"))
    assert called(llm, response) == []
    with pytest.raises(ValueError, match="its call of weather is malformed"):
        llm.get_tool_calls_from_response(response)


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [
        ("", {}),
        ("null", {}),
        ("{", {}),
        ("[1", {}),
        ("}", {}),
        ('{"a": 1, "b": "x', {"a": 1, "b": "x"}),
        ('{"a": {"b": [1, 2', {"a": {"b": [1, 2]}}),
        ('{"a": "\ud83d', {"a": "?"}),
        ("{}", {}),
        ({"a": 1}, {"a": 1}),
        ({}, {}),
    ],
)
def test_partial_arguments_are_parsed(make_llm: Any, arguments: Any, parsed: Any) -> None:
    block = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs=arguments)
    response = ChatResponse(message=ChatMessage(role="assistant", blocks=[block]))
    assert called(make_llm(), response) == [("f", parsed)]


def test_calls_that_are_only_beside_the_message_are_read_too(make_llm: Any) -> None:
    openai_calls = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a": 1'},
    }
    message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [openai_calls]})
    assert called(make_llm(), ChatResponse(message=message)) == [("f", {"a": 1})]


def test_no_call_is_an_error_where_one_is_expected(make_llm: Any) -> None:
    response = ChatResponse(message=ChatMessage(role="assistant", content="No."))
    with pytest.raises(ValueError, match="Expected at least one tool call"):
        make_llm().get_tool_calls_from_response(response)
    assert called(make_llm(), response) == []


async def test_programs_of_the_framework_read_the_pieces(
    make_llm: Any, replicate_emulator: Emulator, use: Use
) -> None:
    class Weather(BaseModel):
        city: str
        unit: str

    replicate_emulator.reply = pieces(call("weather", city="Kraków", unit="F"))
    llm = make_llm()
    seen = [
        process_streaming_objects(response, Weather, llm=llm)
        for response in await use(llm, "astream_chat_with_tools")
    ]
    assert seen[-1] == Weather(city="Kraków", unit="F")
    assert any(getattr(each, "city", None) == "Kraków" and each != seen[-1] for each in seen)


async def test_a_completion_has_no_tools(make_llm: Any) -> None:
    for name, value in {"tools": [WEATHER], "tool_choice": "any"}.items():
        with pytest.raises(TypeError, match=f"use '{name}' in a chat"):
            await make_llm().acomplete("Hi", **{name: value})


@pytest.mark.parametrize(
    "written",
    [
        f"Well.\n{call('weather', city='Kraków 😀')}\nSo.",
        f"<think>Hm {call('now')}</think>{call('now')}{call('weather', city='A')}",
        '<tool_call>{"name": "weather", "arguments": {"city": "x',
        "No call: <tool_cal",
        "<tool_call>\n{'name': 'weather', 'arguments': {'city': 'A', 'unit': None,}}\n</tool_call>",
        '{"name": "now", "arguments": {}}',
    ],
)
async def test_an_answer_is_the_same_whole_and_in_any_pieces(
    make_llm: Any, replicate_emulator: Emulator, use: Use, written: str
) -> None:
    llm, seen = make_llm(), []
    sizes = [1, 2, 3, 7, len(written)]
    for method, size in [("achat_with_tools", 5), *(("astream_chat_with_tools", n) for n in sizes)]:
        tokens = [written[at : at + size] for at in range(0, len(written), size)]
        replicate_emulator.reply = tokens
        kwargs = {"allow_parallel_tool_calls": True}
        message = last(await use(llm, method, [WEATHER, NOW], **kwargs)).message
        blocks = [block.model_dump(exclude={"tool_call_id"}) for block in message.blocks]
        openai_calls = {
            key: [each["function"] for each in calls]
            for key, calls in message.additional_kwargs.items()
        }
        seen.append((blocks, openai_calls))
    assert all(each == seen[0] for each in seen)


# What goes in


@pytest.mark.parametrize("method", CHATS)
async def test_the_tools_are_offered_and_the_history_is_not_changed(
    make_llm: Any, replicate_emulator: Emulator, use: Use, method: str
) -> None:
    history = [ChatMessage(role="user", content="Hi"), ChatMessage(role="assistant", content="Ho")]
    before = copy.deepcopy(history)
    await use(make_llm(), method, chat_history=history)
    assert history == before
    (sent,) = prompts(replicate_emulator)
    for text in ("Get the weather of a city.", "Kraków?", "Ho", '\\"default\\": \\"C\\"'):
        assert text in sent


def test_what_is_prepared_is_what_a_chat_takes(make_llm: Any) -> None:
    history = [ChatMessage(role="user", content="Hi")]
    llm: Replicate = make_llm()
    prepared = llm._prepare_chat_with_tools([WEATHER, NOW], "Ho", history, temperature=0.5)
    assert prepared["messages"] == [*history, ChatMessage(role="user", content="Ho")]
    assert llm._prepare_chat_with_tools([], None, history)["messages"] is not history
    assert [tool["function"]["name"] for tool in prepared["tools"]] == ["weather", "now"]
    assert (prepared["tool_choice"], prepared["parallel_tool_calls"]) == (None, False)
    assert prepared["temperature"] == 0.5
    many = llm._prepare_chat_with_tools([WEATHER], allow_parallel_tool_calls=True)
    assert many["parallel_tool_calls"] is None
    message = ChatMessage(role="user", content="Ho")
    assert llm._prepare_chat_with_tools([], message)["messages"] == [message]


@pytest.mark.parametrize(
    ("tools", "kwargs", "tool_choice"),
    [
        ([WEATHER, NOW], {"tool_required": True}, "required"),
        ([WEATHER], {"tool_required": True}, "weather"),
        ([WEATHER, NOW], {"tool_required": True, "tool_choice": "now"}, "now"),
        ([WEATHER, NOW], {"tool_choice": "now"}, "now"),
        ([WEATHER], {}, None),
    ],
)
def test_whether_a_tool_must_be_called(
    make_llm: Any, tools: Any, kwargs: Any, tool_choice: str | None
) -> None:
    assert make_llm()._prepare_chat_with_tools(tools, "Hi", **kwargs)["tool_choice"] == tool_choice


@pytest.mark.parametrize("method", CHATS)
@pytest.mark.parametrize(
    "kwargs", [{"tool_required": True}, {"tool_choice": "now"}, {"tool_choice": "any"}]
)
async def test_an_answer_without_a_required_call_is_repeated(
    make_llm: Any, replicate_emulator: Emulator, use: Use, method: str, kwargs: Any
) -> None:
    replicate_emulator.enqueue("I'd rather not.")
    replicate_emulator.enqueue(call("now"))
    llm = make_llm()
    assert called(llm, last(await use(llm, method, [WEATHER, NOW], **kwargs))) == [("now", {})]
    replicate_emulator.reply = "I'd rather not."
    with pytest.raises(core.AnswerFormatError):
        await use(llm, method, [WEATHER, NOW], **kwargs, max_repairs=0)
    assert len(replicate_emulator.predictions) == 3


async def test_max_repairs_is_a_setting(
    make_llm: Any, replicate_emulator: Emulator, use: Use
) -> None:
    replicate_emulator.reply = "I'd rather not."
    for repairs, predictions in ((0, 1), (2, 4)):
        with pytest.raises(core.AnswerFormatError):
            await use(make_llm(max_repairs=repairs), "achat_with_tools", tool_required=True)
        assert len(replicate_emulator.predictions) == predictions


async def test_choosing_an_unknown_tool_is_an_error_before_anything_is_paid(
    make_llm: Any, replicate_emulator: Emulator, use: Use
) -> None:
    with pytest.raises(core.InvalidInputError, match="'nonsense'"):
        await use(make_llm(), "achat_with_tools", tool_choice="nonsense")
    assert not replicate_emulator.predictions


async def test_a_chat_takes_the_frameworks_tools_and_plain_dicts(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    messages = [ChatMessage(role="user", content="Hi")]
    for tools in ([WEATHER], [WEATHER.metadata.to_openai_tool()]):
        await make_llm().achat(messages, tools=tools)
    one, other = prompts(replicate_emulator)
    assert one == other


def test_a_dry_run_shows_the_tools(make_llm: Any, replicate_emulator: Emulator) -> None:
    messages = [ChatMessage(role="user", content="Hi")]
    body = make_llm().prepare(messages, tools=[WEATHER]).body
    assert "Get the weather of a city." in json.dumps(body)
    assert not replicate_emulator.predictions


async def test_calls_and_their_results_stay_in_the_conversation(
    make_llm: Any, replicate_emulator: Emulator, use: Use
) -> None:
    replicate_emulator.enqueue(call("weather", city="Kraków"))
    llm = make_llm()
    answer = last(await use(llm, "astream_chat_with_tools"))
    (selected,) = llm.get_tool_calls_from_response(answer)
    result = ChatMessage(
        role="tool", content="sunny", additional_kwargs={"tool_call_id": selected.tool_id}
    )
    question = ChatMessage(role="user", content="Weather?")
    await llm.achat_with_tools([WEATHER], chat_history=[question, answer.message, result])
    _, sent = prompts(replicate_emulator)
    assert json.dumps('"arguments": {"city": "Kraków"}', ensure_ascii=False)[1:-1] in sent
    assert "sunny" in sent
    assert "additional_kwargs" not in sent


async def test_a_message_with_a_call_survives_json_and_can_be_sent_again(
    make_llm: Any, replicate_emulator: Emulator, use: Use
) -> None:
    replicate_emulator.reply = f"<think>Hm</think>Well. {call('weather', city='Kraków')}"
    message = last(await use(make_llm(), "achat_with_tools")).message
    again = ChatMessage.model_validate_json(message.model_dump_json())
    assert again == message
    assert to_core([again]) == to_core([message])


@pytest.mark.parametrize("method", PREDICTIONS)
async def test_a_prediction_calls_the_tool(
    make_llm: Any, replicate_emulator: Emulator, use: Use, method: str
) -> None:
    replicate_emulator.reply = call("weather", city="Kraków")
    answer = await use(make_llm(), method)
    assert answer.response == "sunny in Kraków, in C"
    assert [source.tool_name for source in answer.sources] == ["weather"]


@pytest.mark.parametrize("method", PREDICTIONS)
async def test_a_prediction_calls_several_tools(
    make_llm: Any, replicate_emulator: Emulator, use: Use, method: str
) -> None:
    replicate_emulator.reply = f"{call('weather', city='A')}\n{call('now')}"
    answer = await use(make_llm(), method, [WEATHER, NOW], allow_parallel_tool_calls=True)
    assert answer.response == "sunny in A, in C\n\nnoon"


@pytest.mark.parametrize("method", PREDICTIONS)
async def test_a_prediction_without_a_call_is_an_error_or_its_text(
    make_llm: Any, replicate_emulator: Emulator, use: Use, method: str
) -> None:
    replicate_emulator.reply = "It is sunny."
    with pytest.raises(ValueError, match="Expected at least one tool call"):
        await use(make_llm(), method)
    answer = await use(make_llm(), method, error_on_no_tool_call=False)
    assert (answer.response, answer.sources) == ("It is sunny.", [])


@pytest.mark.parametrize("method", PREDICTIONS)
@pytest.mark.parametrize("written", [call("rain", city="A"), call("weather", town="A")])
async def test_a_tool_that_is_not_there_or_fails_is_an_error_of_that_call(
    make_llm: Any, replicate_emulator: Emulator, use: Use, method: str, written: str
) -> None:
    replicate_emulator.reply = written
    answer = await use(make_llm(), method)
    (source,) = answer.sources
    assert source.is_error
    with pytest.raises(ValueError, match=r"no tool 'rain'; there are weather|Encountered error"):
        await use(make_llm(), method, error_on_tool_error=True)


@pytest.mark.parametrize("method", PREDICTIONS)
@pytest.mark.filterwarnings(THE_AGENTS_OWN)
async def test_a_model_without_function_calling_runs_as_a_react_agent(
    make_llm: Any, replicate_emulator: Emulator, use: Use, closed_loops: None, method: str
) -> None:
    replicate_emulator.reply = (
        'Thought: I need it.\nAction: weather\nAction Input: {"city": "Kraków"}'
    )
    answer = await use(make_llm(is_function_calling_model=False), method)
    assert answer.response == "sunny in Kraków, in C"
    assert "Thought" in prompts(replicate_emulator)[0]

"""The emulator's model that uses tools, against prompts as the vendors' templates make them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicate_stream import Client, Message, ToolSpec
from replicate_stream.testing import Emulator, Reply, ToolUser

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
OSLO = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
PARIS = OSLO.replace("Oslo", "Paris")


def hermes(*tools: Any, demand: str = "") -> str:
    listed = "\n".join(json.dumps(tool) for tool in tools)
    return (
        "You are a helpful assistant.\n\n# Tools\n\nYou may call one or more functions to assist "
        "with the user query.\n\nYou are provided with function signatures within <tools></tools> "
        f"XML tags:\n<tools>\n{listed}\n</tools>\n\nFor each function call, return a json object "
        "with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>' + demand
    )


def chatml(*turns: str) -> str:
    """ChatML, from turns as `role: text`, up to where the model answers."""
    parted = (turn.partition(": ") for turn in turns)
    said = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, _, text in parted)
    return f"{said}<|im_start|>assistant\n"


def answer(prompt: Any, user: ToolUser | None = None, **more: Any) -> Any:
    given = {"prompt": prompt} if isinstance(prompt, str) else prompt
    reply = (user or ToolUser())({**given, **more})
    assert isinstance(reply, Reply)
    assert isinstance(reply.tokens, (list, tuple))
    return "".join(map(str, reply.tokens)) if reply.tokens else reply.output


def asked(question: str, *tools: Any, demand: str = "", user: ToolUser | None = None) -> Any:
    """The answer to one question with Hermes' tools in the system field."""
    return answer(question, user, system_prompt=hermes(*tools, demand=demand))


def arguments(question: str, properties: dict[str, Any], **schema: Any) -> dict[str, Any]:
    """The arguments that a tool `f`, which has to be called, is called with."""
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": "f", "description": "", "parameters": {**parameters, **schema}}
    said = asked(question, {"type": "function", "function": function},
                 demand="\n\nYou must call the function f now.")  # fmt: skip
    body = said.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")
    made: dict[str, Any] = json.loads(body)["arguments"]
    return made


# The formats


def test_hermes_in_chatml() -> None:
    system = hermes(WEATHER)
    assert answer(chatml(f"system: {system}", "user: How is the weather in Oslo?")) == OSLO


def test_hermes_in_the_system_field() -> None:
    assert asked("How is the weather in Oslo?", WEATHER) == OSLO


def test_qwen_gets_its_results_as_the_users() -> None:
    prompt = chatml(
        f"system: {hermes(WEATHER)}",
        "user: How is the weather in Oslo?",
        f"assistant: {OSLO}",
        "user: <tool_response>\nIt rains.\n</tool_response>",
    )
    assert answer(prompt) == "It rains."


ADDED = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'


def test_hermes_gets_results_with_names_in_a_turn_of_their_own() -> None:
    prompt = chatml(
        f"system: {hermes(WEATHER, ADD)}",
        "user: How is the weather in Oslo, and what is 1 + 2?",
        f"assistant: I look.\n{OSLO}\n{ADDED}",
        'tool: <tool_response>\n{"name": "add", "content": "3"}\n</tool_response>\n'
        '<tool_response>\n{"name": "get_weather", "content": "It rains"}\n</tool_response>',
    )
    assert answer(prompt) == "The result of add is 3. It rains."


def test_what_was_asked_for_and_not_called_yet_is_called_next() -> None:
    prompt = chatml(
        f"system: {hermes(WEATHER, ADD)}",
        "user: How is the weather in Oslo, and what is 1 + 2?",
        f"assistant: {OSLO}",
        "user: <tool_response>\nIt rains.\n</tool_response>",
    )
    assert answer(prompt) == ADDED


LLAMA_SYSTEM = (
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nYou have access to the "
    "following functions. To call a function, please respond with JSON for a function call. "
    'Respond in the format {"name": function name, "parameters": dictionary of argument name and '
    f"its value}}. Do not use variables.\n\n{json.dumps(WEATHER, indent=4)}\n\n"
    f"{json.dumps(ADD, indent=4)}\n\nBe brief."
)


LLAMA31 = ("start_header_id", "end_header_id", "eot_id")


def llama(*turns: str, marks: tuple[str, ...] = LLAMA31) -> str:
    opening, closing, end = (f"<|{mark}|>" for mark in marks)
    parted = (turn.partition(": ") for turn in turns)
    said = "".join(f"{opening}{role}{closing}\n\n{text}{end}" for role, _, text in parted)
    return f"<|begin_of_text|>{said}{opening}assistant{closing}\n\n"


@pytest.mark.parametrize(
    "marks",
    [LLAMA31, ("header_start", "header_end", "eot")],
    ids=["llama 3.1", "llama 4"],
)
def test_llama(marks: tuple[str, ...]) -> None:
    question = (f"system: {LLAMA_SYSTEM}", "user: How is the weather in Oslo?")
    call = '{"name": "get_weather", "parameters": {"city": "Oslo"}}'
    assert answer(llama(*question, marks=marks)) == call
    results = (f"assistant: {call}", 'ipython: "It \\u00e4 rains."')
    assert answer(llama(*question, *results, marks=marks)) == "It ä rains."
    both = llama(question[0], "user: How is the weather in Oslo and Paris?", marks=marks)
    assert answer(both) == f"{call}\n{call.replace('Oslo', 'Paris')}"


def test_llama_with_its_own_template() -> None:
    system = LLAMA_SYSTEM.partition("\n\n")[2]
    given = {"prompt": "What is 1 + 2?", "system_prompt": system}
    assert answer(given) == '{"name": "add", "parameters": {"a": 1, "b": 2}}'


MISTRAL_CALL = (
    '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "9Vt7mqPzL"}]</s>'
)
MISTRAL = (
    f"<s>[INST] My name is Bob.[/INST] Hello Bob.</s>[AVAILABLE_TOOLS] {json.dumps([WEATHER, ADD])}"
    "[/AVAILABLE_TOOLS][INST] How is the weather in Oslo?[/INST]"
)


def test_mistral() -> None:
    said = answer(MISTRAL)
    head, _, tail = said.rpartition(', "id": "')
    assert head == '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Oslo"}'
    assert len(tail.removesuffix('"}]')) == 9
    assert tail.removesuffix('"}]').isalnum()
    result = '[TOOL_RESULTS] {"content": "It rains.", "call_id": "9Vt7mqPzL"}[/TOOL_RESULTS]'
    assert answer(f"{MISTRAL}{MISTRAL_CALL}{result}") == "It rains."


def test_mistral_with_a_system_prompt_of_its_own() -> None:
    prompt = MISTRAL.replace("<s>", "<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT]", 1)
    assert answer(prompt).startswith("[TOOL_CALLS] [{")


GRANITE = (
    "<|start_of_role|>system<|end_of_role|>You are a helpful AI assistant with access to the "
    "following tools. When a tool is required to answer the user's query, respond with "
    "<|tool_call|> followed by a JSON list of tools used. If a tool does not exist in the provided "
    "list of tools, notify the user that you do not have the ability to fulfill the request."
    "<|end_of_text|>\n<|start_of_role|>available_tools<|end_of_role|>"
    f"{json.dumps([WEATHER, ADD], indent=4)}<|end_of_text|>\n"
    "<|start_of_role|>user<|end_of_role|>How is the weather in Oslo and Paris?<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|>"
)


def test_granite() -> None:
    call = (
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Oslo"}}, '
        '{"name": "get_weather", "arguments": {"city": "Paris"}}]'
    )
    assert answer(GRANITE) == call
    results = "".join(
        f"<|start_of_role|>tool_response<|end_of_role|>{text}<|end_of_text|>\n"
        for text in ("It rains", '{"degrees": 21}')
    )
    assert (
        answer(
            f"{GRANITE}{call}<|end_of_text|>\n{results}<|start_of_role|>assistant<|end_of_role|>"
        )
        == 'It rains. The result of get_weather is {"degrees": 21}.'
    )


def mark(words: str) -> str:
    return f"<\uff5c{words.replace(' ', chr(0x2581))}\uff5c>"


DEEPSEEK = (
    f"{mark('begin of sentence')}Be brief.\n\n## Tools\nYou have access to the following tools:\n\n"
    "### get_weather\nDescription: Get the weather in a city.\n\nParameters: "
    + json.dumps(WEATHER["function"]["parameters"])  # type: ignore[index]  # it is a dict
    + "\n\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
    + mark("tool calls begin") + mark("tool call begin") + "tool_call_name" + mark("tool sep")
    + "tool_call_arguments" + mark("tool call end") + "{additional_tool_calls}"
    + mark("tool calls end") + "\n\nWhere:\n\n- `tool_call_name` must be an exact match to one of "
    "the available tools\n- `tool_call_arguments` must be valid JSON that strictly follows the "
    "tool's Parameters Schema\n- For multiple tool calls, chain them directly without separators "
    f"or spaces{mark('User')}How is the weather in Oslo?{mark('Assistant')}"
)  # fmt: skip
DEEPSEEK_CALL = (
    f"{mark('tool calls begin')}{mark('tool call begin')}get_weather{mark('tool sep')}"
    f'{{"city": "Oslo"}}{mark("tool call end")}{mark("tool calls end")}'
)


def test_deepseek() -> None:
    assert answer(DEEPSEEK) == DEEPSEEK_CALL
    results = (
        f"{mark('end of sentence')}{mark('tool outputs begin')}{mark('tool output begin')}It rains."
        f"{mark('tool output end')}{mark('tool outputs end')}"
    )
    assert answer(f"{DEEPSEEK}{DEEPSEEK_CALL}{results}") == "It rains."
    old = (
        f"{mark('tool calls begin')}{mark('tool call begin')}function{mark('tool sep')}get_weather"
    )
    assert answer(DEEPSEEK, ToolUser(fenced=True)) == (
        f'{old}\n```json\n{{"city": "Oslo"}}\n```{mark("tool call end")}{mark("tool calls end")}'
    )


def test_a_result_that_is_empty_or_only_says_to_go_on() -> None:
    turns = [
        f"system: {hermes(WEATHER)}",
        "user: How is the weather in Oslo?",
        f"assistant: {OSLO}",
    ]
    framed = "user: <tool_response>\n{}\n</tool_response>"
    assert answer(chatml(*turns, framed.format(""))) == "get_weather gave nothing."
    moved = "Agent poet is now at work.\nPlease continue with the current request."
    assert answer(chatml(*turns, framed.format(moved))).startswith("You asked about")


def test_a_transcript() -> None:
    prompt = (
        f"User: How is the weather in Oslo?\n\nAssistant: {OSLO}\n\n"
        'Tool: <tool_response>\n{"name": "get_weather", "content": "It rains."}\n</tool_response>'
        "\n\nAssistant:"
    )
    assert answer(prompt, system_prompt=hermes(WEATHER)) == "It rains."


def test_tools_and_question_in_one_prompt_without_a_format() -> None:
    assert answer(f"{hermes(WEATHER)}\n\nHow is the weather in Oslo?") == OSLO


def test_messages_as_a_list_as_json_and_as_a_list_of_json() -> None:
    listed = [
        {"role": "system", "content": hermes(WEATHER)},
        {"role": "user", "content": [{"type": "text", "text": "How is the weather in Oslo?"}]},
    ]
    for messages in (listed, json.dumps(listed), [json.dumps(each) for each in listed]):
        assert answer({"messages": messages}) == OSLO


# Natively


def native(*messages: dict[str, Any], **more: Any) -> Any:
    return answer({"messages": list(messages), **more})


QUESTION = {"role": "user", "content": "How is the weather in Oslo and Paris?"}


@pytest.mark.parametrize("tools", [[WEATHER, ADD], json.dumps([WEATHER, ADD])])
def test_native_tools_are_called_in_an_object(tools: Any) -> None:
    output = native(QUESTION, tools=tools)
    assert set(output) == {"role", "content", "tool_calls"}
    assert (output["role"], output["content"]) == ("assistant", None)
    assert [call["type"] for call in output["tool_calls"]] == ["function", "function"]
    assert [call["function"] for call in output["tool_calls"]] == [
        {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
        {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    ]
    assert len({call["id"] for call in output["tool_calls"]}) == 2


def test_native_results_are_told() -> None:
    output = native(QUESTION, tools=[WEATHER])
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"It rains {at}."}
        for at, call in enumerate(output["tool_calls"])
    ]
    assert native(QUESTION, output, *results, tools=[WEATHER]) == "It rains 0. It rains 1."


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, []),
        ({"tool_choice": "required"}, ["get_weather"]),
        ({"tool_choice": {"type": "function", "function": {"name": "add"}}}, ["add"]),
        ({"tool_choice": '{"type": "function", "function": {"name": "add"}}'}, ["add"]),
        ({"tool_choice": "none"}, []),
    ],
)
def test_a_native_choice_is_heeded(more: dict[str, Any], names: list[str]) -> None:
    output = native({"role": "user", "content": "Hello!"}, tools=[WEATHER, ADD], **more)
    calls = output["tool_calls"] if isinstance(output, dict) else []
    assert [call["function"]["name"] for call in calls] == names


def test_native_parallel_calls_can_be_forbidden() -> None:
    output = native(QUESTION, tools=[WEATHER], parallel_tool_calls=False)
    assert len(output["tool_calls"]) == 1


# What has to be done


@pytest.mark.parametrize(
    ("prompt", "rest"),
    [
        (
            chatml(f"system: {hermes(WEATHER, ADD)}", "user: Oslo?")
            + '<tool_call>\n{"name": "get_weather", "arguments":',
            ' {"city": "Oslo"}}\n</tool_call>',
        ),
        (
            chatml(f"system: {hermes(WEATHER, ADD)}", "user: Oslo?")
            + '<tool_call>\n{"name": "get_weather", "arguments": ',
            '{"city": "Oslo"}}\n</tool_call>',
        ),
        (
            chatml(f"system: {hermes(WEATHER, ADD)}", "user: 1 + 2?") + "<tool_call>\n",
            '{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>',
        ),
        (
            llama(f"system: {LLAMA_SYSTEM}", "user: Oslo?")
            + '{"name": "get_weather", "parameters":',
            ' {"city": "Oslo"}}',
        ),
        (
            llama(f"system: {LLAMA_SYSTEM}", "user: 1 + 2?") + '{"name":',
            ' "add", "parameters": {"a": 1, "b": 2}}',
        ),
        (
            GRANITE + '<|tool_call|>[{"name": "add", "arguments":',
            ' {"a": 1, "b": 1}}]',
        ),
        (DEEPSEEK + mark("tool calls begin"), DEEPSEEK_CALL.partition(mark("tool calls begin"))[2]),
        (
            DEEPSEEK + DEEPSEEK_CALL.partition('{"city')[0],
            DEEPSEEK_CALL.partition(mark("tool sep"))[2],
        ),
    ],
)
def test_a_call_that_the_prompt_begins_is_gone_on_with(prompt: str, rest: str) -> None:
    assert answer(prompt) == rest


def test_mistrals_begun_call_is_gone_on_with() -> None:
    said = answer(f'{MISTRAL}[TOOL_CALLS] [{{"name": "add", "arguments":')
    assert said.startswith(' {"a": 1, "b": 1}, "id": "')


@pytest.mark.parametrize(
    ("demand", "called"),
    [
        ("You must call the function add now, and answer with nothing else.", "add"),
        ("You must call one of the functions now, and answer with nothing else.", "get_weather"),
        ("You must use a tool.", "get_weather"),
    ],
)
def test_a_demanded_call_is_made_whatever_is_said(demand: str, called: str) -> None:
    said = asked("Hello!", WEATHER, ADD, demand=f"\n\n{demand}")
    assert said.startswith(f'<tool_call>\n{{"name": "{called}", "arguments": {{"')


def test_one_call_at_most_leaves_the_others_for_later() -> None:
    question = "How is the weather in Oslo and Paris?"
    demand = "\n\nCall at most one function."
    assert asked(question, WEATHER, demand=demand) == OSLO
    turns = [
        f"system: {hermes(WEATHER, demand=demand)}",
        f"user: {question}",
        f"assistant: {OSLO}",
        "user: <tool_response>\nIt rains.\n</tool_response>",
    ]
    assert answer(chatml(*turns)) == PARIS
    turns += [f"assistant: {PARIS}", "user: <tool_response>\n21\n</tool_response>"]
    assert answer(chatml(*turns)) == "It rains. The result of get_weather is 21."


# Which tool


@pytest.mark.parametrize("question", ["Hello!", "Who wrote Hamlet?", "Thanks a lot."])
def test_nothing_is_called_without_need(question: str) -> None:
    assert "<tool_call>" not in asked(question, WEATHER, ADD)


def named(name: str, description: str = "", **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": schema},
    }


@pytest.mark.parametrize(
    ("question", "called"),
    [
        ("What is the value of magic_function(3)? Use the tool.", "magic_function"),
        ("What is 1 + 2?", "add"),
        ("Tell me a joke about cats.", "Joke"),
        ("Will it rain in Oslo?", "get_weather"),
        ("What is the stock of product 'X1'?", "lookup"),
    ],
)
def test_the_tool_whose_words_fit_is_called(question: str, called: str) -> None:
    text = {"type": "string"}
    tools = [
        WEATHER,
        ADD,
        named("magic_function", "Apply a magic function.", input={"type": "integer"}),
        named("Joke", "Joke to tell user.", setup=text, punchline=text),
        named("lookup", "Looks up the stock of a product.", id=text),
    ]
    said = asked(question, *tools)
    assert json.loads(said.splitlines()[1])["name"] == called
    assert said.count("<tool_call>") == 1


@pytest.mark.parametrize(
    ("question", "cities"),
    [
        ("The weather in Oslo, Paris and Rio de Janeiro?", ["Oslo", "Paris", "Rio de Janeiro"]),
        ("Weather: Oslo or Paris", ["Oslo", "Paris"]),
        ("The weather in Paris, France?", ["Paris, France"]),
        ("The weather in Paris, France and in San Francisco, CA?",
         ["Paris, France", "San Francisco, CA"]),
        ("I am in Oslo.\nTell me the weather.", ["Oslo"]),
        ("The weather in San Francisco, CA and Oslo?", ["San Francisco, CA", "Oslo"]),
        ("What is Monday's weather in Oslo?", ["Oslo"]),
        ("The weather of 'Aa' and of 'Bb'", ["Aa", "Bb"]),
    ],
)  # fmt: skip
def test_a_tool_is_called_once_for_each_place(question: str, cities: list[str]) -> None:
    said = asked(question, WEATHER)
    assert said == "\n".join(OSLO.replace("Oslo", city) for city in cities)


def test_a_question_that_goes_on_with_the_last_one_calls_the_same_tool() -> None:
    prompt = chatml(
        f"system: {hermes(ADD, WEATHER)}",
        "user: How is the weather in Oslo?",
        f"assistant: {OSLO}",
        "user: <tool_response>\nIt rains.\n</tool_response>",
        "assistant: It rains.",
        "user: And in Paris?",
    )
    assert answer(prompt) == PARIS


def test_a_result_that_asks_for_another_try_gets_one() -> None:
    turns = [f"system: {hermes(ADD)}", "user: What is 1 + 2?"]
    again = [
        f"assistant: {ADDED}",
        "user: <tool_response>\nError: b is missing. Please fix your mistakes.\n</tool_response>",
    ]
    assert answer(chatml(*turns, *again)) == ADDED
    assert "Error" in answer(chatml(*turns, *again * 6))


# With what


@pytest.mark.parametrize(
    ("question", "properties", "made"),
    [
        ("Oslo", {"city": {"type": "string"}}, {"city": "Oslo"}),
        ("the weather in San Francisco, CA?", {"location": {"type": "string"}},
         {"location": "San Francisco, CA"}),
        ("How is the weather in new york today?", {"city": {"type": "string"}},
         {"city": "new york"}),
        ("Create a customer named '你好啊集团' (Hello Group) - a Chinese company",
         {"customer_name": {"type": "string"}, "description": {"type": "string"}},
         {"customer_name": "你好啊集团", "description": "a Chinese company"}),
        ("Put 「こんにちは」 into “English”", {"a": {"type": "string"}, "b": {"type": "string"}},
         {"a": "こんにちは", "b": "English"}),
        ("Add Bob, age 42", {"name": {"type": "string"}, "age": {"type": "integer"}},
         {"name": "Bob", "age": 42}),
        ("subtract: b=-5, a=2.5", {"a": {"type": "number"}, "b": {"type": "number"}},
         {"a": 2.5, "b": -5}),
        ("It is very hot", {"degrees": {"enum": ["cold", "hot"]}, "on": {"type": "boolean"}},
         {"degrees": "hot", "on": True}),
        ("Hello", {"unit": {"type": "string", "enum": ["c", "f"]}}, {"unit": "c"}),
        ("Write to ann@example.org", {"email": {"type": "string"}}, {"email": "ann@example.org"}),
        ("1, 2 and 3", {"values": {"type": "array", "items": {"type": "integer"}}},
         {"values": [1, 2, 3]}),
        ("Say 'x' twice", {"tags": {"type": "array", "items": {"type": "string"}}},
         {"tags": ["x"]}),
        ("7", {"at": {"type": "integer", "minimum": 10, "maximum": 20}}, {"at": 10}),
        ("Search for cats", {"query": {"type": "string"}}, {"query": "Search for cats"}),
        ("Find out about black holes", {"topic": {"type": "string"}}, {"topic": "black holes"}),
        ("Bob orders 3 apples", {"product": {"type": "string"}, "who": {"type": "string"}},
         {"product": "apples", "who": "Bob"}),
        ("Post the comment 'well done'", {"comment": {"type": "string"}}, {"comment": "well done"}),
        ("Write a word", {"word": {"type": "string"}}, {"word": "Word about Write a word"}),
        ("Who is called Ann", {"person": {"type": "string"}}, {"person": "Ann"}),
        ("Set it to seven", {"level": {"type": "integer"}}, {"level": 7}),
        ("Without lights", {"lights": {"type": "boolean"}}, {"lights": False}),
        ("from 10 to 12, by 5", {"start": {"type": "integer"}, "to": {"type": "integer"},
                                 "by": {"type": "integer"}}, {"start": 10, "to": 12, "by": 5}),
        ("id AB-12 is it", {"id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}},
         {"id": "AB-12"}),
        ("see https://a.example/x.", {"url": {"type": "string", "format": "uri"}},
         {"url": "https://a.example/x"}),
        ("x", {"is": {"const": 3}, "no": {"type": "null"}}, {"is": 3, "no": None}),
    ],
)  # fmt: skip
def test_arguments_come_out_of_the_request(
    question: str, properties: dict[str, Any], made: dict[str, Any]
) -> None:
    assert arguments(question, properties) == made


def test_optional_arguments_are_given_where_the_request_has_them() -> None:
    properties = {
        "city": {"type": "string"},
        "days": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        "note": {"type": "string"},
    }
    needed = {"required": ["city"]}
    assert arguments("Weather in Oslo", properties, **needed) == {"city": "Oslo"}
    question = "Weather in Oslo for 3 days in fahrenheit, without a note"
    assert arguments(question, properties, **needed) == {
        "city": "Oslo",
        "days": 3,
        "unit": "fahrenheit",
    }


def test_all_without_a_default_is_given_where_a_schema_does_not_say_what_it_needs() -> None:
    properties = {"city": {"type": "string"}, "days": {"type": "integer", "default": 1}}
    tool = named("f")
    tool["function"]["parameters"] = {"properties": properties}
    said = asked("Oslo", tool, demand="\n\nYou must call the function f now.")
    assert said == '<tool_call>\n{"name": "f", "arguments": {"city": "Oslo"}}\n</tool_call>'


def test_a_name_that_the_description_lists_is_chosen_by_what_it_says() -> None:
    about = (
        "Useful for handing off to another agent.\n\nCurrently available agents:\n"
        "{'painter': 'Paints pictures', 'poet': 'Writes poems'}\n"
    )
    text = {"type": "string"}
    said = asked("Write a poem about the sea.", named("handoff", about, to_agent=text, reason=text))
    assert json.loads(said.splitlines()[1])["arguments"] == {
        "to_agent": "poet",
        "reason": "Reason about the sea",
    }


def test_the_choice_of_alternatives_follows_the_request() -> None:
    kinds = [
        {"type": "object", "title": "Circle", "properties": {"radius": {"type": "number"}}},
        {"type": "object", "title": "Square", "properties": {"side": {"type": "number"}}},
    ]
    made = arguments("Draw a square with a side of 3", {"shape": {"anyOf": kinds}})
    assert made == {"shape": {"side": 3}}


def test_references_alternatives_and_nested_objects_are_followed() -> None:
    definitions = {
        "Place": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "zip": {"$ref": "#/$defs/Zip"}},
            "required": ["city", "zip"],
        },
        "Zip": {"type": "integer"},
        "Node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["name", "next"],
        },
    }
    made = arguments(
        "Go to Oslo 150",
        {
            "place": {"allOf": [{"$ref": "#/$defs/Place"}], "description": "Where to"},
            "number": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "node": {"$ref": "#/$defs/Node"},
        },
        **{"$defs": definitions},
    )
    assert made["place"] == {"city": "Oslo", "zip": 150}
    assert isinstance(made["number"], str)
    depth, node = 0, made["node"]
    while node is not None:
        depth, node = depth + 1, node["next"]
    assert 1 <= depth < 10


# JSON


def test_json_that_fits_the_schema_in_the_prompt() -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "degrees": {"type": "number"}},
        "required": ["city", "degrees"],
    }
    told = "Answer with JSON that fits the JSON schema below, and with nothing else."
    system = f"Be brief.\n\n{told}\n{json.dumps(schema)}"
    expected = '{"city": "Oslo", "degrees": 21.5}'
    assert answer("It is 21.5 degrees in Oslo.", system_prompt=system) == expected
    assert answer(f"It is 21.5 degrees in Oslo.\n\n{told}\n{json.dumps(schema)}") == expected
    doubled = json.dumps(schema).replace("{", "{{").replace("}", "}}")
    asking = (
        f"It is 21.5 degrees in Oslo.\n\nHere's a JSON schema to follow:\n{doubled}\n\nOutput a "
    )
    assert answer(f"{asking}valid JSON object but do not repeat the schema.\n") == expected


@pytest.mark.parametrize(
    ("asking", "made"),
    [
        (
            "Tell me a joke about cats. Return a JSON with 'setup' and 'punchline' keys.",
            {"setup": "Setup about cats", "punchline": "Punchline about cats"},
        ),
        ("Describe Oslo. Answer as JSON with the keys city and country.",
         {"city": "Oslo", "country": "Describe Oslo."}),
        ("Who was first? Answer with one JSON object.", {"answer": "Answer about Who was first"}),
    ],
)  # fmt: skip
def test_json_with_the_keys_that_are_named(asking: str, made: dict[str, str]) -> None:
    assert json.loads(answer(asking)) == made


def test_native_forms_are_heeded() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    said = {"role": "user", "content": "Seven is 7"}
    for form in (
        {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        json.dumps({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}),
        schema,
    ):
        assert native(said, response_format=form) == '{"n": 7}'
    asking = {"role": "user", "content": "Answer as JSON with the key 'city': Oslo"}
    assert native(asking, response_format={"type": "json_object"}) == '{"city": "Oslo"}'
    assert "{" not in native(said, response_format={"type": "text"})


def test_a_tool_comes_before_the_json_and_its_result_goes_into_it() -> None:
    schema = {"type": "object", "properties": {"rain": {"type": "string"}}, "required": ["rain"]}
    demand = (
        "\n\nUnless you call a function, answer with JSON that fits the JSON schema below, and "
        f"with nothing else.\n{json.dumps(schema)}"
    )
    turns = [f"system: {hermes(WEATHER, demand=demand)}", "user: How is the weather in Oslo?"]
    assert answer(chatml(*turns)) == OSLO
    turns += [f"assistant: {OSLO}", "user: <tool_response>\n'A lot'\n</tool_response>"]
    assert answer(chatml(*turns)) == '{"rain": "A lot"}'


# In words


@pytest.mark.parametrize(
    ("said", "asking", "told"),
    [
        ("Hi, my name is Bob and I live in Rome", "What's my name?", "Your name is Bob."),
        ("I'm Ann Lee.", "What is my name?", "Your name is Ann Lee."),
        ("My favourite colour is dark green.", "What is my favourite colour?",
         "Your favourite colour is dark green."),
        ("Hi", "What is my name?", "You have not told me your name."),
    ],
)  # fmt: skip
def test_it_remembers_what_it_was_told(said: str, asking: str, told: str) -> None:
    assert answer(chatml(f"user: {said}", "assistant: I see.", f"user: {asking}")) == told
    assert answer(f"<s>[INST] {said}[/INST] I see.</s>[INST] {asking}[/INST]") == told
    assert answer(f"User: {said}\n\nAssistant: I see.\n\nUser: {asking}\n\nAssistant:") == told
    assert answer({"prompt": asking, "history": [said, "I see."]}) == told


def test_a_question_on_a_text_is_answered_out_of_the_text() -> None:
    prompt = (
        "Context information is below.\n---\nOslo lies in Norway. Its port is large.\n"
        "Paris lies in France.\n---\nGiven the context information and not prior knowledge, answer "
        "the query.\nQuery: In which country lies Paris?\nAnswer: "
    )
    assert answer(prompt) == "Paris lies in France."


COMMAND_R = (
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{}<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
)


@pytest.mark.parametrize(
    "turn",
    [
        "<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
        "<|user|>\n{}<|end|>\n<|assistant|>\n",
        "<|user|>\n{}</s>\n<|assistant|>\n",
        "<|im_start|>user<|im_sep|>{}<|im_end|><|im_start|>assistant<|im_sep|>",
        COMMAND_R,
        "<s>GPT4 Correct User: {}<|end_of_turn|>GPT4 Correct Assistant:",
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n{} [/INST]",
        "A chat. USER: {} ASSISTANT:",
        "### Instruction:\n{}\n\n### Response:\n",
        "{}",
    ],
)
def test_the_words_of_other_formats_are_understood(turn: str) -> None:
    assert answer(turn.format("Hello!")) == "Hello! How can I help you today?"


# Bad habits

SYSTEM = hermes(WEATHER)
FORECAST = "How is the weather in Oslo?"


def test_it_can_say_something_first() -> None:
    user = ToolUser(prose_before=True)
    assert asked(FORECAST, WEATHER, user=user) == f"I will use get_weather for that.\n\n{OSLO}"
    output = native(QUESTION, tools=[WEATHER])
    assert output["content"] is None
    output = answer({"messages": [QUESTION], "tools": [WEATHER]}, user)
    assert output["content"] == "I will use get_weather for that."
    assert answer("Answer with one JSON object.", user).startswith("Here is the JSON:\n\n{")


def test_it_can_put_fences_around_json() -> None:
    fenced = OSLO.replace("{", "```json\n{", 1).replace("\n</tool_call>", "\n```\n</tool_call>")
    assert asked(FORECAST, WEATHER, user=ToolUser(fenced=True)) == fenced
    given = {"prompt": FORECAST, "system_prompt": LLAMA_SYSTEM}
    call = '{"name": "get_weather", "parameters": {"city": "Oslo"}}'
    assert answer(given, ToolUser(fenced=True)) == f"```json\n{call}\n```"
    assert answer("Answer with one JSON object: 1", ToolUser(fenced=True)).startswith("```json\n{")


def test_it_can_write_dicts_as_python_does() -> None:
    user = ToolUser(python_literals=True)
    said = asked(FORECAST, WEATHER, user=user)
    assert said == (
        "<tool_call>\n{'name': 'get_weather', 'arguments': {'city': 'Oslo'}}\n</tool_call>"
    )
    output = answer({"messages": [QUESTION], "tools": [WEATHER]}, user)
    assert output["tool_calls"][0]["function"]["arguments"] == "{'city': 'Oslo'}"


def test_it_can_break_off() -> None:
    user = ToolUser(truncated=True)
    said = asked("How is the weather in Oslo and Paris?", WEATHER, user=user)
    assert f"{OSLO}\n{PARIS}".startswith(said)
    assert len(OSLO) < len(said) < len(OSLO) + len(PARIS) - len("}}\n</tool_call>")
    output = answer({"messages": [QUESTION], "tools": [WEATHER]}, user)
    first, last = (call["function"]["arguments"] for call in output["tool_calls"])
    assert first == '{"city": "Oslo"}'
    assert '{"city": "Paris"}'.startswith(last)
    assert last != '{"city": "Paris"}'
    asking = {"prompt": "Answer as JSON with the key city: Oslo"}
    assert '{"city": "Oslo"}'.startswith(answer(asking, user))


def test_it_can_refuse_until_it_is_asked_again() -> None:
    user = ToolUser(refuses_first=True)
    demand = "\n\nYou must call the function get_weather now, and answer with nothing else."
    system = f"system: {hermes(WEATHER, demand=demand)}"
    refusal = answer(chatml(system, f"user: {FORECAST}"), user)
    assert "<tool_call>" not in refusal
    again = "user: That answer will not do: it calls no tool. Answer again."
    assert answer(chatml(system, f"user: {FORECAST}", f"assistant: {refusal}", again), user) == OSLO
    assert answer(chatml(system, f"user: {FORECAST}", again), user) == OSLO
    assert asked(FORECAST, WEATHER, user=user) == OSLO
    assert "{" not in answer("Answer with one JSON object.", user)
    asking = "[INST] Answer with one JSON object, with the key city.\n\nOslo?[/INST]"
    assert answer(f"<s>{asking} Oslo.</s>[INST] Answer again.[/INST]", user) == '{"city": "Oslo"}'


def test_it_can_never_call() -> None:
    user = ToolUser(never_calls=True)
    assert "<tool_call>" not in asked(FORECAST, WEATHER, user=user)
    assert "<tool_call>" not in asked(
        FORECAST, WEATHER, demand="\n\nYou must use a tool.", user=user
    )
    assert isinstance(answer({"messages": [QUESTION], "tools": [WEATHER]}, user), str)
    asking = {"prompt": "Answer as JSON with the key city: Oslo"}
    assert answer(asking, user) == '{"city": "Oslo"}'


def test_it_can_think_first() -> None:
    user = ToolUser(thinks=True)
    thoughts, _, said = asked(FORECAST, WEATHER, user=user).partition("</think>\n\n")
    assert thoughts.startswith("<think>\n")
    assert said == OSLO
    assert answer("Hello!", user).endswith("</think>\n\nHello! How can I help you today?")


@pytest.mark.parametrize(
    ("prompt", "call", "mark_of_result"),
    [
        (chatml(f"system: {SYSTEM}", f"user: {FORECAST}"), OSLO, "\n<tool_response>\n"),
        (MISTRAL, "[TOOL_CALLS] [", "][TOOL_RESULTS] {"),
        (DEEPSEEK, DEEPSEEK_CALL, mark("tool output begin")),
        (GRANITE, "<|tool_call|>[", "<|start_of_role|>tool_response<|end_of_role|>"),
    ],
)
def test_it_can_invent_results(prompt: str, call: str, mark_of_result: str) -> None:
    said = answer(prompt, ToolUser(hallucinates_result=True))
    assert said.startswith(call)
    assert mark_of_result in said
    assert said.endswith("The result is 11.")


# Agents' own formats

REACT = (
    "You are designed to help with a variety of tasks.\n\n## Tools\n\nYou have access to the "
    "following tools:\n> Tool Name: get_weather\nTool Description: get_weather(city: str) -> str\n"
    'Get the weather in a city.\nTool Args: {"properties": {"city": {"type": "string"}}, '
    '"required": ["city"], "type": "object"}\n\n## Output Format\n\nPlease use the following '
    "format:\n\n```\nThought: I need to use a tool to help me answer the question.\nAction: tool "
    "name (one of get_weather) if using a tool.\nAction Input: the input to the tool, in a JSON "
    'format representing the kwargs (e.g. {"input": "hello world"})\n```\n\nPlease use a valid '
    "JSON format for the Action Input.\n\n```\nThought: I can answer without using any more tools."
    "\nAnswer: [your answer here (In the same language as the user's question)]\n```\n\n"
)


def test_react() -> None:
    action = (
        "Thought: I need to use a tool to help me answer the question.\nAction: get_weather\n"
        'Action Input: {"city": "Oslo"}'
    )
    turns = [f"system: {REACT}", "user: How is the weather in Oslo and Paris?"]
    assert answer(chatml(*turns)) == action
    earlier = action.replace('{"city": "Oslo"}', "{'city': 'Oslo'}")
    turns += [f"assistant: {earlier}", "user: Observation: It rains."]
    assert answer(chatml(*turns)) == action.replace("Oslo", "Paris")
    turns += [f"assistant: {action.replace('Oslo', 'Paris')}", "user: Observation: Sun."]
    end = "Thought: I can answer without using any more tools.\nAnswer: "
    assert answer(chatml(*turns)) == f"{end}It rains. Sun."


def test_code() -> None:
    system = (
        "You can write and execute Python code.\n\nYou will be given a task to perform. You should "
        "output:\n- Python code wrapped in <execute>...</execute> tags.\n\nYou can use the "
        "following functions:\n"
        'def get_weather(city: str) -> str:\n  """\nGet the weather in a city.\n  """\n\n  ...\n\n'
        'def add(a: int, b: int = 2) -> int:\n  """\nAdds two numbers.\n  """\n\n  ...\n\n\n'
        "Reminder: Always place your Python code between <execute>...</execute> tags."
    )
    turns = [f"system: {system}", "user: How is the weather in Oslo, and what is 1 + 2?"]
    code = "<execute>\nprint(get_weather(city='Oslo'))\nprint(add(a=1, b=2))\n</execute>"
    assert answer(chatml(*turns)) == code
    turns += [f"assistant: {code}", "user: Result of executing the code given:\n\nIt rains.\n3\n"]
    assert answer(chatml(*turns)) == "It rains.\n3."


# In the emulator


async def test_a_model_of_the_emulator_calls_a_tool_and_tells_what_it_gave() -> None:
    tools = [ToolSpec("get_weather", "Get the weather in a city.",
                      WEATHER["function"]["parameters"])]  # type: ignore[index]  # fmt: skip
    question = Message("user", FORECAST)
    with Emulator(ToolUser()) as emulator:
        emulator.add_model("acme/native", ToolUser.native_input,
                           output_schema=ToolUser.native_output, official=True)  # fmt: skip
        async with Client(emulator.token, base_url=emulator.base_url) as client:
            for model in (emulator.model, "acme/native"):
                called = await client.complete(model, [question], tools=tools)
                assert [(c.name, c.arguments) for c in called.tool_calls] == [
                    ("get_weather", {"city": "Oslo"})
                ]
                said = Message("assistant", "", tool_calls=called.tool_calls)
                result = Message("tool", "It rains.", tool_call_id=called.tool_calls[0].id)
                told = await client.complete(model, [question, said, result], tools=tools)
                assert (told.text, told.finish_reason) == ("It rains.", "stop")


def test_it_shares_no_code_with_what_writes_the_prompts() -> None:
    import replicate_stream.testing._tool_user as package

    for path in Path(package.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"replicate_stream\._(?:model|request|response)", text)


SCALARS = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(
        lambda low, more, kind: {"type": kind, "minimum": low, "maximum": low + more},
        st.integers(-50, 50),
        st.integers(0, 9),
        st.sampled_from(["integer", "number"]),
    ),
    st.builds(
        lambda low, kind: {"type": kind, "exclusiveMinimum": low, "multipleOf": 3},
        st.integers(-50, 50),
        st.sampled_from(["integer", "number"]),
    ),
    st.builds(
        lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
        st.integers(0, 30),
        st.integers(0, 30),
    ),
    st.builds(lambda options: {"enum": options},
              st.lists(st.sampled_from(["a", "Oslo", 3, None, True]), min_size=1)),
    st.builds(lambda form: {"type": "string", "format": form},
              st.sampled_from(["date", "date-time", "email", "uri", "uuid"])),
    st.builds(lambda kind: {"type": [kind, "null"]}, st.sampled_from(["string", "integer"])),
    st.just({"$ref": "#/$defs/Tree"}),
)  # fmt: skip
NAMES = st.sampled_from(["city", "name", "query", "description", "a", "on", "x_y", "tags", "to"])


def objects(inner: Any) -> Any:
    return st.builds(
        lambda properties, needed: {
            "type": "object",
            "properties": properties,
            "required": sorted(properties)[:needed],
            "additionalProperties": False,
        },
        st.dictionaries(NAMES, inner, max_size=4),
        st.integers(0, 4),
    )


def compound(inner: Any) -> Any:
    lists = st.builds(
        lambda items, least: {"type": "array", "items": items, "minItems": least, "maxItems": 3},
        inner,
        st.integers(0, 3),
    )
    choices = st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3))
    return lists | choices | objects(inner)


TREE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
        "next": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]},
    },
    "required": ["name", "next"],
}


@given(
    schema=objects(st.recursive(SCALARS, compound, max_leaves=6)),
    question=st.sampled_from(["Hello!", "In Oslo, Paris and 7 or -3 others: 'a b' - city=x", "?"])
    | st.text(max_size=30),
)
@settings(max_examples=150, deadline=None)
def test_what_it_makes_fits_the_schema(schema: dict[str, Any], question: str) -> None:
    whole = {**schema, "$defs": {"Tree": TREE}}
    demand = f"Answer with JSON that fits the JSON schema below.\n{json.dumps(whole)}"
    made = json.loads(answer(question, system_prompt=demand))
    jsonschema.Draft202012Validator(whole).validate(made)


# What is wrong in a prompt shows


@pytest.mark.parametrize(
    ("prompt", "right", "wrong"),
    [
        (chatml(f"system: {SYSTEM}", f"user: {FORECAST}"), "<tools>\n", "<tool>\n"),
        (llama(f"system: {LLAMA_SYSTEM}", f"user: {FORECAST}"), "Respond in", "Answer in"),
        (MISTRAL, "[AVAILABLE_TOOLS]", "[AVAILABLE_TOOL]"),
        (GRANITE, "available_tools<", "system<"),
        (DEEPSEEK, "### get_weather\nDescription", "### get_weather\n\nDescription"),
    ],
)
def test_tools_that_are_told_in_another_way_are_not_seen(
    prompt: str, right: str, wrong: str
) -> None:
    assert "get_weather" in answer(prompt)
    assert "get_weather" not in answer(prompt.replace(right, wrong))


@pytest.mark.parametrize(
    ("prompt", "right", "wrong"),
    [
        (chatml(f"system: {SYSTEM}", f"user: {FORECAST}"), "<|im_end|>", "<|im_stop|>"),
        (chatml(f"user: {FORECAST}"), "<|im_start|>user\n", "<|im_start|>user:"),
        (llama(f"user: {FORECAST}"), "<|end_header_id|>\n\n", "<|end_header_id|>\n"),
        (llama(f"user: {FORECAST}"), "<|eot_id|>", "<|eot|>"),
        (GRANITE, "<|end_of_text|>", "<|endoftext|>"),
        (GRANITE, "available_tools<", "tools<"),
        (DEEPSEEK, mark("Assistant"), mark("assistant")),
    ],
)
def test_a_mark_that_is_out_of_place_is_not_understood(prompt: str, right: str, wrong: str) -> None:
    assert "understand" not in answer(prompt)
    assert answer(prompt.replace(right, wrong)).startswith("I do not understand what <")


def test_a_mark_that_was_broken_is_mere_text() -> None:
    assert "understand" not in answer(chatml("user: What is <|im_end| > good for?"))


PIECES = st.sampled_from([
    "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n", "[INST] ", "[/INST]", "</s>",
    "[TOOL_CALLS] ", "[AVAILABLE_TOOLS] ", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS] ", "<tool_call>\n",
    "</tool_call>", "<tool_response>\n", "</tool_response>", "<tools>\n", "\n</tools>", "User: ",
    "\nAssistant:", mark("User"), mark("Assistant"), mark("tool calls begin"), mark("tool sep"),
    '{"name": "f", "arguments": {"a": 1}}', '{"name": "f"', "[1, ", "{", "}", "Hello", "Oslo", "3",
    "JSON schema", "Answer as JSON with keys ", "You must call the function f.", "'a'", "\n\n",
    "Thought: x\nAction: f\nAction Input: {", "<execute>f(a=1)</execute>", "Observation: 1", SYSTEM,
    LLAMA_SYSTEM, REACT,
])  # fmt: skip


@given(prompt=st.lists(PIECES, max_size=12).map("".join), system=st.lists(PIECES).map("".join))
@settings(max_examples=150, deadline=None)
def test_it_answers_any_prompt(prompt: str, system: str) -> None:
    assert answer({"prompt": prompt, "system_prompt": system, "tools": [ADD]}) is not None
    messages = [{"role": "user", "content": system}, 3]
    assert answer({"prompt": prompt, "messages": messages}) is not None


def test_an_answer_ends_where_it_uses_up_its_tokens() -> None:
    assert answer("Hello!", max_tokens=3) == "Hello! How can"
    assert answer({"prompt": "Hello!", "max_new_tokens": 1}) == "Hello!"

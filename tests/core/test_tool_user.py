"""The emulator's model that uses tools, against prompts as the vendors' templates make them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from replicate_stream.testing import Reply, ToolUser

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

"""The scripted model that calls tools, against prompts as the vendors' templates make them."""

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
from replicate_stream.testing import Emulator, Reply, ToolUser, tool_formats, tool_model

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
NOW = {"type": "function", "function": {"name": "now", "parameters": {"properties": {}}}}
OSLO: Any = ("get_weather", {"city": "Oslo"})
PARIS: Any = ("get_weather", {"city": "Paris"})
QUESTION = "How is the weather in Oslo?"
HERMES = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'


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


def answer(values: Any, **options: Any) -> Any:
    """The answer of a scripted model to a prompt, or to an input: text, or the native message."""
    reply = ToolUser(**options)({"prompt": values} if isinstance(values, str) else values)
    assert isinstance(reply, Reply)
    assert isinstance(reply.tokens, list | tuple)
    return "".join(map(str, reply.tokens)) if reply.tokens else reply.output


LLAMA_SYSTEM = (
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nYou have access to the "
    "following functions. To call a function, please respond with JSON for a function call. "
    'Respond in the format {"name": function name, "parameters": dictionary of argument name and '
    f"its value}}. Do not use variables.\n\n{json.dumps(WEATHER, indent=4)}\n\nBe brief."
)


def llama(
    *turns: str, marks: tuple[str, ...] = ("start_header_id", "end_header_id", "eot_id")
) -> str:
    """Llama's format, from turns as `role: text`, up to where the model answers."""
    opening, closing, end = (f"<|{mark}|>" for mark in marks)
    parted = (turn.partition(": ") for turn in turns)
    written = "".join(f"{opening}{role}{closing}\n\n{text}{end}" for role, _, text in parted)
    return f"<|begin_of_text|>{written}{opening}assistant{closing}\n\n"


def mark(words: str) -> str:
    """One of DeepSeek's marks."""
    return f"<\uff5c{words.replace(' ', chr(0x2581))}\uff5c>"


MISTRAL = (
    f"<s>[INST] My name is Bob.[/INST] Hello Bob.</s>[AVAILABLE_TOOLS] {json.dumps([WEATHER])}"
    f"[/AVAILABLE_TOOLS][INST] {QUESTION}[/INST]"
)
GRANITE = (
    "<|start_of_role|>system<|end_of_role|>You are a helpful AI assistant with access to the "
    "following tools. When a tool is required to answer the user's query, respond with "
    "<|tool_call|> followed by a JSON list of tools used. If a tool does not exist in the provided "
    "list of tools, notify the user that you do not have the ability to fulfill the request."
    "<|end_of_text|>\n<|start_of_role|>available_tools<|end_of_role|>"
    f"{json.dumps([WEATHER], indent=4)}<|end_of_text|>\n"
    "<|start_of_role|>user<|end_of_role|>How is the weather in Oslo?<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|>"
)


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


PROMPTS = {
    "hermes": chatml(f"system: {hermes(WEATHER)}", f"user: {QUESTION}"),
    "llama 3.1": llama(f"system: {LLAMA_SYSTEM}", f"user: {QUESTION}"),
    "llama 4": llama(
        f"system: {LLAMA_SYSTEM}",
        f"user: {QUESTION}",
        marks=("header_start", "header_end", "eot"),
    ),
    "mistral": MISTRAL,
    "granite": GRANITE,
    "deepseek": DEEPSEEK,
}
LLAMA_CALL = '{"name": "get_weather", "parameters": {"city": "Oslo"}}'
MISTRAL_CALL = '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "ID"}]'
GRANITE_CALL = '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Oslo"}}]'
CALLS = {
    "hermes": HERMES,
    "llama 3.1": LLAMA_CALL,
    "llama 4": LLAMA_CALL,
    "mistral": MISTRAL_CALL,
    "granite": GRANITE_CALL,
    "deepseek": DEEPSEEK_CALL,
}
# The turns that follow the call: a result of the tool, and the mark of the answer.
RESULTS = {
    "hermes": "<|im_end|>\n<|im_start|>user\n<tool_response>\nIt rains.\n</tool_response>"
    "<|im_end|>\n<|im_start|>assistant\n",
    "llama 3.1": '<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n"It rains."<|eot_id|>'
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "llama 4": '<|eot|><|header_start|>ipython<|header_end|>\n\n"It rains."<|eot|>'
    "<|header_start|>assistant<|header_end|>\n\n",
    "mistral": '</s>[TOOL_RESULTS] {"content": "It rains.", "call_id": "ID"}[/TOOL_RESULTS]',
    "granite": "<|end_of_text|>\n<|start_of_role|>tool_response<|end_of_role|>It rains."
    "<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
    "deepseek": f"{mark('end of sentence')}{mark('tool outputs begin')}{mark('tool output begin')}"
    f"It rains.{mark('tool output end')}{mark('tool outputs end')}",
}
FORMATS = pytest.mark.parametrize("name", PROMPTS)


def without_id(text: str) -> str:
    return re.sub(r'"id": "\w{9}"', '"id": "ID"', text)


@FORMATS
def test_it_makes_the_calls_in_the_format_of_the_offer(name: str) -> None:
    assert without_id(answer(PROMPTS[name], calls=[OSLO])) == CALLS[name]
    two = answer(PROMPTS[name], calls=[OSLO, PARIS])
    assert two.index("Oslo") < two.index("Paris")
    assert two.count("get_weather") == 2


@FORMATS
def test_without_calls_it_calls_every_tool_with_generated_arguments(name: str) -> None:
    assert without_id(answer(PROMPTS[name])) == CALLS[name].replace("Oslo", "city")


@FORMATS
def test_it_answers_once_there_are_results(name: str) -> None:
    prompt = f"{PROMPTS[name]}{CALLS[name]}{RESULTS[name]}"
    assert answer(prompt) == "It rains."
    assert answer(prompt, calls=[OSLO], answer="Take an umbrella.") == "Take an umbrella."


@FORMATS
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_it_continues_a_call_that_the_prompt_begins(name: str, share: float) -> None:
    call = CALLS[name].partition(', "id"')[0]
    begun = call[: int(share * len(call))]
    assert (begun + answer(PROMPTS[name] + begun, calls=[OSLO])).startswith(call)


def test_it_makes_the_call_whose_name_the_prompt_ends_with() -> None:
    begun = '<tool_call>\n{"name": "now", "arguments":'
    prompt = chatml(f"system: {hermes(WEATHER, NOW)}", "user: Hi") + begun
    assert answer(prompt, calls=[OSLO]) == " {}}\n</tool_call>"


def test_it_calls_all_offered_tools_in_one_answer() -> None:
    prompt = chatml(f"system: {hermes(WEATHER, NOW)}", "user: Hi")
    names = re.findall(r'"name": "(\w+)"', answer(prompt))
    assert names == ["get_weather", "now"]


def test_it_makes_a_demanded_call_even_after_results() -> None:
    system = hermes(WEATHER, NOW, demand="\n\nYou must call one of the functions now.")
    result = "user: <tool_response>\nIt rains.\n</tool_response>"
    prompt = chatml(f"system: {system}", f"user: {QUESTION}", f"assistant: {HERMES}", result)
    assert (
        answer(prompt, calls=[OSLO])
        == '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
    )


def test_a_later_question_gets_calls_again() -> None:
    result = "user: <tool_response>\nIt rains.\n</tool_response>"
    turns = [f"system: {hermes(WEATHER)}", f"user: {QUESTION}", f"assistant: {HERMES}", result]
    assert answer(chatml(*turns)) == "It rains."
    assert answer(chatml(*turns, "assistant: It rains.", "user: And now?"), calls=[OSLO]) == HERMES


def test_neither_a_result_nor_a_system_text_makes_it_call_forever() -> None:
    system = hermes(WEATHER, demand="\n\nYou must use the tools to answer.")
    result = "user: <tool_response>\nUser: Ann\nQuestion: Why?\n</tool_response>"
    turns = [f"system: {system}", f"user: {QUESTION}", f"assistant: {HERMES}", result]
    assert answer(chatml(*turns)) == "User: Ann\nQuestion: Why?"


def test_results_are_repeated_in_their_order() -> None:
    prompt = (
        f"User: {QUESTION}\n\nAssistant: {HERMES}\n\nTool: <tool_response>\n"
        '{"name": "get_weather", "content": "It rains."}\n</tool_response>\n<tool_response>\n'
        '{"name": "now", "content": "{\\"hour\\": 3}"}\n</tool_response>\n\nAssistant:'
    )
    assert answer({"prompt": prompt, "system_prompt": hermes(WEATHER)}) == 'It rains. {"hour": 3}'


def test_it_does_not_call_without_tools_or_with_an_empty_list_of_calls() -> None:
    assert answer("Hello", calls=[OSLO], answer="Hi!") == "Hi!"
    assert answer("Hello") == "This is a scripted answer."
    assert answer(PROMPTS["hermes"], calls=[], answer="No.") == "No."


def test_arguments_that_are_text_are_written_as_they_are() -> None:
    assert '"arguments": {city: Oslo}}' in answer(
        PROMPTS["hermes"], calls=[("get_weather", "{city: Oslo}")]
    )


def test_it_can_break_off() -> None:
    text = answer(PROMPTS["hermes"], calls=[OSLO, PARIS], truncated=True)
    assert text.startswith(HERMES)
    assert "<tool_call>" in text.removeprefix(HERMES)
    assert not text.endswith("</tool_call>")
    output = native(calls=[OSLO, PARIS], truncated=True)
    assert [call["function"]["arguments"] for call in output["tool_calls"]] == [
        '{"city": "Oslo"}',
        '{"city": "P',
    ]
    demand = {"prompt": "Hi", "response_format": {"properties": {"a": {"type": "null"}}}}
    assert answer(demand, truncated=True) == '{"a": n'


# Formats of every family

TABLES = Path(__file__).parents[1] / "model" / "vendor_prompts"
MODELS = [
    json.loads(path.read_text(encoding="utf-8"))["model"] for path in sorted(TABLES.glob("*.json"))
]
# These words are vLLM's own: such a model hands the prompt to the engine as it is.
BOUND = {"type": "integer", "description": "Maximum tokens to generate per output sequence."}
RAW = {"properties": {"prompt": {"type": "string"}, "max_tokens": BOUND}}


@pytest.mark.parametrize("model", MODELS)
async def test_it_calls_the_tools_that_the_client_offers_in_any_format(
    client: Client, replicate_emulator: Emulator, model: str
) -> None:
    replicate_emulator.add_model(model, RAW, official=True)
    replicate_emulator.reply = ToolUser(calls=[OSLO, ("now", {})])
    messages = [Message("user", QUESTION)]
    completion = await client.complete(model, messages, tools=[WEATHER, NOW])
    made = [(call.name, call.arguments) for call in completion.tool_calls]
    assert (completion.text, made) == ("", [OSLO, ("now", {})])
    messages.append(Message("assistant", tool_calls=completion.tool_calls))
    messages += [Message("tool", "It rains.", tool_call_id=completion.tool_calls[0].id)]
    messages += [Message("tool", "Noon.", tool_call_id=completion.tool_calls[1].id)]
    answered = await client.complete(model, messages, tools=[WEATHER, NOW])
    assert re.findall(r"\w+", answered.text) == ["It", "rains", "Noon"]
    forced = await client.complete(model, QUESTION, tools=[WEATHER, NOW], tool_choice="now")
    assert [call.name for call in forced.tool_calls] == ["now"]


# Native tools


def native(*messages: dict[str, Any], more: Any = None, **options: Any) -> Any:
    asked = {"role": "user", "content": QUESTION}
    tools = {"tools": [WEATHER, NOW]}
    return answer({"messages": [asked, *messages], **tools, **(more or {})}, **options)


def test_native_tools_are_called_in_an_object() -> None:
    output = native(calls=[OSLO, PARIS])
    assert (output["role"], output["content"]) == ("assistant", None)
    assert [call["function"] for call in output["tool_calls"]] == [
        {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
        {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    ]
    assert {call["type"] for call in output["tool_calls"]} == {"function"}
    assert len({call["id"] for call in output["tool_calls"]}) == 2
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"Result {at}."}
        for at, call in enumerate(output["tool_calls"])
    ]
    assert native(output, *results, calls=[OSLO, PARIS]) == "Result 0. Result 1."


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("auto", ["get_weather", "now"]),
        ({"type": "function", "function": {"name": "now"}}, ["now"]),
        ("none", []),
    ],
)
def test_a_native_choice_is_followed(choice: Any, names: list[str]) -> None:
    output = native(more={"tool_choice": choice})
    calls = output["tool_calls"] if isinstance(output, dict) else []
    assert [call["function"]["name"] for call in calls] == names


def test_a_native_call_is_made_after_results_where_it_is_required() -> None:
    result = {"role": "tool", "tool_call_id": "1", "content": "It rains."}
    output = native(result, more={"tool_choice": "required"}, calls=[OSLO])
    assert [call["function"]["name"] for call in output["tool_calls"]] == ["now"]


# JSON

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
DEMAND = f"Answer with JSON that fits the JSON schema below.\n{json.dumps(SCHEMA)}"


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": "Hi", "system_prompt": DEMAND},
        {"prompt": chatml(f"system: {DEMAND}", "user: Hi")},
        {"prompt": "Hi", "response_format": SCHEMA},
        {
            "prompt": "Hi",
            "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}},
        },
    ],
)
def test_json_is_generated_from_the_schema(values: Any) -> None:
    assert answer(values) == '{"n": 1}'
    assert answer(values, answer='{"n": 7}') == '{"n": 7}'


def test_json_without_a_schema_is_an_object() -> None:
    assert answer("Answer with one JSON object.") == '{"answer": "answer"}'
    assert answer({"prompt": "Hi", "response_format": {"type": "json_object"}}).startswith("{")


def test_tools_are_called_before_the_json_is_made() -> None:
    system = hermes(
        WEATHER, demand=f"\n\nUnless you call a function, {DEMAND.lower()[:1]}{DEMAND[1:]}"
    )
    turns = [f"system: {system}", f"user: {QUESTION}"]
    assert answer(chatml(*turns), calls=[OSLO]) == HERMES
    turns += [f"assistant: {HERMES}", "user: <tool_response>\nIt rains.\n</tool_response>"]
    assert answer(chatml(*turns), calls=[OSLO]) == '{"n": 1}'


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": False}, False),
        ({"enum": [None, "c", "f"]}, "c"),
        ({"type": "string", "default": "x"}, "x"),
        ({"type": "string", "examples": ["Paris"]}, "Paris"),
        ({"type": "string", "format": "date"}, "2024-01-31"),
        ({"type": "string", "minLength": 6}, "text.."),
        ({"type": ["null", "integer"], "exclusiveMinimum": 3}, 4),
        ({"type": "number", "maximum": -2}, -2),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"properties": {"a": {"type": "null"}, "b": {}}, "required": ["a"]}, {"a": None}),
        ({"properties": {"city": {}}}, {"city": "city"}),
    ],
)
def test_a_value_is_made_from_a_schema(schema: dict[str, Any], value: Any) -> None:
    assert tool_model.make_value(schema) == value


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
        lambda low, kind: {"type": kind, "exclusiveMinimum": low},
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


@given(schema=objects(st.recursive(SCALARS, compound, max_leaves=6)))
@settings(deadline=None)
def test_every_made_value_fits_its_schema(schema: dict[str, Any]) -> None:
    whole = {**schema, "$defs": {"Tree": TREE}}
    jsonschema.Draft202012Validator(whole).validate(tool_model.make_value(whole))


# Its independence


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("hermes", "<tools>\n", "<tool>\n"),
        ("llama 3.1", "Respond in", "Answer in"),
        ("mistral", "[AVAILABLE_TOOLS]", "[AVAILABLE_TOOL]"),
        ("granite", "available_tools<", "system<"),
        ("deepseek", "### get_weather\nDescription", "### get_weather\n\nDescription"),
    ],
)
def test_tools_that_are_offered_in_another_way_are_not_seen(
    name: str, right: str, wrong: str
) -> None:
    assert "get_weather" in answer(PROMPTS[name])
    assert "get_weather" not in answer(PROMPTS[name].replace(right, wrong))


def test_it_shares_no_code_with_what_writes_the_prompts() -> None:
    for module in (tool_model, tool_formats):
        text = Path(str(module.__file__)).read_text(encoding="utf-8")
        assert not re.search(r"replicate_stream\._(?:model|request|response)", text)
        assert len(text.splitlines()) <= 300


PIECES = st.sampled_from([
    "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n", "[INST] ", "[/INST]", "</s>",
    "[TOOL_CALLS] ", "[AVAILABLE_TOOLS] ", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS] ", "<tool_call>\n",
    "</tool_call>", "<tool_response>\n", "</tool_response>", "<tools>\n", "\n</tools>", "User: ",
    "\nAssistant:", mark("User"), mark("Assistant"), mark("tool calls begin"), mark("tool sep"),
    '{"name": "f", "arguments": {"a": 1}}', '{"name": "f"', "[1, ", "{", "}", "Hello", "Oslo", "3",
    "Answer with a JSON schema", "You must call the function f.", "\n\n", hermes(WEATHER),
    LLAMA_SYSTEM,
])  # fmt: skip


@given(prompt=st.lists(PIECES, max_size=12).map("".join), system=st.lists(PIECES).map("".join))
@settings(deadline=None)
def test_it_answers_any_prompt(prompt: str, system: str) -> None:
    assert answer({"prompt": prompt, "system_prompt": system, "tools": [WEATHER]}) is not None
    assert answer({"prompt": prompt, "system_prompt": system}) is not None
    assert answer({"messages": [{"role": "user", "content": system}]}) is not None


# In the emulator


async def test_a_model_of_the_emulator_calls_a_tool_and_repeats_its_result() -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [ToolSpec("get_weather", "Get the weather in a city.", parameters)]
    question = Message("user", QUESTION)
    with Emulator(ToolUser(calls=[OSLO])) as emulator:
        emulator.add_model("acme/native", ToolUser.native_input,
                           output_schema=ToolUser.native_output, official=True)  # fmt: skip
        async with Client(emulator.token, base_url=emulator.base_url) as client:
            for model in (emulator.model, "acme/native"):
                first = await client.complete(model, [question], tools=tools)
                assert [(call.name, call.arguments) for call in first.tool_calls] == [OSLO]
                message = Message("assistant", "", tool_calls=first.tool_calls)
                result = Message("tool", "It rains.", tool_call_id=first.tool_calls[0].id)
                last = await client.complete(model, [question, message, result], tools=tools)
                assert (last.text, last.finish_reason) == ("It rains.", "stop")

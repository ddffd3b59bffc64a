"""Calls in the formats in which models write them, from the answer to the call.

The answers are what each vendor's template or documentation shows; the docstrings of the families'
files name them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicate_stream import StreamEvent, ToolCall
from replicate_stream._model.families import TABLES
from replicate_stream._model.profile import build_profile
from replicate_stream._response.completion import CompletionBuilder
from replicate_stream._response.parser import AnswerParser
from replicate_stream._types.request import ExpectedAnswer
from replicate_stream._types.tool_choice import parse_tool_choice


class Answer(NamedTuple):
    """An answer of a model, the calls in it as (name, arguments), and its text."""

    model: str
    text: str
    calls: list[tuple[str, Any]]
    rest: str = ""


class Parsed(NamedTuple):
    """What was read of an answer."""

    text: str
    tool_calls: tuple[ToolCall, ...]


TOOLS = [
    {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "units": {"enum": ["metric", "imperial"]},
                "hourly": {"type": "boolean"},
                "places": {"type": "array", "items": {"type": "string"}},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
        },
    },
    {"name": "now", "parameters": {"type": "object", "properties": {}}},
]
PARIS = ("weather", {"city": "Paris"})
THREE_DAYS = ("weather", {"city": "Paris", "days": 3})
NOW: tuple[str, Any] = ("now", {})
JSON = '{"name": "weather", "arguments": {"city": "Paris"}}'


def bar(words: str) -> str:
    return f"<\uff5c{words.replace(' ', chr(0x2581))}\uff5c>"


ANTML = "antml:"
DSML = "\uff5cDSML\uff5c"
HERMES, CODER = "nousresearch/hermes-3-llama-3.1-8b", "qwen/qwen3-coder-480b-a35b-instruct"
LLAMA, LLAMA4 = "meta/meta-llama-3.1-405b-instruct", "meta/llama-4-maverick-instruct"
TEKKEN, GPT_OSS = "mistralai/mistral-small-3.2-24b-instruct", "openai/gpt-oss-120b"
R1, V3, V32 = (f"deepseek-ai/deepseek-{version}" for version in ("r1", "v3", "v3.2"))
ANSWERS = {
    "hermes": Answer(HERMES, f"<tool_call>\n{JSON}\n</tool_call>", [PARIS]),
    "hermes, several in one tag": Answer(
        HERMES, f'<tool_call>\n{JSON}\n{{"name": "now"}}\n</tool_call>', [PARIS, NOW]
    ),
    "llama": Answer(LLAMA, '{"name": "weather", "parameters": {"city": "Paris"}}', [PARIS]),
    "llama, two": Answer(LLAMA, f'{JSON}; {{"name": "now", "parameters": {{}}}}', [PARIS, NOW]),
    "llama, python_tag": Answer(
        LLAMA, '<|python_tag|>weather.call(city="Paris", days=3)<|eom_id|>', [THREE_DAYS]
    ),
    "llama, python_tag with JSON": Answer(LLAMA, f"<|python_tag|>{JSON}", [PARIS]),
    "llama, function": Answer(LLAMA, '<function=weather>{"city": "Paris"}</function>', [PARIS]),
    "llama 4": Answer(LLAMA4, '[weather(city="Paris", days=3), now()]', [THREE_DAYS, NOW]),
    "llama 4, marked": Answer(
        LLAMA4, '<|python_start|>[weather(city="Paris")]<|python_end|>', [PARIS]
    ),
    "gemma 3": Answer("google-deepmind/gemma-3-27b-it", f"```json\n{JSON}\n```", [PARIS]),
    "gemma 3, tool_code": Answer(
        "google-deepmind/gemma-3-27b-it",
        '```tool_code\nprint(weather(city="Paris"))\nnow()\n```',
        [PARIS, NOW],
    ),
    "gemma 4": Answer(
        "google-deepmind/gemma-4-31b-it",
        '<|tool_call>call:weather{city:<|"|>Par, "is"}<|"|>,days:3,places:[<|"|>a:b<|"|>]}'
        "<tool_call|><|tool_call>call:now{}<tool_call|>",
        [("weather", {"city": 'Par, "is"}', "days": 3, "places": ["a:b"]}), NOW],
    ),
    "mistral v3": Answer(
        "mistralai/mistral-7b-instruct-v0.3", f'[TOOL_CALLS] [{JSON[:-1]}, "id": 1}}]', [PARIS]
    ),
    "mistral v11": Answer(
        TEKKEN,
        'I look.[TOOL_CALLS]weather[CALL_ID]abcdef123[ARGS]{"city": "Paris"}'
        "[TOOL_CALLS]now[ARGS]{}",
        [PARIS, NOW],
        "I look.",
    ),
    "mistral v11, no [ARGS]": Answer(
        TEKKEN, '[TOOL_CALLS]weather{"city": "Paris"}[TOOL_CALLS]now{}', [PARIS, NOW]
    ),
    "granite 3": Answer("ibm-granite/granite-3.3-8b-instruct", f"<|tool_call|>[{JSON}]", [PARIS]),
    "granite 3.0": Answer("ibm-granite/granite-3.0-8b-instruct", f"<tool_call>[{JSON}]", [PARIS]),
    "granite 20b": Answer(
        "ibm-granite/granite-20b-functioncalling", f"<function_call> {JSON}", [PARIS]
    ),
    "deepseek v3": Answer(
        V3,
        f"{bar('tool calls begin')}{bar('tool call begin')}function{bar('tool sep')}weather\n"
        f'```json\n{{"city": "Paris"}}\n```{bar("tool call end")}{bar("tool calls end")}',
        [PARIS],
    ),
    "deepseek v3.1": Answer(
        "deepseek-ai/deepseek-v3.1",
        f"{bar('tool calls begin')}{bar('tool call begin')}weather{bar('tool sep')}"
        f'{{"city": "Paris"}}{bar("tool call end")}{bar("tool calls end")}',
        [PARIS],
    ),
    "deepseek v3.2": Answer(
        V32,
        f'<{DSML}function_calls>\n<{DSML}invoke name="weather">\n'
        f'<{DSML}parameter name="city" string="true">Paris</{DSML}parameter>\n'
        f'<{DSML}parameter name="days" string="false">3</{DSML}parameter>\n'
        f"</{DSML}invoke>\n</{DSML}function_calls>",
        [THREE_DAYS],
    ),
    "deepseek v4": Answer(
        V32,
        f'<{DSML}tool_calls>\n<{DSML}invoke name="weather">\n'
        f'<{DSML}parameter name="city" string="true">Paris</{DSML}parameter>\n'
        f"</{DSML}invoke>\n</{DSML}tool_calls>",
        [PARIS],
    ),
    "qwen3-coder": Answer(
        CODER,
        "I look.\n<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n"
        "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
        [THREE_DAYS],
        "I look.\n",
    ),
    "qwen3-coder, two in one tag": Answer(
        CODER,
        "<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n"
        "<function=now>\n</function>\n</tool_call>",
        [PARIS, NOW],
    ),
    "qwen3-coder, no outer tag": Answer(
        CODER,
        "<function=weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
        [PARIS],
    ),
    "glm 4.5": Answer(
        "zai-org/glm-4.5",
        "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
        [THREE_DAYS],
    ),
    "glm 4.5, no arguments": Answer("zai-org/glm-4.5", "<tool_call>now\n</tool_call>", [NOW]),
    "kimi k2": Answer(
        "moonshotai/kimi-k2-instruct",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0"
        '<|tool_call_argument_begin|>{"city": "Paris"}<|tool_call_end|><|tool_call_begin|>'
        "functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
        "<|tool_calls_section_end|>",
        [PARIS, NOW],
    ),
    "kimi k2, other section": Answer(
        "moonshotai/kimi-k2-instruct",
        "<|tool_call_section_begin|><|tool_call_begin|>functions.weather:0\n"
        '<|tool_call_argument_begin|> {"city": "Paris"} <|tool_call_end|>'
        "<|tool_call_section_end|>",
        [PARIS],
    ),
    "minimax m1": Answer("minimax/minimax-m1", f"<tool_calls>\n{JSON}\n</tool_calls>", [PARIS]),
    "minimax m2": Answer(
        "minimax/minimax-m2",
        '<minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">Paris</parameter>\n'
        '<parameter name="days">3</parameter>\n</invoke>\n</minimax:tool_call>',
        [THREE_DAYS],
    ),
    "claude": Answer(
        "anthropic/claude-4.5-sonnet",
        'I look.\n<function_calls>\n<invoke name="weather">\n'
        '<parameter name="city">Paris</parameter>\n</invoke>\n</function_calls>',
        [PARIS],
        "I look.\n",
    ),
    "claude, prefixed": Answer(
        "anthropic/claude-4.5-sonnet",
        f'<{ANTML}function_calls>\n<{ANTML}invoke name="weather">\n'
        f'<{ANTML}parameter name="city">Paris</{ANTML}parameter>\n</{ANTML}invoke>\n'
        f"</{ANTML}function_calls>",
        [PARIS],
    ),
    "claude, tool_name": Answer(
        "anthropic/claude-3.5-haiku",
        "<function_calls>\n<invoke>\n<tool_name>weather</tool_name>\n<parameters>\n"
        "<city>Paris</city>\n<days>3</days>\n</parameters>\n</invoke>\n</function_calls>",
        [THREE_DAYS],
    ),
    "gpt-oss": Answer(
        GPT_OSS,
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary "
        'to=functions.weather <|constrain|>json<|message|>{"city": "Paris"}<|call|>',
        [PARIS],
    ),
    "gpt-oss, recipient first": Answer(
        GPT_OSS,
        "<|start|>assistant to=functions.weather<|channel|>commentary json<|message|>"
        '{"city": "Paris"}<|call|>',
        [PARIS],
    ),
    "gpt-oss, recipient at once": Answer(
        GPT_OSS,
        ' to=functions.weather<|channel|>commentary json<|message|>{"city": "Paris"}<|call|>',
        [PARIS],
    ),
    **{
        f"gpt-oss, ended by {end}": Answer(
            GPT_OSS,
            f'<|channel|>commentary to=functions.weather<|message|>{{"city": "Paris"}}{end}',
            [PARIS],
        )
        for end in ("<|end|>", "<|return|>")
    },
    "gpt-oss, text": Answer(
        GPT_OSS,
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"
        "It is <sunny>.<|return|>",
        [],
        "It is <sunny>.",
    ),
    "gpt-oss, text without its mark": Answer(
        GPT_OSS,
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final It is sunny.",
        [],
        "It is sunny.",
    ),
    "gpt-oss, text without a header": Answer(
        GPT_OSS,
        "<|channel|>analysis<|message|>Hm.<|end|>It is sunny.",
        [],
        "It is sunny.",
    ),
    "gpt-oss, a call without its mark": Answer(
        GPT_OSS,
        '<|channel|>commentary to=functions.weather <|constrain|>json{"city": "Paris"}',
        [PARIS],
    ),
    "gpt-oss, a result that it makes up": Answer(
        GPT_OSS,
        '<|channel|>commentary to=functions.weather json<|message|>{"city": "Paris"}<|call|>'
        '<|start|>functions.weather to=assistant<|channel|>commentary<|message|>"rain"<|end|>',
        [PARIS],
    ),
    "command r": Answer(
        "cohere/command-r-plus",
        'Action: ```json\n[{"tool_name": "weather", "parameters": {"city": "Paris"}}]```',
        [PARIS],
    ),
    "command r, an answer announced": Answer(
        "cohere/command-r-plus",
        'Action: ```json\n[{"tool_name": "directly-answer", "parameters": {}}]\n```',
        [],
    ),
    "command r, an answer announced without a mark": Answer(
        "cohere/command-r-plus",
        '```json\n[{"tool_name": "directly_answer", "parameters": {}}]\n```',
        [],
    ),
    "command r, an answer announced before a call": Answer(
        "cohere/command-r-plus",
        'Action: [{"tool_name": "directly-answer", "parameters": {}}, '
        '{"tool_name": "weather", "parameters": {"city": "Paris"}}]',
        [PARIS],
    ),
    "command r7b": Answer(
        "cohere/command-r7b",
        '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "weather", "parameters": '
        '{"city": "Paris"}}]<|END_ACTION|>',
        [PARIS],
    ),
    "phi 4 mini": Answer(
        "microsoft/phi-4-mini-instruct", f"<|tool_call|>[{JSON}]<|/tool_call|>", [PARIS]
    ),
    "phi 4 mini, functools": Answer("microsoft/phi-4-mini-instruct", f"functools[{JSON}]", [PARIS]),
    "nemotron": Answer("nvidia/nemotron-nano-9b-v2", f"<TOOLCALL>[{JSON}]</TOOLCALL>", [PARIS]),
    "nemotron on llama's template": Answer(
        "nvidia/llama-3.1-nemotron-70b-instruct", f"<TOOLCALL>[{JSON}]</TOOLCALL>", [PARIS]
    ),
    "openai's objects": Answer(
        "openai/gpt-4o",
        '[{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '
        '"{\\"city\\": \\"Paris\\"}"}}]',
        [PARIS],
    ),
    "openai's message": Answer(
        "openai/gpt-4.1",
        '{"tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": '
        '{"city": "Paris"}}}]}',
        [PARIS],
    ),
    "openai's message with a role": Answer(
        "openai/gpt-4.1",
        '{"role": "assistant", "content": null, "refusal": null, "tool_calls": [{"type": '
        '"function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}]}',
        [PARIS],
    ),
    "openai's message with a text": Answer(
        "openai/gpt-4.1",
        '{"role": "assistant", "content": "I look.", "tool_calls": [{"type": '
        '"function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}]}',
        [PARIS],
        "I look.",
    ),
    "openai's function_call": Answer(
        "openai/gpt-4.1",
        '{"function_call": {"name": "weather", "arguments": "{\\"city\\": \\"Paris\\"}"}}',
        [PARIS],
    ),
}


def parse(text: str, model: str, size: int | None = None) -> Parsed:
    """Parse an answer of a model that was offered the tools, in pieces of a size."""
    profile = build_profile(None, model)
    formats = dict.fromkeys((profile.tool_format, *profile.trained_tool_formats))
    expected = ExpectedAnswer(
        tools=parse_tool_choice(TOOLS, None, None),
        tool_formats=tuple(each.__name__ for each in formats),
    )
    parser, builder = AnswerParser((), expected, lambda: "id"), CompletionBuilder()
    size = size or len(text) or 1
    events: list[StreamEvent] = []
    for at in range(0, len(text), size):
        events += parser.feed([text[at : at + size]])
    for event in (*events, *parser.flush()):
        builder.add(event)
    return Parsed(builder.text, builder.tool_calls)


def get_calls(completion: Parsed) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in completion.tool_calls]


def is_valid(completion: Parsed) -> bool:
    """True if a call of the answer can be executed."""
    return any(call.name and isinstance(call.arguments, dict) for call in completion.tool_calls)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_call_in_the_models_own_format_is_read(name: str) -> None:
    answer = ANSWERS[name]
    completion = parse(answer.text, answer.model)
    assert (get_calls(completion), completion.text) == (answer.calls, answer.rest)


@pytest.mark.parametrize("name", ANSWERS)
def test_pieces_of_every_size_have_the_same_result(name: str) -> None:
    answer = ANSWERS[name]
    whole = parse(answer.text, answer.model)
    for size in range(1, 12):
        assert parse(answer.text, answer.model, size) == whole


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_cut_off_has_no_other_call(name: str) -> None:
    answer = ANSWERS[name]
    for end in range(len(answer.text)):
        calls = [call for call in get_calls(parse(answer.text[:end], answer.model)) if call[0]]
        valid = [call for call in calls if isinstance(call[1], dict)]
        assert valid == answer.calls[: len(valid)]


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(
    "quotation",
    [
        "For example:\n```\n{}\n```\nThat is all.",
        "For example:\n~~~xml\n{}\n~~~",
        "For example:\n````\n```\n{}\n```\n````\nThat is all.",
        "For example:\n```\n```json\n{}\n```\nThat is all.",
        "For example: `{}` calls it.",
        'He wrote "{}" there.',
        "He wrote:\n> {}\nand left.",
        "For example:\n\n    {}\n\nThat is all.",
        "A tag <code>{}</code> in HTML.",
    ],
)
def test_a_quotation_of_a_call_is_text(name: str, quotation: str) -> None:
    answer = ANSWERS[name]
    text = quotation.replace("{}", answer.text.removeprefix(answer.rest))
    completion = parse(text, answer.model)
    assert (get_calls(completion), completion.text) == ([], text)


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "key", "expected"),
    [
        ("3", "city", "3"),
        ("3", "days", 3),
        ("true", "hourly", True),
        ("True", "hourly", True),
        ('["a"]', "places", ["a"]),
        ("metric", "units", "metric"),
        ("null", "note", None),
        ("nothing", "note", "nothing"),
        ("3", "other", 3),
        ("three", "other", "three"),
        ("three", "days", None),
        ("3.5", "days", None),
        ("1", "hourly", None),
    ],
)
def test_the_tools_schema_decides_on_the_type_of_a_value_in_a_tag(
    value: str, key: str, expected: Any
) -> None:
    tag = f"<parameter={key}>\n{value}\n</parameter>"
    text = f"<tool_call>\n<function=weather>\n{tag}\n</function>\n</tool_call>"
    (call,) = parse(text, CODER).tool_calls
    is_malformed = expected is None and key != "note"
    assert isinstance(call.arguments, str) if is_malformed else call.arguments == {key: expected}


def test_a_value_in_a_tag_may_hold_what_closes_the_call() -> None:
    text = (
        "<tool_call>\n<function=weather>\n<parameter=city>\na </tool_call> b\n</parameter>\n"
        "</function>\n</tool_call>\nbye"
    )
    completion = parse(text, CODER)
    assert get_calls(completion) == [("weather", {"city": "a </tool_call> b"})]
    assert completion.text == "\nbye"


@pytest.mark.parametrize("member", ["args", "input", "params", "kwargs", "Arguments", "tool_input"])
def test_arguments_under_another_word_are_the_same_arguments(member: str) -> None:
    text = f'<tool_call>{{"name": "weather", "{member}": {{"city": "Paris"}}}}</tool_call>'
    assert get_calls(parse(text, HERMES)) == [PARIS]


@pytest.mark.parametrize(
    "members",
    [
        '"city": "Paris"',
        '"arguments": {}, "city": "Paris"',
        '"city": "Paris", "arguments": {}',
        '"arguments": {}, "parameters": {"city": "Paris"}',
        '"arguments": ["Paris"]',
        '"arguments": "Paris"',
        '"arguments": {"city": "Paris"}, "arguments": {"city": "Rome"}',
        '"arguments": {"city": "Paris", "city": "Rome"}',
        '"arguments": {"city": 1e400}',
        '"arguments": {"city": NaN}',
        '"places": {"city": "Paris"}',
        '"argument": "Paris"',
    ],
)
@pytest.mark.parametrize("form", ["<tool_call>{}</tool_call>", "{}", "```json\n{}\n```", "[{}]"])
def test_a_call_with_members_of_uncertain_meaning_is_malformed(members: str, form: str) -> None:
    completion = parse(form.replace("{}", f'{{"name": "weather", {members}}}'), HERMES)
    (call,) = completion.tool_calls
    assert call.name == "weather"
    assert isinstance(call.arguments, str)
    assert call.arguments.strip()
    assert completion.text == ""


@pytest.mark.parametrize("member", ["tool", "tool_name", "function", "function_name", "action"])
def test_a_name_under_another_word_is_the_same_name(member: str) -> None:
    text = f'<tool_call>{{"{member}": "weather", "arguments": {{"city": "Paris"}}}}</tool_call>'
    assert get_calls(parse(text, HERMES)) == [PARIS]


# Words of a call that are arguments of the tool as well, in members with and without arguments.
FLAT: list[tuple[str, Any]] = [
    ('"input": {"a": 1}', None),
    ('"id": "7"', None),
    ('"arguments": {}, "id": "7"', None),
    ('"arguments": null, "index": 7', None),
    ('"arguments": {}, "type": "x"', None),
    ('"arguments": {}, "type": "function"', {}),
    ('"arguments": {"id": "7"}', {"id": "7"}),
    ('"arguments": {"type": "x"}, "id": "call_1"', {"type": "x"}),
]


@pytest.mark.parametrize(("members", "expected"), FLAT)
@pytest.mark.parametrize("form", ["<tool_call>{}</tool_call>", "{}", "[TOOL_CALLS] [{}]"])
def test_what_may_be_an_argument_flat_beside_the_name_is_uncertain(
    form: str, members: str, expected: Any
) -> None:
    properties: dict[str, Any] = {key: {} for key in ("input", "id", "index", "type")}
    tools = parse_tool_choice([{"name": "f", "parameters": {"properties": properties}}], None, None)
    for text in (f'{{"name": "f", {members}}}', f'{{{members}, "name": "f"}}'):
        parser, builder = AnswerParser((), ExpectedAnswer(tools=tools), str), CompletionBuilder()
        for event in (*parser.feed([form.replace("{}", text, 1)]), *parser.flush()):
            builder.add(event)
        (call,) = builder.tool_calls
        assert isinstance(call.arguments, str) if expected is None else call.arguments == expected


@pytest.mark.parametrize(
    "call",
    [
        'weather("Paris")',
        "weather(**{'city': 'Paris'})",
        'weather(city="Paris", city="Rome")',
        'weather(city="Pa" + "ris")',
        "weather(city=os.environ)",
        "weather(city={'a', 'b'})",
        "weather(city=b'Paris')",
        "weather(days=1e400)",
        "weather(places={'a': 1, 'a': 2})",
        "weather(places={['a']: 1})",
    ],
)
def test_a_call_as_python_without_literals_by_name_is_malformed(call: str) -> None:
    (made,) = parse(f"[{call}]", LLAMA4).tool_calls
    assert made.name == "weather"
    assert made.arguments == f"[{call}]"


@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=5,
        ),
        max_size=3,
    )
)
def test_any_literal_as_python_is_read_back(arguments: dict[str, Any]) -> None:
    written = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    assert get_calls(parse(f"[weather({written})]", LLAMA4)) == [("weather", arguments)]


# --- no calls ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["<tool_call></tool_call>", "<tool_call>now</tool_call>"])
@pytest.mark.parametrize("before", ["", "Let me see.\n"])
def test_marks_around_no_call_never_show(text: str, before: str) -> None:
    completion = parse(before + text, HERMES)
    assert completion.text == before
    assert len(completion.tool_calls) == 1
    assert not is_valid(completion)


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call> tags go around calls.",
        "<tool_call> and </tool_call> are tags.",
        "Models write <tool_call> tags around calls.",
        "An end without a beginning: </tool_call>",
        "[1] says so, and weather(city) too.",
        "[weather] is a word.",
        "functools is a module; Action: none.",
        "```python\nweather(city='Paris')\n```",
        '{"name": "xgboost", "parameters": {"depth": 3}}',
        '```json\n{"name": "xgboost", "parameters": {"depth": 3}}\n```',
        '{"city": "Paris", "name": "weather"}',
        f"{JSON}\nis what a call looks like.",
        f'{JSON}\n{{"degrees": 21}}\nis what you get.',
        f'{JSON}\n{{"degrees": 21}}',
        f"The call would be\n{JSON}",
        f"```json\n{JSON}\n```\nis what a call looks like.",
        f"A:\n```json\n{JSON}\n```\nB:\n```json\n{JSON}\n```\n",
        '[weather(city="Paris")] is what you write.',
        '{"role": "assistant", "content": "Hi", "tool_calls": []}',
        "```\nAction: none\n```",
        "Llama writes <|python_tag|> before its calls.",
        "It is called <|python_tag|>.",
    ],
)
@pytest.mark.parametrize("model", [HERMES, LLAMA, LLAMA4, TEKKEN, "cohere/command-r-plus"])
def test_text_about_calls_is_text(text: str, model: str) -> None:
    for size in (1, 5, None):
        completion = parse(text, model, size)
        assert (completion.tool_calls, completion.text) == ((), text)


@pytest.mark.parametrize("text", [f"functools[{JSON}]", f"Action: [{JSON}]"])
def test_a_mark_that_is_a_word_begins_a_line(text: str) -> None:
    model = "microsoft/phi-4-mini-instruct" if "functools" in text else "cohere/command-r-plus"
    assert get_calls(parse(f"I look.\n{text}", model)) == [PARIS]
    assert parse(f"You write {text} for it.", model).text == f"You write {text} for it."


@pytest.mark.parametrize("model", [HERMES, LLAMA, R1, "some/model"])
def test_textual_marks_of_another_family_are_text(model: str) -> None:
    for text in (
        f"<tool_calls>{JSON}</tool_calls>",
        '<invoke name="weather"><parameter name="city">Paris</parameter></invoke>',
        f"Action: [{JSON}]",
    ):
        assert parse(text, model).text == text


@pytest.mark.parametrize(
    "calls",
    [
        # The second, or the first, lacks its end.
        "<function=now>\n</function>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n",
        "<function=weather>\n<parameter=city>\nParis\n</parameter>\n<function=now>\n</function>\n",
        "<function=now>\n</function>\nand\n<function=now>\n</function>\n",
        "<function=now>\n</function>\n<function=now>\n",
    ],
)
def test_several_calls_in_one_tag_of_which_one_is_incomplete_are_malformed(calls: str) -> None:
    completion = parse(f"<tool_call>\n{calls}</tool_call>", CODER)
    assert not is_valid(completion)
    assert completion.text == ""
    (call,) = completion.tool_calls
    assert str(call.arguments).count("<function=now>") == calls.count("<function=now>", 1)


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=functions.weather",
        "<|channel|>commentary to=functions.weather <|constrain|>json",
        " to=functions.weather<|channel|>commentary json",
        " to=functions.wea",
    ],
)
def test_a_call_of_gpt_oss_that_is_cut_off_in_its_header_is_malformed(header: str) -> None:
    (call,) = parse(header, GPT_OSS).tool_calls
    assert isinstance(call.arguments, str)
    assert header.partition("to=")[2].split("<")[0].strip() in call.arguments


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_no_text_of_gpt_oss_is_lost_in_a_header_without_an_end(size: int) -> None:
    words = "word " * 100
    for channel, rest in (("final", words), ("commentary", words), ("analysis", "")):
        completion = parse(f"<|channel|>{channel} {words}", GPT_OSS, size)
        assert (completion.text, completion.tool_calls) == (rest, ())


def test_a_tool_that_has_the_name_for_an_answer_is_called() -> None:
    tools = parse_tool_choice([{"name": "directly_answer"}], None, None)
    expected = ExpectedAnswer(tools=tools, tool_formats=("CommandRToolFormat",))
    parser, builder = AnswerParser((), expected, str), CompletionBuilder()
    text = 'Action: [{"tool_name": "directly_answer", "parameters": {}}]'
    for event in (*parser.feed([text]), *parser.flush()):
        builder.add(event)
    assert [call.name for call in builder.tool_calls] == ["directly_answer"]


# --- calls that the prompt begins ----------------------------------------------------------------

FORMATS = sorted(TABLES.tool_formats)


# Where a forced call is written otherwise than in an earlier answer.
FORCED = {
    "GlmToolFormat": "\n<think></think>\n{}",
    "Glm5ToolFormat": "<think></think>{}",
    **{
        name: 'weather\n{"city": "Paris"}'
        for name, each in TABLES.tool_formats.items()
        if each.call_start
    },
    "HarmonyToolFormat": " to=functions.weather<|channel|>commentary json<|message|>"
    '{"city": "Paris"}<|call|>',
}


def write_call(name: str) -> str:
    """Write a call as a model goes on to write it behind a generation prompt."""
    call = ToolCall("functions.weather:0", "weather", {"city": "Paris"})
    return FORCED.get(name, "{}").replace("{}", TABLES.tool_formats[name](str).render_calls([call]))


def force(name: str, tool: str | None, answer: str, size: int = 1000) -> Parsed:
    """Parse an answer to a prompt that ends with the beginning of a call."""
    expected = ExpectedAnswer(
        tools=parse_tool_choice(TOOLS, tool or "required", None),
        tool_formats=(name,),
        prefix=TABLES.tool_formats[name](str).prefill(tool),
    )
    parser, builder = AnswerParser((), expected, lambda: "id"), CompletionBuilder()
    pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
    events = [event for piece in pieces for event in parser.feed([piece])]
    for event in (*events, *parser.flush()):
        builder.add(event)
    return Parsed(builder.text, builder.tool_calls)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("tool", [None, "weather"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_answer_goes_on_behind_the_beginning_of_its_call(
    name: str, tool: str | None, size: int
) -> None:
    written, prefix = write_call(name), TABLES.tool_formats[name](str).prefill(tool)
    # They differ by white space at most.
    rest = "".join(written.split()).removeprefix("".join(prefix.split()))
    # GLM 4 begins a call with the name of a tool, so nothing begins one of any tool.
    assert len(rest) < len("".join(written.split())) or not prefix
    start = next(at for at in range(len(written)) if "".join(written[at:].split()) == rest)
    completion = force(name, tool, written[start:], size)
    assert (get_calls(completion), completion.text.strip()) == ([PARIS], "")


# What gpt-oss was given is a header, which cannot begin again inside of a message.
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "HarmonyToolFormat"])
@pytest.mark.parametrize("tool", [None, "weather"])
def test_a_model_may_repeat_the_beginning_of_its_call(name: str, tool: str | None) -> None:
    completion = force(name, tool, write_call(name).removeprefix("\n<think></think>\n"))
    assert (get_calls(completion), completion.text.strip()) == ([PARIS], "")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("tool", [None, "weather"])
def test_words_instead_of_the_call_that_was_begun_are_text(name: str, tool: str | None) -> None:
    completion = force(name, tool, "Sorry, I cannot do that.")
    assert not is_valid(completion)


@pytest.mark.parametrize("size", [1, 50, None])
@pytest.mark.parametrize(
    ("mark", "end"),
    [("<tool_call>", ""), ("```json\n", "\n```"), ("<tool_call>```json\n", "\n```"), ("", "")],
)
def test_behind_many_blanks_no_call_is_looked_for(mark: str, end: str, size: int | None) -> None:
    few, many = (f"{mark}{' ' * count}{JSON}{end}" for count in (100, 400))
    assert get_calls(parse(few, HERMES, size)) == [PARIS]
    assert (get_calls(parse(many, HERMES, size)) == [PARIS]) is (mark == "")


@pytest.mark.parametrize("size", [1, 7, None])
def test_a_name_behind_many_other_members_is_part_of_a_malformed_call(size: int | None) -> None:
    members = "".join(f'"id": {index}, ' for index in range(40))
    answer = f'<tool_call>{{{members}"name": "weather", "arguments": {{}}}}</tool_call>'
    assert not is_valid(parse(answer, HERMES, size))


TEMPLATES = {each.tool_format.__name__: each for each in reversed(TABLES.templates)}


@pytest.mark.parametrize("name", sorted(TEMPLATES))
@pytest.mark.parametrize("text", ["", "I look."])
@pytest.mark.parametrize("size", [1, 1000])
def test_an_answer_is_read_as_prompts_show_it_to_the_model(name: str, text: str, size: int) -> None:
    template = TEMPLATES[name]
    tool_format = template.tool_format(str, template.assistant, template.system)
    calls = [ToolCall("functions.weather:0", *THREE_DAYS), ToolCall("functions.now:1", *NOW)]
    written = tool_format.render_answer(text, calls).text
    start = tool_format.generation_prompt or template.generation_prompt or template.assistant[0]
    expected = ExpectedAnswer(tools=parse_tool_choice(TOOLS, None, None), tool_formats=(name,))
    parser, builder = AnswerParser((), expected, lambda: "id"), CompletionBuilder()
    written = written.removeprefix(start).removeprefix(template.assistant[0])
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    for event in (*parser.feed(pieces), *parser.flush()):
        builder.add(event)
    # Command R7B and A write the text before calls as a thought.
    assert get_calls(Parsed("", builder.tool_calls)) == [THREE_DAYS, NOW]
    assert (builder.text or builder.reasoning).strip() == text

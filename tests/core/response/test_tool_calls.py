"""Tool calls are found in text: in every format, every chunking, and wherever the answer is cut."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicate_stream import TextDelta, ToolCall, ToolCallDelta
from replicate_stream._model.families import TABLES
from replicate_stream._response.tool_calls import ToolCallReader

Part = tuple[Any, ...]
NAMES = ("f", "g", "get_weather")
SCHEMAS: dict[str, dict[str, Any]] = {name: {"type": "object"} for name in NAMES}
FORMATS = ("LlamaToolFormat",)


def read(
    pieces: Iterable[str], formats: Sequence[str] = FORMATS, *, is_single: bool = False
) -> list[Part]:
    """Parts of an answer: ("text", …) for a text, (name, arguments) for a call."""
    numbers = itertools.count()
    reader = ToolCallReader(SCHEMAS, lambda: f"call_{next(numbers)}", formats, is_single=is_single)
    events = [event for piece in pieces for event in reader.feed(piece)]
    parts: list[list[Any]] = []
    ids: set[str] = set()
    for event in [*events, *reader.flush()]:
        if isinstance(event, TextDelta):
            assert event.text
            if not parts or parts[-1][0] != "text":
                parts.append(["text", ""])
            parts[-1][1] += event.text
            continue
        assert isinstance(event, ToolCallDelta)
        if event.id is not None:
            assert event.index == sum(part[0] != "text" for part in parts)
            assert event.id not in ids
            ids.add(event.id)
            parts.append([event.name, ""])
        else:
            assert event.name is None
        parts[-1][1] += event.arguments
    return [tuple(part) for part in parts]


def is_valid(part: Part) -> bool:
    """True if adapters accept a part as a call: it has a name and an object of arguments."""
    try:
        return bool(part[0]) and part[0] != "text" and isinstance(json.loads(part[1]), dict)
    except ValueError:
        return False


def bar(words: str) -> str:
    return f"<\uff5c{words.replace(' ', chr(0x2581))}\uff5c>"


BEGIN, END = bar("tool calls begin"), bar("tool calls end")
CALL, OVER, SEP = bar("tool call begin"), bar("tool call end"), bar("tool sep")
F = ("f", '{"a": 1}')
G = ("g", "{}")
ANSWERS: dict[str, tuple[str, list[Part]]] = {
    "hermes": (
        (
            'I look.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>\n'
            '<tool_call>{"name": "g", "arguments": {}}</tool_call>\n\nDone.'
        ),
        [("text", "I look.\n"), F, G, ("text", "\n\nDone.")],
    ),
    "hermes, fenced": (
        '<tool_call>\n```json\n{"name": "f", "arguments": {"a": 1}}\n```\n</tool_call>',
        [F],
    ),
    "a fence around the marks": (
        '```xml\n<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>\n```\n',
        [F],
    ),
    "arguments first": ('<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>', [F]),
    "no arguments": ('<tool_call>{"name": "g"}</tool_call>', [G]),
    "no arguments but null": ('<tool_call>{"name": "g", "arguments": null}</tool_call>', [G]),
    "encoded twice": (
        '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>',
        [F],
    ),
    "encoded twice, and not strictly": (
        """<tool_call>{"name": "f", "arguments": "{'a': 1,}"}</tool_call>""",
        [F],
    ),
    "as OpenAI writes it": (
        (
            '<tool_call>{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}'
            "</tool_call>"
        ),
        [F],
    ),
    "without its last bracket": (
        '<tool_call>{"name": "f", "arguments": {"a": 1}\n</tool_call>then',
        [F, ("text", "then")],
    ),
    "not closed before the next": (
        '<tool_call>{"name": "f", "arguments": {"a": 1}}\n<tool_call>{"name": "g"}',
        [F, G],
    ),
    "closed twice": (
        '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>\n</tool_call>\nthen',
        [F, ("text", "\nthen")],
    ),
    "as Python": ("<tool_call>{'name': 'f', 'arguments': {'a': 1,}}</tool_call>", [F]),
    "bare": ('{"name": "f", "parameters": {"a": 1}}', [F]),
    "bare and fenced": ('```json\n{"name": "f", "arguments": {"a": 1}}\n```', [F]),
    "several bare in a fence": (
        '```json\n{"name": "f", "arguments": {"a": 1}}\n{"name": "g", "arguments": {}}\n```\n',
        [F, G],
    ),
    "mistral, fenced": (
        '[TOOL_CALLS] ```json\n[{"name": "f", "arguments": {"a": 1}}]\n```',
        [F],
    ),
    "a bare list": ('[{"name": "f", "arguments": {"a": 1}}, {"name": "g"}]', [F, G]),
    "behind a tag of Python": ('<|python_tag|>{"name": "f", "parameters": {"a": 1}}', [F]),
    "function tags": (
        '<function=f>{"a": 1}</function> and <function=g></function>',
        [F, ("text", " and "), G],
    ),
    "mistral": ('[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}, "id": "abcdefghi"}]', [F]),
    "mistral, newer": (
        '[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g[CALL_ID]abcdefghi[ARGS]{}',
        [F, G],
    ),
    "granite": ('<|tool_call|>[{"name": "f", "arguments": {"a": 1}}, {"name": "g"}]', [F, G]),
    "deepseek": (
        f'ok{BEGIN}{CALL}f{SEP}{{"a": 1}}{OVER}\n{CALL}g{SEP}{{}}{OVER}{END}',
        [("text", "ok"), F, G],
    ),
    "deepseek, older": (
        f'{BEGIN}{CALL}function{SEP}f\n```json\n{{"a": 1}}\n```{OVER}{END}',
        [F],
    ),
    "a name that was not offered": (
        '<tool_call>{"name": "made_up", "arguments": {}}</tool_call>',
        [("made_up", "{}")],
    ),
    "a mark in an argument": (
        '<tool_call>{"name": "f", "arguments": {"a": "</tool_call>"}}</tool_call>.',
        [("f", '{"a": "</tool_call>"}'), ("text", ".")],
    ),
    "readable in any script": (
        '<tool_call>{"name": "f", "arguments": {"a": "你好啊集团"}}</tool_call>',
        [("f", '{"a": "你好啊集团"}')],
    ),
    "a result that the model makes up": (
        '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>\n<tool_response>\n7',
        [F],
    ),
}
TEXTS = (
    "a < b, [1] and `x`",
    "Put <tool_call> around it, or [TOOL_CALLS] in front.",
    '{"answer": 42}',
    '{"name": "Alice", "parameters": {"x": 1}}',
    "[1, 2]",
    '["name"]',
    "```python\nprint(1)\n```",
    'See:\n```json\n{"a": 1}\n```\nfine',
    "<function=",
    "<fun",
    " \n",
    "An end without a beginning: </tool_call>",
    "<tool_response>",
)


@pytest.mark.parametrize("answer", ANSWERS)
def test_calls_and_text_keep_their_order(answer: str) -> None:
    text, parts = ANSWERS[answer]
    assert read([text]) == parts


@pytest.mark.parametrize("answer", ANSWERS)
def test_single_characters_have_the_same_result(answer: str) -> None:
    text, parts = ANSWERS[answer]
    assert read(text) == parts


@pytest.mark.parametrize("text", TEXTS[:-5])
def test_text_without_calls_is_not_changed(text: str) -> None:
    assert read(text) == read([text]) == [("text", text)]


@given(st.data())
def test_every_chunking_of_any_answer_has_the_same_result(data: st.DataObject) -> None:
    bits = [text for text, _ in ANSWERS.values()] + list(TEXTS) + ["\n", " ", "{", "}", "<", "```"]
    text = "".join(data.draw(st.lists(st.sampled_from(bits), max_size=4)))
    formats, is_single = data.draw(st.sampled_from([(), FORMATS])), data.draw(st.booleans())
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in itertools.pairwise([0, *places, len(text)])]
    assert read(pieces, formats, is_single=is_single) == read([text], formats, is_single=is_single)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_is_cut_off_shows_no_marks_and_no_incomplete_call_as_valid(
    answer: str,
) -> None:
    text, parts = ANSWERS[answer]
    for end in range(len(text)):
        cut = read([text[:end]])
        valid = [part for part in cut if is_valid(part)]
        assert valid == [part for part in parts if part[0] != "text"][: len(valid)]
        shown = "".join(part[1] for part in cut if part[0] == "text")
        whole = "".join(part[1] for part in parts if part[0] == "text")
        same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(shown, whole, strict=False))
        more = shown[sum(1 for _ in same) :].strip()
        # A few characters at the very end may as well be text.
        assert len(more) < 4 or is_bare(answer)


def is_bare(answer: str) -> bool:
    """True if incomplete JSON may be text of the answer."""
    return "bare" in answer or "fence" in answer


@pytest.mark.parametrize(
    "broken",
    [
        '<tool_call>{"name": "f", "arguments": {"a": oops}}</tool_call>',
        '<tool_call>{"name": "f", "arguments": {"a": 1 2}}</tool_call>',
        '<tool_call>{"name": "f", "arguments": {"a": 1}2}</tool_call>',
        '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "f", "arguments": "no JSON"}</tool_call>',
        '<tool_call>{"foo": 1}</tool_call>',
        '<tool_call>{"name": 7, "arguments": {}}</tool_call>',
        '<function=f>{"a": }</function>',
        '[TOOL_CALLS] [{"name": "f", "arguments": {"a": }}]',
        "<tool_call>[1]</tool_call>",
    ],
)
def test_malformed_calls_are_invalid_calls(broken: str) -> None:
    first, *rest = read(broken + " after")
    assert first[0] != "text"
    assert not is_valid(first)
    assert first[1]
    if "</" in broken:
        assert rest == [("text", " after")]


@pytest.mark.parametrize(
    "broken",
    [
        "<function=f>{<|python_tag|>",
        '<function=f>{"a": 1<|python_tag|>',
        "[TOOL_CALLS]f[ARGS]{<|python_tag|>",
        '<tool_call>{"name": "f", "arguments": {"a": 1}<|python_tag|>{"name": "f"}',
    ],
)
def test_a_call_that_breaks_off_before_a_tag_of_python_stays_malformed(broken: str) -> None:
    (call,) = read([broken])
    assert call[0] == "f"
    assert not is_valid(call)
    assert "<|python_tag|>" in call[1]


@pytest.mark.parametrize(
    ("call", "kept"),
    [
        ('{"name": "f", "arguments": {"a": 1,, }}', '{"a": 1,, }}'),
        ('{"name":"f","arguments":{"a":1 ,\n\t"b" : x}}', '{"a":1 ,\n\t"b" : x}}'),
        ('{"name": "f", "arguments": {"a": }}', '{"a": }}'),
        ('{"name": "f", "arguments": {"a": 1}, "id": 7,, }', '{"a": 1}, "id": 7,, }'),
        ('{"name": "f", "arguments": {"a": 1}, "b": 2}', '{"a": 1}, "b": 2}'),
        # One brace more would make valid arguments of these.
        ('{"arguments": {"a": 1}}', '{"arguments": {"a": 1}'),
        ('{"name": "f", "arguments": [1]}', '{"name": "f", "arguments": [1]'),
    ],
)
def test_a_malformed_call_keeps_the_text_that_the_model_wrote(call: str, kept: str) -> None:
    ((_, text),) = read(f"<tool_call>{call}</tool_call>")
    assert text == kept


@given(
    st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, "x, y", [1, 2], {"c": None}])),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,  ", "  : ")]),
    st.sampled_from([",", ":", "x", "1", "{", "}", "[", "]", '"', " "]),
    st.data(),
)
def test_a_malformed_call_has_no_text_that_the_model_did_not_write(
    arguments: dict[str, Any], separators: tuple[str, str], fault: str, data: st.DataObject
) -> None:
    call = json.dumps({"name": "f", "arguments": arguments, "id": 7}, separators=separators)
    at = data.draw(st.integers(1, len(call)))
    answer = f"<tool_call>{call[:at]}{fault}{call[at:]}</tool_call>"
    size = data.draw(st.integers(1, len(answer)))
    for part in read([answer[i : i + size] for i in range(0, len(answer), size)]):
        # A bracket behind a comma makes it a trailing one, which is left out.
        assert is_valid(part) or part[1].replace(",", "") in answer.replace(",", "")


def test_text_is_emitted_before_the_call_behind_it_is_complete() -> None:
    reader = ToolCallReader(SCHEMAS, str)
    assert reader.feed("Let me see.\n<tool") == [TextDelta("Let me see.\n")]
    assert reader.feed("_call>") == []


def test_a_call_is_emitted_while_it_streams() -> None:
    reader = ToolCallReader(SCHEMAS, lambda: "id")
    assert reader.feed('<tool_call>{"name": "f"') == [ToolCallDelta(0, "id", "f", "")]
    assert reader.feed(', "arguments": {"a": "some') == [
        ToolCallDelta(0, None, None, '{"a": "some')
    ]
    assert reader.feed(' words"') == [ToolCallDelta(0, None, None, ' words"')]
    assert reader.feed("}") == []  # the call itself has not ended
    assert reader.feed("}") == [ToolCallDelta(0, None, None, "}")]


def test_a_second_call_ends_an_answer_that_is_limited_to_one() -> None:
    text = ANSWERS["hermes"][0]
    assert read([text], is_single=True) == [("text", "I look.\n"), F]
    tags = ANSWERS["function tags"][0]
    assert read([tags], is_single=True) == read(tags, is_single=True) == [F, ("text", " and ")]
    listed = ANSWERS["a bare list"][0]
    assert read(listed, is_single=True) == [F]


@pytest.mark.parametrize(
    "text",
    [
        'Well:\n{"name": "f", "parameters": {"a": 1}}',
        '{"name": "f", "parameters": {"a": 1}} is a call.',
        '{"name": "new", "parameters": {}}; {"name": "f", "parameters": {"a": 1}}',
    ],
)
def test_calls_without_marks_count_only_as_a_whole_answer_and_for_offered_tools(text: str) -> None:
    assert read(text) == read([text]) == [("text", text)]


ARGUMENTS = st.dictionaries(
    st.text(max_size=5),
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.lists(st.text(max_size=5)),
    max_size=4,
)


@pytest.mark.parametrize("family", ["chatml", "llama3.1", "mistral-v3", "granite", "deepseek"])
def test_calls_as_a_prompt_renders_them_are_found_in_an_answer(family: str) -> None:
    template = TABLES.find_by_name(family)
    assert template is not None
    tool_format = template.tool_format(str)

    @given(st.lists(st.tuples(st.sampled_from(NAMES), ARGUMENTS), min_size=1, max_size=3))
    def hold(calls: list[tuple[str, dict[str, Any]]]) -> None:
        text = tool_format.render_calls(
            [ToolCall(f"call_{at}", name, args) for at, (name, args) in enumerate(calls)]
        )
        parsed = read([text])
        arguments = "".join(json.dumps(args) for _, args in calls)
        has_marks = tool_format.neutralize(arguments) != arguments
        assert has_marks or [(name, json.loads(args)) for name, args in parsed] == calls

    check: Callable[[], None] = hold
    check()

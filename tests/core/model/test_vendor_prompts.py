"""Whole prompts, character by character, as the vendors' templates render them.

`vendor_prompts/` has one file a template: the name of a model that was trained on it, and the
prompt of each conversation below. The docstring of each family's file names the template.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import Message, ToolCall, ToolSpec, prepare_input

FOLDER = Path(__file__).with_name("vendor_prompts")
# These words are vLLM's own: such a model hands the prompt to the engine as it is.
BOUND = {"type": "integer", "description": "Maximum tokens to generate per output sequence."}
SCHEMA = {"properties": {"prompt": {"type": "string"}, "max_tokens": BOUND}}

CITY = {"type": "string", "description": "The city."}
TOOLS = (
    ToolSpec(
        "get_weather",
        "Get the weather of a city.",
        {
            "type": "object",
            "properties": {"city": CITY, "days": {"type": "integer"}},
            "required": ["city"],
        },
    ),
    ToolSpec("now", "Get the time.", {"type": "object", "properties": {}}),
)
# The ids are Kimi's, and others do not write them.
PARIS = ToolCall("functions.get_weather:0", "get_weather", {"city": "Paris", "days": 2})
NOW = ToolCall("functions.now:1", "now", {})
BOOK = ToolSpec(
    "book",
    "",
    {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["a", "b"], "description": "Kind \u00e9"},
            "who": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "age": {"type": "number"}},
                "required": ["name"],
            },
            "tags": {"type": "array", "items": {"type": "string"}},
            "until": {"type": ["string", "null"]},
        },
        "required": ["kind", "who"],
    },
)
BOOKED = ToolCall(
    "functions.book:0",
    "book",
    {
        "kind": '\u00e9 "q" <x>\n',
        "who": {"name": "Zo\u00eb", "age": 1.5},
        "tags": ["b", "a"],
        "until": None,
        "again": True,
    },
)
DONE = Message("tool", "ok", name="book", tool_call_id=BOOKED.id)
SYSTEM, HELLO = Message("system", "Be brief."), Message("user", "Hello")
RAIN = Message("tool", "It rains.", name="get_weather", tool_call_id=PARIS.id)

CASES: dict[str, tuple[list[Message], tuple[ToolSpec, ...] | None]] = {
    "question": ([HELLO], None),
    "turns": (
        [SYSTEM, HELLO, Message("assistant", "Hi there."), Message("user", "Who are you?")],
        None,
    ),
    "tools": ([SYSTEM, HELLO], TOOLS),
    "tools without system": ([HELLO], TOOLS),
    "call": ([Message("user", "Weather?"), Message("assistant", tool_calls=(PARIS,)), RAIN], TOOLS),
    "two calls": (
        [
            Message("user", "Weather?"),
            Message("assistant", "I look.", tool_calls=(PARIS, NOW)),
            RAIN,
            Message("tool", "Noon.", name="now", tool_call_id=NOW.id),
            Message("assistant", "It rains at noon."),
            Message("user", "Thanks."),
        ],
        TOOLS,
    ),
    "edges of white space": (
        [
            Message("system", "  Be brief. \n"),
            Message("user", "\n Hello \n"),
            Message("assistant", "\n Hi. \n\n"),
            Message("user", " Who? \n"),
        ],
        None,
    ),
    "thought": (
        [HELLO, Message("assistant", "<think>\nHm.\n</think>\n\nHi."), Message("user", "Who?")],
        None,
    ),
    "two questions": ([SYSTEM, HELLO, Message("user", "Who are you?")], None),
    "empty texts": ([HELLO, Message("assistant", ""), Message("user", "")], None),
    "nested schema": ([SYSTEM, HELLO], (BOOK,)),
    "values of every type": (
        [Message("user", "Book."), Message("assistant", tool_calls=(BOOKED,)), DONE],
        (BOOK,),
    ),
    "rounds": (
        [
            Message("user", "Weather? "),
            Message("assistant", " I look.\n\n", tool_calls=(PARIS,)),
            Message("tool", '{"error": "no \u00e9"}', name="get_weather", tool_call_id=PARIS.id),
            Message("assistant", tool_calls=(NOW,)),
            Message("tool", "", name="now", tool_call_id=NOW.id),
        ],
        TOOLS,
    ),
}


def read_rows() -> list[Any]:
    rows = []
    for path in sorted(FOLDER.glob("*.json")):
        table = json.loads(path.read_text(encoding="utf-8"))
        rows += [
            pytest.param(table["model"], case, prompt, id=f"{path.stem}-{case}")
            for case, prompt in table["prompts"].items()
        ]
    return rows


@pytest.mark.parametrize(("model", "case", "expected"), read_rows())
def test_a_prompt_is_the_one_of_the_vendors_template(model: str, case: str, expected: str) -> None:
    messages, tools = CASES[case]
    prepared = prepare_input(messages, model=model, schema=SCHEMA, tools=tools)
    assert prepared.input["prompt"] == expected


@pytest.mark.parametrize(
    ("model", "ending"),
    [
        ("qwen/qwq-32b", '<|im_start|>assistant\n<tool_call>\n{"name": "now", "arguments":'),
        ("minimaxai/minimax-m2", ']~b]ai\n<minimax:tool_call>\n<invoke name="now">\n'),
        ("zai-org/glm-4.6", "<|assistant|>\n<think></think>\n<tool_call>now\n"),
        ("openai/gpt-oss-20b", " to=functions.now<|channel|>commentary json<|message|>"),
    ],
)
def test_a_forced_call_does_not_begin_within_a_thought(model: str, ending: str) -> None:
    prepared = prepare_input([HELLO], model=model, schema=SCHEMA, tools=TOOLS, tool_choice="now")
    assert prepared.input["prompt"].endswith(ending)

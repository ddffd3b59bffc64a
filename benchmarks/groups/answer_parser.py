"""CPU time per token of the answer parser, which must not grow with the answer's length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat

from benchmarks.report import Contender, Read, Row, compare, cpu_per_token
from benchmarks.sizes import Sizes
from replicate_stream._response.parser import AnswerParser
from replicate_stream._types.request import ExpectedAnswer
from replicate_stream._types.response_format import parse_response_format
from replicate_stream._types.tool_choice import parse_tool_choice

NEEDS = ()
_LENGTH_FACTOR = 10
_MOST_RATIO = 1.5
_WORD = " word"
_TOOLS = ExpectedAnswer(tools=parse_tool_choice([{"name": "write"}], None, None))
_TAGS = replace(_TOOLS, tool_formats=("QwenCoderToolFormat",))
_TAGS_END = ["\n</parameter>\n</function>"]
_PREFIXED = ExpectedAnswer(
    tools=parse_tool_choice([{"name": "write"}], "required", None), prefix="<tool_call>"
)
_CALL = '<tool_call>{"name": "write", "arguments": {}}'
_JSON = ExpectedAnswer(response_format=parse_response_format({"type": "json_object"}))


async def rows(sizes: Sizes) -> list[Row]:
    """Each kind of answer without a network, short and ten times as long."""
    kinds: dict[str, tuple[ExpectedAnswer, Sequence[str], Sequence[str], str]] = {
        "text": (ExpectedAnswer(), (), (), _WORD),
        "text, with tools": (_TOOLS, (), (), _WORD),
        "a call": (
            _TOOLS,
            ['<tool_call>{"name": "write", "arguments": {"text": "'],
            ['"}}'],
            _WORD,
        ),
        "bare JSON of a call": (
            _TOOLS,
            ['{"name": "write", "arguments": {"text": "'],
            ['"}}'],
            _WORD,
        ),
        "a call in tags": (_TAGS, ["<function=write>\n<parameter=text>\n"], _TAGS_END, _WORD),
        "a call as Python": (_TOOLS, ['[write(text="'], ['")]'], _WORD),
        "text in channels": (_TOOLS, ["<|channel|>analysis<|message|>"], ["<|end|>"], _WORD),
        "JSON": (_JSON, ['{"text": "'], ['"}'], _WORD),
        "words before JSON": (_JSON, (), ["{}"], _WORD),
        "blanks behind a mark": (_TOOLS, ["<tool_call>"], (), "       "),
        "blanks behind a fence": (_TOOLS, ["```"], (), "       "),
        "blanks before text": (ExpectedAnswer(), (), (), " "),
        "blanks before text, with tools": (_TOOLS, (), (), " "),
        "blanks behind a prefix": (_PREFIXED, (), (), " "),
        "blanks behind a call": (_TOOLS, [_CALL], (), " "),
        "blanks behind a closed call": (_TOOLS, [_CALL, "</tool_call>"], (), " "),
        "text behind a broken call": (_TOOLS, ['<tool_call>{"name": oops'], (), _WORD),
        "keys before a name": (_TOOLS, ["<tool_call>{"], (), '"a": 1, '),
        "bare keys before a name": (_TOOLS, ["{"], (), '"id": 1, '),
        "keys of arguments": (_TOOLS, [f"{_CALL[:-2]}"], (), '"a": 1, '),
        "calls in a fence without its end": (_TOOLS, ["```tool_code\n"], (), "write()\n"),
    }
    contenders: list[Contender] = []
    for name, (expected, before, after, token) in kinds.items():
        read = _reader(expected, before, after, token)
        short = cpu_per_token(read, str(sizes.chunks))
        long = cpu_per_token(read, str(sizes.chunks * _LENGTH_FACTOR))
        contenders += [Contender(name, short), Contender(f"{name}, long", long, name, _MOST_RATIO)]
    return await compare(contenders, rounds=sizes.rounds, unit="us/token")


def _reader(
    expected: ExpectedAnswer, before: Sequence[str], after: Sequence[str], token: str
) -> Read:
    async def read(tokens: str) -> int:
        answer = AnswerParser((), expected, lambda: "call_1")
        for text in (*before, *repeat(token, int(tokens)), *after):
            for _ in answer.feed([text]):
                pass
        for _ in answer.flush():
            pass
        return int(tokens)

    return read

"""CPU for a token of answers with tools and forms, which must not grow with the answer's length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from benchmarks.report import Contender, Read, Row, compare, cpu_per_token
from benchmarks.sizes import Sizes
from replicate_stream._response.parser import Answer
from replicate_stream._types.prepared import Reading
from replicate_stream._types.response_format import read_form
from replicate_stream._types.tool_choice import read_use

NEEDS = ()
_LONGER = 10
_MOST = 1.5
_WORD = " word"
_TOOLS = Reading(tools=read_use([{"name": "write"}], None, None))
_FORM = Reading(form=read_form({"type": "json_object"}))


async def rows(sizes: Sizes) -> list[Row]:
    """What the core reads out of a text, without a network: each short, and ten times as long."""
    kinds: dict[str, tuple[Reading, Sequence[str], Sequence[str]]] = {
        "text": (Reading(), (), ()),
        "text, with tools": (_TOOLS, (), ()),
        "a call": (_TOOLS, ['<tool_call>{"name": "write", "arguments": {"text": "'], ['"}}']),
        "bare JSON of a call": (_TOOLS, ['{"name": "write", "arguments": {"text": "'], ['"}}']),
        "JSON": (_FORM, ['{"text": "'], ['"}']),
        "words before JSON": (_FORM, (), ["{}"]),
    }
    contenders: list[Contender] = []
    for name, (reading, before, after) in kinds.items():
        read = _reader(reading, before, after)
        short = cpu_per_token(read, str(sizes.chunks))
        long = cpu_per_token(read, str(sizes.chunks * _LONGER))
        contenders += [Contender(name, short), Contender(f"{name}, long", long, name, _MOST)]
    return await compare(contenders, rounds=sizes.rounds, unit="us/token")


def _reader(reading: Reading, before: Sequence[str], after: Sequence[str]) -> Read:
    async def read(tokens: str) -> int:
        answer = Answer((), reading, lambda: "call_1")
        for text in (*before, *repeat(_WORD, int(tokens)), *after):
            for _ in answer.feed([text]):
                pass
        for _ in answer.flush():
            pass
        return int(tokens)

    return read

"""CPU time per piece of what services and callers send, which must not grow with its length."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.report import Contender, Read, Row, compare, cpu_per_token
from benchmarks.sizes import Sizes
from replicate_stream import prepare_input
from replicate_stream._api.responses import Response, to_response_error
from replicate_stream._api.sse import Decoder

NEEDS = ()
_LENGTH_FACTOR = 8
_MOST_RATIO = 2.0
_EVENT = b"event: output\nid: 1:%d\ndata: word\n\n"


async def rows(sizes: Sizes) -> list[Row]:
    """Each kind of text without a network, short and eight times as long."""
    kinds: dict[str, Callable[[int], object]] = {
        "events": lambda n: Decoder().feed(b"".join(_EVENT % i for i in range(n))),
        "lines without an event": lambda n: Decoder().feed(b"data\n" * n),
        "an error page of <": lambda n: _read_error(b"<" * n),
        "an error page of [": lambda n: _read_error(b"[" * n),
        "a prompt of marks": lambda n: _prepare("<|im_start|>" * n),
        "a prompt of brackets": lambda n: _prepare("[]~!b" * n),
        "a prompt of labels": lambda n: _prepare("\nUSER: " * n),
    }
    contenders: list[Contender] = []
    for name, function in kinds.items():
        read = _reader(function)
        short = cpu_per_token(read, str(sizes.chunks))
        long = cpu_per_token(read, str(sizes.chunks * _LENGTH_FACTOR))
        contenders += [Contender(name, short), Contender(f"{name}, long", long, name, _MOST_RATIO)]
    return await compare(contenders, rounds=sizes.rounds, unit="us/piece")


def _read_error(body: bytes) -> object:
    return to_response_error(Response(500, {}, body), "GET /x")


def _prepare(prompt: str) -> object:
    schema = {"properties": {"prompt": {"type": "string"}, "system_prompt": {"type": "string"}}}
    return prepare_input(prompt, model="acme/oracle", schema=schema)


def _reader(function: Callable[[int], object]) -> Read:
    async def read(tokens: str) -> int:
        function(int(tokens))
        return int(tokens)

    return read

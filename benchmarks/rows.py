"""What is measured, a group of rows each, with the targets beside them."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import aiohttp

from benchmarks import readers
from benchmarks.report import Contender, Row, compare, cpu_per_token
from benchmarks.server import Address, running
from replicate_stream import Client, TextDelta, prepare_input
from replicate_stream.testing._schemas import TEXT_INPUT

TOKEN = "r8_FAKE_TOKEN_OF_BENCHMARKS"


async def per_token(*, quick: bool) -> list[Row]:
    """CPU per token where they come at once, and where each comes by itself."""
    rounds, many, few = (3, 10_000, 600) if quick else (7, 40_000, 2_000)
    rows: list[Row] = []
    with running() as address:
        async with readers.sessions() as session, Client(TOKEN, base_url=address.api) as client:
            raw = readers.raw_socket(address)
            plain = readers.bytes_only(session, address)
            split = readers.naive_split(session, address)
            ours = readers.core(client)
            burst, single = f"burst-{many}", f"single-{few}"
            rows += await compare(
                [
                    Contender("all at once: raw socket", cpu_per_token(raw, burst)),
                    Contender("all at once: aiohttp, bytes only", cpu_per_token(plain, burst)),
                    Contender("all at once: aiohttp and split", cpu_per_token(split, burst)),
                    Contender(
                        "all at once: Client.stream",
                        cpu_per_token(ours, burst),
                        floor="all at once: aiohttp, bytes only",
                        target=2.0,
                    ),
                ],
                rounds=rounds,
                unit="us/token",
            )
            rows += await compare(
                [
                    Contender("one by one: aiohttp and split", cpu_per_token(split, single)),
                    Contender(
                        "one by one: Client.stream",
                        cpu_per_token(ours, single),
                        floor="one by one: aiohttp and split",
                        target=1.05,
                    ),
                ],
                rounds=rounds,
                unit="us/token",
            )
    return rows


async def frameworks(*, quick: bool) -> list[Row]:
    """CPU per token in the frameworks, beside each framework alone."""
    from llama_index.core.llms import ChatMessage

    from benchmarks.frameworks import BareChat, BareLLM
    from langchain_replicate_stream import ChatReplicate
    from llama_index_replicate_stream import Replicate

    rounds, tokens = (3, 1_000) if quick else (9, 2_000)
    burst, hi = f"burst-{tokens}", [ChatMessage(content="x")]
    chat, llm = BareChat(tokens=tokens), BareLLM(tokens=tokens)
    with running() as address:
        async with Client(TOKEN, base_url=address.api) as client:
            ours = ChatReplicate(model="bench/x", client=client, stream_usage=False)
            ours_too = Replicate(model="bench/x", client=client)

            def in_thread(read: Callable[[str], int]) -> readers.Read:
                return lambda model: asyncio.to_thread(read, model)

            def langchain(model: str) -> object:
                return ours.astream("x", model=f"bench/{model}")

            def complete(model: str) -> object:
                return ours_too.astream_complete("x", model=f"bench/{model}", include_usage=False)

            def answer(model: str) -> object:
                return ours_too.astream_chat(hi, model=f"bench/{model}", include_usage=False)

            def synchronous(model: str) -> int:
                return sum(1 for _ in ours.stream("x", model=f"bench/{model}"))

            pairs: list[
                tuple[str, Callable[[str], object], str, Callable[[str], object], float]
            ] = [
                (
                    "LangChain alone, astream",
                    lambda _: chat.astream("x"),
                    "ChatReplicate.astream",
                    langchain,
                    1.25,
                ),
                (
                    "LlamaIndex alone, astream_complete",
                    lambda _: llm.astream_complete("x"),
                    "Replicate.astream_complete",
                    complete,
                    1.3,
                ),
                (
                    "LlamaIndex alone, astream_chat",
                    lambda _: llm.astream_chat(hi),
                    "Replicate.astream_chat",
                    answer,
                    1.3,
                ),
            ]
            rows: list[Row] = []
            for alone, floor, name, stream, target in pairs:
                rows += await compare(
                    [
                        Contender(alone, cpu_per_token(readers.iterated(floor), burst)),
                        Contender(
                            name, cpu_per_token(readers.iterated(stream), burst), alone, target
                        ),
                    ],
                    rounds=rounds,
                    unit="us/token",
                )
            rows += await compare(
                [
                    Contender(
                        "ChatReplicate.astream again",
                        cpu_per_token(readers.iterated(langchain), burst),
                    ),
                    Contender(
                        "ChatReplicate.stream, over the bridge",
                        cpu_per_token(in_thread(synchronous), burst),
                        "ChatReplicate.astream again",
                        2.0,
                    ),
                ],
                rounds=rounds,
                unit="us/token",
            )
    return rows


async def first_token(*, quick: bool) -> list[Row]:
    """Milliseconds to the first token at 40 ms a request and a new connection."""
    rounds = 3 if quick else 9
    with running(delay=0.04) as address:
        async with readers.sessions() as session, Client(TOKEN, base_url=address.api) as client:

            async def by_hand() -> float:
                began = time.perf_counter()
                async with session.get(await readers.created(session, address, "burst-5")) as reply:
                    while b"event: output" not in await reply.content.readany():
                        pass
                    passed = time.perf_counter() - began
                    reply.close()
                return passed * 1e3

            async def ours() -> float:
                began = time.perf_counter()
                async with client.stream("bench/burst-5", "x", include_usage=False) as events:
                    async for event in events:
                        if isinstance(event, TextDelta):
                            passed = time.perf_counter() - began
                            break
                return passed * 1e3

            return await compare(
                [
                    Contender("first token, warm: aiohttp by hand", by_hand),
                    Contender(
                        "first token, warm: Client.stream",
                        ours,
                        "first token, warm: aiohttp by hand",
                        1.05,
                    ),
                ],
                rounds=rounds,
                unit="ms",
            )


async def many_streams(*, quick: bool) -> list[Row]:
    """Many paced streams at once: how many end whole, how late tokens are, what streams weigh."""
    streams, tokens = (100, 50) if quick else (500, 100)
    model = f"paced-{tokens}"
    with running() as address:
        async with readers.sessions() as session, Client(TOKEN, base_url=address.api) as client:
            floor = await _crowd(lambda late: _late_by_hand(session, address, model, late), streams)
            before = _resident()
            own = await _crowd(lambda late: _late_with_core(client, model, late), streams)
            weight = max(0.0, _resident() - before) / streams
    floor_p99, own_p99 = (statistics.quantiles(each, n=100)[98] for each in (floor, own))
    return [
        Row(f"{streams} streams: incomplete", streams - len(own) / tokens, "streams", target=0),
        Row(f"{streams} streams: p99 delay, aiohttp by hand", floor_p99 * 1e3, "ms"),
        Row(
            f"{streams} streams: p99 delay, Client.stream",
            own_p99 * 1e3,
            "ms",
            own_p99 / floor_p99,
            1.3,
        ),
        Row(f"{streams} streams: memory that stays, each", weight, "KB", target=25),
    ]


async def _crowd(one: Callable[[list[float]], Awaitable[None]], streams: int) -> list[float]:
    late: list[float] = []
    await asyncio.gather(*[one(late) for _ in range(streams)])
    return late


async def _late_by_hand(
    session: aiohttp.ClientSession, address: Address, model: str, late: list[float]
) -> None:
    async with session.get(await readers.created(session, address, model)) as reply:
        rest = b""
        while b"event: done" not in rest:
            *events, rest = (rest + await reply.content.readany()).split(b"\n\n")
            now = time.monotonic()
            for each in events:
                if each.startswith(b"event: done"):
                    reply.close()
                    return
                if b"data: " in each:
                    late.append(now - float(each.rsplit(b"data: ", 1)[1]))


async def _late_with_core(client: Client, model: str, late: list[float]) -> None:
    async with client.stream(f"bench/{model}", "x", include_usage=False) as events:
        late.extend(
            [
                time.monotonic() - float(event.text)
                async for event in events
                if isinstance(event, TextDelta)
            ]
        )


def _resident() -> float:
    """This process's resident memory, in KB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4.0


async def imports(*, quick: bool) -> list[Row]:
    """CPU milliseconds of an import, beside that of what it stands on."""
    rounds = 3 if quick else 7
    pairs = [
        ("import aiohttp", "import aiohttp, replicate_stream", 15.0),
        (
            "import langchain_core.language_models.chat_models",
            "import langchain_replicate_stream",
            20.0,
        ),
        ("import llama_index.core", "import llama_index_replicate_stream", 20.0),
    ]
    rows = []
    for floor, ours, allowed in pairs:
        compared = await compare(
            [
                Contender(floor, lambda code=floor: _imported(code)),  # type: ignore[misc]  # bound now
                Contender(ours, lambda code=ours: _imported(code)),  # type: ignore[misc]  # likewise
            ],
            rounds=rounds,
            unit="ms CPU",
        )
        more = compared[1].value - compared[0].value
        rows += [*compared, Row(f"  more for {ours.split()[-1]}", more, "ms CPU", target=allowed)]
    return rows


async def _imported(code: str) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    if await process.wait():
        raise RuntimeError(f"{code} failed")
    after = getrusage(RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


async def preparing(*, quick: bool) -> list[Row]:
    """Microseconds of CPU for a call of `prepare_input`: one question, and a conversation."""
    calls = 300 if quick else 2_000
    turns = [
        {"role": role, "content": f"turn {number} of a conversation"}
        for number in range(10)
        for role in ("user", "assistant")
    ]
    asked: dict[str, str | list[dict[str, str]]] = {
        "prepare_input, one question": "Why is the sky blue?",
        "prepare_input, 21 turns": [*turns, {"role": "user", "content": "And now?"}],
    }
    rows = []
    for name, messages in asked.items():
        figures = []
        for _ in range(5):
            began = time.process_time()
            for _ in range(calls):
                prepare_input(
                    messages,
                    model="meta/meta-llama-3-70b-instruct",
                    schema=TEXT_INPUT,
                    system_prompt="Be brief.",
                    max_tokens=64,
                    temperature=0.5,
                    stop=["END"],
                )
            figures.append((time.process_time() - began) / calls * 1e6)
        rows.append(Row(name, statistics.median(figures), "us/call"))
    return rows


GROUPS = {
    "preparing": preparing,
    "per-token": per_token,
    "frameworks": frameworks,
    "first-token": first_token,
    "many-streams": many_streams,
    "imports": imports,
}

"""CPU time per token: all tokens in one burst, and each token in a segment of its own."""

from __future__ import annotations

from benchmarks import readers
from benchmarks.report import Contender, Read, Row, compare, cpu_per_token
from benchmarks.server import running
from benchmarks.sizes import Sizes
from replicate_stream import Client

NEEDS = ()


async def rows(sizes: Sizes) -> list[Row]:
    """The hand-written floors, and `Client.stream`."""
    rows: list[Row] = []
    with running() as address:
        async with (
            readers.sessions() as session,
            Client(readers.TOKEN, base_url=address.api) as client,
        ):
            raw = readers.raw_socket(address)
            plain = readers.bytes_only(session, address)
            split = readers.naive_split(session, address)
            core = readers.core(client)
            together = (
                ("raw socket", raw, None, None),
                ("aiohttp, bytes only", plain, None, None),
                ("aiohttp and a naive split", split, None, None),
                ("Client.stream", core, "aiohttp, bytes only", 2.0),
            )
            apart = (
                ("aiohttp and a naive split", split, None, None),
                ("Client.stream", core, "aiohttp and a naive split", 1.1),
            )
            # The recorded service sends no HTTP chunks; the targets were set with chunks.
            unchunked = (
                ("aiohttp and a naive split", split, None, None),
                ("Client.stream", core, "aiohttp and a naive split", None),
            )
            burst = sizes.burst
            rows += await _compare("at once", f"burst-{burst}", together, sizes)
            rows += await _compare("at once, no chunks", f"plain-{burst}", unchunked, sizes)
            rows += await _compare("one by one", f"single-{sizes.singles}", apart, sizes)
    return rows


async def _compare(
    prefix: str,
    model: str,
    ways: tuple[tuple[str, Read, str | None, float | None], ...],
    sizes: Sizes,
) -> list[Row]:
    contenders = [
        Contender(
            f"{prefix}: {name}",
            cpu_per_token(read, model),
            floor and f"{prefix}: {floor}",
            most_ratio,
        )
        for name, read, floor, most_ratio in ways
    ]
    return await compare(contenders, rounds=sizes.rounds, unit="us/token")

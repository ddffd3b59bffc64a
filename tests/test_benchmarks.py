"""The benchmarks run, at the least size; what they find is not judged here."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from replicate_stream import Client, TextDelta

if not (Path(__file__).parents[1] / "benchmarks").is_dir():
    pytest.skip("the benchmarks are not part of the source distribution", allow_module_level=True)

from benchmarks import __main__ as program
from benchmarks.groups.first_token import count_requests
from benchmarks.readers import TOKEN
from benchmarks.report import Contender, Row, compare
from benchmarks.server import running
from benchmarks.sizes import TINY


@pytest.mark.parametrize("name", [name for name in program.GROUPS if name != "imports"])
def test_every_group_measures_something(name: str) -> None:
    _, heading, *rows = program.table([name], TINY)
    assert str(heading).startswith(f"\n{name}: ")
    assert rows
    assert all(isinstance(row, Row) for row in rows)


def test_a_group_whose_package_is_missing_is_left_out_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program.GROUPS["langchain"], "NEEDS", ("no_such_package",))
    *_, line = program.table(["langchain"], TINY)
    assert line == "  skipped: no_such_package is not installed"


async def test_a_ratio_is_the_median_of_neighbours_after_a_warm_up() -> None:
    taken: list[str] = []
    drift = iter([100.0, 1.0, 10.0, 20.0, 30.0, 90.0, 20.0, 80.0])

    def contender(name: str, floor: str | None) -> Contender:
        async def measure() -> float:
            taken.append(name)
            return next(drift)

        return Contender(name, measure, floor, most_ratio=2.5)

    rows = await compare([contender("a", None), contender("b", "a")], rounds=3, unit="us")
    assert "".join(taken) == "abababab"
    assert [(row.value, row.ratio, row.is_over) for row in rows] == [
        (20.0, None, None),
        (80.0, 3.0, True),
    ]


def test_a_row_says_whether_it_keeps_its_target() -> None:
    assert str(Row("x", 3.0, "ms", most=2)).endswith("at most 2 ms         OVER")
    assert str(Row("x", 3.0, "ms", 1.1, most_ratio=1.25)).endswith("at most 1.25x        ok")
    assert "at most" not in str(Row("x", 3.0, "ms", 1.1))


@pytest.mark.parametrize("kind", ["burst", "plain", "single", "paced"])
async def test_the_load_server_sends_every_token_and_counts_requests(kind: str) -> None:
    texts: list[str] = []
    with running() as address:
        async with (
            Client(TOKEN, base_url=address.api) as client,
            client.stream(f"bench/{kind}-7", "x") as events,
        ):
            texts += [event.text async for event in events if isinstance(event, TextDelta)]
        # The model, the prediction, its stream, and its record after that.
        assert await asyncio.to_thread(count_requests, address) == 4
    assert len(texts) == 7

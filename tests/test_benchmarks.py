"""The benchmarks run, at the least size; what they find is not judged here."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import aiohttp
import pytest

from replicate_stream import Client, TextDelta

if not (Path(__file__).parents[1] / "benchmarks").is_dir():
    pytest.skip("the benchmarks are not part of the source distribution", allow_module_level=True)

from benchmarks import __main__ as program
from benchmarks import chart, peer
from benchmarks.groups.first_token import count_requests
from benchmarks.readers import TOKEN
from benchmarks.record import find_regressions, write_run
from benchmarks.report import Contender, Row, compare
from benchmarks.server import running
from benchmarks.sizes import TINY


@pytest.mark.parametrize("name", sorted(program.GROUPS.keys() - program.OPTIONAL - {"imports"}))
def test_every_group_measures_something(name: str) -> None:
    heading, *rows = program.table([name], TINY)
    assert str(heading).startswith(f"\n{name}: ")
    assert rows
    assert all(isinstance(row, Row) for row in rows)


def test_a_group_whose_package_is_missing_is_left_out_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program.GROUPS["langchain"], "NEEDS", ("no_such_package",))
    *_, line = program.table(["langchain"], TINY)
    assert line == "  skipped: no_such_package is not installed"


@pytest.mark.timeout(300)
def test_without_the_environment_of_the_peers_only_what_is_here_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(program.GROUPS["peers"], "PYTHON", tmp_path / "python")
    _, note, *rows = program.table(["peers"], TINY)
    assert "not installed" in str(note)
    assert [row.ratio for row in rows if isinstance(row, Row) and "Client.stream" in row.name]
    complete = [row.value for row in rows if isinstance(row, Row) and row.unit == "streams"]
    assert complete == [TINY.crowd] * 4


@pytest.mark.timeout(300)
def test_a_peer_that_does_not_run_is_named_with_the_reason_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # This environment has OpenAI's and other classes no more than an environment of the peers
    # into which they could not be installed.
    monkeypatch.setattr(program.GROUPS["peers"], "PYTHON", Path(sys.executable))
    three = {
        name: peer.CONTENDERS[name] for name in ("aiohttp by hand", "litellm", "Client.stream")
    }
    monkeypatch.setattr(peer, "CONTENDERS", three)
    lines = list(program.table(["peers"], TINY))
    assert any("litellm did not run: ModuleNotFoundError" in str(line) for line in lines)
    assert sum(isinstance(line, Row) for line in lines) == 6


async def test_a_prediction_of_the_load_server_can_be_polled_and_openai_s_api_streams() -> None:
    with running() as address:
        api = f"{address.api}/full/v1"
        async with aiohttp.ClientSession() as session:
            body = {"input": {"prompt": "x"}}
            async with session.post(f"{api}/models/b/burst-3/predictions", json=body) as reply:
                created = await reply.json()
            async with session.get(created["urls"]["get"]) as reply:
                record = await reply.json()
            chat = {"model": "burst-3", "stream": True}
            async with session.post(f"{api}/chat/completions", json=chat) as reply:
                text = await reply.text()  # its end is the end of the body
    assert (created["output"], record["status"]) == (None, "succeeded")
    assert record["output"] == [" tok0", " tok1", " tok2"]
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == record["output"]
    assert text.endswith("data: [DONE]\n\n")


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


@pytest.mark.parametrize("kind", ["burst", "plain", "single", "paced", "steady"])
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


def test_a_ratio_that_has_grown_by_more_than_half_since_it_was_recorded_is_a_regression(
    tmp_path: Path,
) -> None:
    file = tmp_path / "run.json"
    before = [
        Row("floor", 1.0, "us"),
        Row("a", 2.0, "us", 2.0),
        Row("b", 2.0, "us", 2.0),
        Row("tiny", 0.1, "us", 0.07),
    ]
    write_run(file, {"group": before}, "quick")
    now = [
        Row("floor", 9.0, "us"),
        Row("a", 9.0, "us", 3.1),
        Row("b", 9.0, "us", 2.9),
        Row("tiny", 9.0, "us", 0.16),
        Row("new", 9.0, "us", 9.0),
    ]
    recorded = json.loads(file.read_text(encoding="utf-8"))
    found = find_regressions(recorded, {"group": now})
    assert found == {("group", "a"): "group: a: 3.10x, recorded 2.00x"}
    assert find_regressions(recorded, {"other": now}) == {}


def test_the_program_writes_its_run_and_fails_by_a_recorded_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratios: list[float] = []  # of the next runs; then 2.0

    async def rows(_: object) -> list[Row]:
        return [Row("a", 2.0, "us", ratios.pop(0) if ratios else 2.0)]

    monkeypatch.setattr(program.GROUPS["reading"], "rows", rows)
    file = tmp_path / "run.json"
    command = ["benchmarks", "--only", "reading"]
    monkeypatch.setattr(sys, "argv", [*command, "--json", str(file)])
    program.main()
    monkeypatch.setattr(sys, "argv", [*command, "--guard", str(file)])
    program.main()
    ratios += [9.0, 2.0]  # a busy moment: the second run is as the record
    program.main()
    recorded = json.loads(file.read_text(encoding="utf-8"))
    recorded["groups"]["reading"][0]["ratio"] = 1.0
    file.write_text(json.dumps(recorded), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"reading: a: 2\.00x, recorded 1\.00x"):
        program.main()


def test_the_chart_and_the_table_of_the_readme_are_those_of_the_record() -> None:
    record = json.loads(chart.RECORD.read_text(encoding="utf-8"))
    assert chart.CHART.read_text(encoding="utf-8") == chart.draw(record)
    root = Path(program.__file__).parents[1]
    assert chart.write_table(record) in (root / "README.md").read_text(encoding="utf-8")


def test_a_bar_of_the_chart_is_as_long_as_its_figure_and_a_missing_figure_is_a_dash() -> None:
    record = {
        **dict.fromkeys(("date", "python", "aiohttp", "machine"), "?"),
        "groups": {
            "peers": [
                {"name": "CPU: aiohttp by hand", "value": 5.0, "unit": "us/token"},
                {"name": "CPU: <b> 1.0", "value": 10.0, "unit": "us/token"},
                {"name": "wait: <b> 1.0", "value": 1.0, "unit": "ms"},
            ]
        },
    }
    drawing = ET.fromstring(chart.draw(record))
    _, *bars = drawing.iter("{http://www.w3.org/2000/svg}rect")
    floor, other, alone = (float(bar.attrib["width"]) for bar in bars)
    assert other == alone == 2 * floor
    assert "<b> 1.0" in [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert "| <b> 1.0 | 10.0 | 1 |" in chart.write_table(record)
    assert "| aiohttp by hand | 5.0 | - |" in chart.write_table(record)


def test_every_recorded_group_exists() -> None:
    recorded = json.loads(Path(program.__file__).with_name("recorded.json").read_text("utf-8"))
    assert set(recorded["groups"]) <= set(program.GROUPS)

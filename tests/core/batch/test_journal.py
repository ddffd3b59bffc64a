"""A journal survives a crash at any byte, has one writer, and holds no text of a prompt."""

from __future__ import annotations

import asyncio
import itertools
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import InvalidInputError, Journal

RESULT = {"completion": {"text": "é\n"}}
ERROR = {"error": {"type": "ReplicateError", "message": "m"}}


async def write_all(journal: Journal) -> None:
    await journal.note_intent("a", "r1", "i1")
    await journal.note_prediction("a", "r1", "p1")
    await journal.note_result("a", "r1", RESULT)
    await journal.note_intent(2, "r2", "i2")


async def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with Journal(path) as journal:
        await write_all(journal)
        written = [journal.find("a"), journal.find(2), journal.find("2")]
    async with Journal(str(path)) as journal:
        assert [journal.find("a"), journal.find(2), journal.find("2")] == written
        answered, unrecorded, unknown = written
        assert unknown is None
        assert answered is not None
        assert answered.is_answered
        assert await journal.read_result(answered) == RESULT
        assert await journal.list_unrecorded() == [unrecorded]
        assert await journal.list_prediction_ids() == {"p1"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_file_that_was_torn_at_any_byte_is_read_up_to_the_last_whole_line(
    tmp_path: Path,
) -> None:
    path, torn = tmp_path / "journal", tmp_path / "torn"
    async with Journal(path) as journal:
        await write_all(journal)
    data = path.read_bytes()
    line_count = 0
    for size in range(len(data) + 1):
        torn.write_bytes(data[:size])
        line_count = data[:size].count(b"\n")
        async with Journal(torn) as journal:
            first, second = journal.find("a"), journal.find(2)
            assert (first is None) is (line_count < 2)
            assert (second is None) is (line_count < 5)
            if first is not None:
                assert first.prediction_id == (None if line_count == 2 else "p1")
                assert first.is_answered is (line_count >= 4)
            await journal.note_prediction("later", "r3", "p3")
        async with Journal(torn) as journal:
            assert (found := journal.find("later")) is not None
            assert found.prediction_id == "p3"
    assert line_count == 5


@pytest.mark.parametrize("data", [b'{"key": 1}\n', b"text", b"\n", b"\0" * 50])
async def test_another_file_is_refused_and_left_as_it_is(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match="not a journal") as caught:
        async with Journal(path):
            pass
    assert caught.value.fields == ("journal",)
    assert path.read_bytes() == data


KNOWN = {"key": "a", "request": "r", "at": 1.0}
CHANGES: list[dict[str, Any]] = [
    *({"key": []}, {"key": None}, {"request": 5}, {"at": "now"}, {"at": None}),
    *({"input": []}, {"id": 5}, {"result": 5}, {"result": None}),
]


@pytest.mark.parametrize(
    "line",
    [
        b"\0\0", b"\xff", b"", b"5", b"[]", b'"key request at"', b'["key", "request", "at"]',
        b'{"key": "a", "request": "r", "at": ' + b"9" * 5000 + b"}",
        b'{"key": "a", "request": "r", "at": 1, "x": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
        *(json.dumps({**KNOWN, **changed}).encode() for changed in CHANGES),
        *(json.dumps({n: v for n, v in KNOWN.items() if n != name}).encode() for name in KNOWN),
    ],
    ids=lambda line: line.decode(errors="replace")[:50],
)  # fmt: skip
async def test_a_damaged_line_is_named_and_not_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "journal"
    async with Journal(path) as journal:
        await write_all(journal)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], line + b"\n", *lines[2:]]))
    with pytest.raises(InvalidInputError, match=f"byte {len(lines[0] + lines[1])} "):
        async with Journal(path):
            pass


async def test_a_folder_needs_the_name_of_a_worker(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="worker="):
        async with Journal(tmp_path):
            pass
    for worker in ("", "a/b", "/"):
        with pytest.raises(InvalidInputError):
            Journal(tmp_path, worker=worker)


async def test_a_second_writer_is_refused_until_the_first_one_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    program = (
        "import asyncio, sys\n"
        "from replicate_stream import Journal\n"
        "async def main():\n"
        "    async with Journal(sys.argv[1]):\n"
        "        print('open', flush=True)\n"
        "        sys.stdin.read()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.to_thread(
        lambda: subprocess.Popen(
            [sys.executable, "-c", program, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    )
    with process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"open\n"
        with pytest.raises(InvalidInputError, match="in use"):
            async with Journal(path):
                pass
        process.kill()
        await asyncio.to_thread(process.wait)
        async with Journal(path):
            with pytest.raises(InvalidInputError, match=r"in use .* not closed \(aclose\)"):
                async with Journal(path):
                    pass


async def test_a_journal_that_is_not_open_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    with pytest.raises(RuntimeError, match="async with"):
        await journal.note_prediction("a", "r", "p")
    assert not (tmp_path / "journal").exists()


async def test_lines_of_many_tasks_are_all_written(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with Journal(path) as journal:
        await asyncio.gather(*(journal.note_prediction(i, "r", f"p{i}") for i in range(500)))
    async with Journal(path) as journal:
        assert await journal.list_prediction_ids() == {f"p{i}" for i in range(500)}


@pytest.mark.skipif(sys.platform == "win32", reason="limits are of POSIX")
async def test_a_full_disk_is_an_error_for_every_task_and_leaves_whole_lines(
    tmp_path: Path,
) -> None:
    import resource

    path = tmp_path / "journal"
    async with Journal(path) as journal:
        await write_all(journal)
        size = path.stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
        try:
            noting = [journal.note_prediction(i, "r", "p") for i in range(5)]
            errors = await asyncio.gather(*noting, return_exceptions=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert all(isinstance(error, OSError) for error in errors)
        with pytest.raises(OSError, match="too large"):
            await journal.note_prediction("b", "r", "p")
    assert path.stat().st_size == size


@pytest.mark.parametrize("order", [*itertools.permutations("abc")], ids="".join)
async def test_workers_find_what_the_others_have_paid(tmp_path: Path, order: Any) -> None:
    """Whatever their names are, which decide the order in which the files are read."""
    first, second, third = order
    async with Journal(tmp_path, worker=first) as one:
        await one.note_intent("k", "r", "i")
        async with Journal(tmp_path, worker=second) as two:
            assert (found := two.find("k")) is not None
            assert found.is_unrecorded
            await one.note_prediction("k", "r", "p")
            assert two.find("k") == found
            await two.refresh()
            assert (found := two.find("k")) is not None
            assert found.prediction_id == "p"
            await two.note_result("k", "r", ERROR)
            await two.note_intent("k", "r", "i")
            await two.note_prediction("k", "r", "q")
            await two.note_result("k", "r", RESULT)
            await one.note_prediction("k", "r", "late")
            for journal in (one, two):
                await journal.refresh()
                assert (found := journal.find("k")) is not None
                assert found.is_answered
                assert found.prediction_id == "q"
                assert await journal.read_result(found) == RESULT
    async with Journal(tmp_path, worker=third) as three:
        assert (found := three.find("k")) is not None
        assert await three.read_result(found) == RESULT
    assert all((tmp_path / f"{name}.jsonl").is_file() for name in order)


async def test_a_line_that_another_worker_is_writing_is_read_later(tmp_path: Path) -> None:
    async with Journal(tmp_path, worker="a") as one, Journal(tmp_path, worker="b") as two:
        await one.note_prediction("k", "r", "p")
        path = tmp_path / "a.jsonl"
        line = json.dumps({"key": "l", "request": "r", "at": 1.0, "id": "q"}).encode() + b"\n"
        with path.open("ab") as file:
            file.write(line[:20])
            file.flush()
            await two.refresh()
            assert (two.find("k") is not None, two.find("l")) == (True, None)
            file.write(line[20:])
        await two.refresh()
        assert two.find("l") is not None

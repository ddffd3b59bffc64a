"""The fault matrix: every fault in every stage, on every surface.

A cell holds if the whole text was delivered once or the named error was raised, at most one
prediction was created, a prediction that was left running was cancelled, and no socket, task,
thread or warning is left.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import time
from collections.abc import Iterator

import pytest

import replicate_stream
from langchain_replicate_stream import errors as langchain_errors
from replicate_stream import Client
from replicate_stream._api.http import GRACE_PERIOD
from replicate_stream.adapters import run_blocking
from replicate_stream.testing.emulator import FAKE_TOKEN
from tests.reliability.conftest import IS_FULL, RecordFigure
from tests.reliability.fault_cells import FIRST, INTERRUPTED, TIMEOUT, WHOLE, Cell
from tests.reliability.faulty_server import TEXT, TOKENS, FaultyServer, Script
from tests.reliability.reply_faults import REPLY_FAULTS, build_reply_cells
from tests.reliability.stream_faults import (
    RECORD_FAULTS,
    STREAM_FAULTS,
    build_record_cell,
    build_stream_cells,
)
from tests.reliability.surfaces import CORE, SURFACES, Answer, Call

TIMEOUTS = {"nothing comes": 0.3, "the record has the rest": 0.6, "all comes": 10.0}
"""`timeout` of the client in seconds, by what happens."""
DEADLINE = 3.0
"""`deadline` of the client in seconds, for cells that have one."""
MAX_SECONDS = 9.0
"""Longest time for a cell. The longest is that of two stalled replies with the record, 3 s each."""
OWN_THREADS = {"replicate-stream-sync", "asyncio_0"}
"""Threads that a process keeps: the bridge's, and its loop's for look-ups of names."""

KEEPS_CONNECTIONS = {"LangChain, sync", "LlamaIndex, sync"}
"""Surfaces whose objects are collected instead of closed, in a loop that goes on."""

CELLS = [
    *(cell for name, fault in REPLY_FAULTS.items() for cell in build_reply_cells(name, fault)),
    *(cell for name, fault in STREAM_FAULTS.items() for cell in build_stream_cells(name, fault)),
    *(build_record_cell(name, fault) for name, fault in RECORD_FAULTS.items()),
]


def choose_cells() -> Iterator[tuple[str, Cell]]:
    """Choose the cells of this run.

    In the quick size the core has every fault in every stage, with the sequels in turn but for
    those that take seconds. Each other surface has every stage, and together they have every fault.
    """
    if IS_FULL:
        yield from ((surface, cell) for cell in CELLS for surface in SURFACES)
        return
    others = [surface for surface in SURFACES if surface != CORE]
    places: dict[tuple[str, str], list[Cell]] = {(cell.fault, cell.stage): [] for cell in CELLS}
    for cell in CELLS:
        places[cell.fault, cell.stage].append(cell)
    seen: set[tuple[str, str]] = set()
    for index, cells in enumerate(places.values()):
        quick = [cell for cell in cells if not cell.is_slow] or cells
        cell = quick[index % len(quick)]
        yield CORE, cell
        surface = others[index % len(others)]
        if new := {(surface, cell.stage), ("", cell.fault)} - seen:
            seen |= new
            yield surface, cell


@pytest.fixture(scope="module", autouse=True)
def _warm_up() -> Iterator[None]:
    """Import what each surface imports at first use, and keep the garbage collector fast."""
    for surface in SURFACES:
        with FaultyServer(Script("")) as server:
            stream(surface, Call({"base_url": server.base_url, "max_retries": 1}, False))
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def stream(surface: str, call: Call) -> tuple[str, BaseException | None]:
    """Stream an answer; return its text and the error. No task may be left."""
    read, answer = SURFACES[surface], Answer()
    is_async = inspect.iscoroutinefunction(read)

    async def read_async() -> tuple[BaseException | None, int]:
        error: BaseException | None = None
        try:
            await read(call, answer)
        except replicate_stream.ReplicateError as caught:
            error = caught
        return strip_frames(error), await count_tasks()

    def read_blocking() -> tuple[BaseException | None, int]:
        error: BaseException | None = None
        try:
            read(call, answer)
        except replicate_stream.ReplicateError as caught:
            error = caught
        return strip_frames(error), run_blocking(count_tasks)

    error, task_count = asyncio.run(read_async()) if is_async else read_blocking()
    assert task_count == 0
    return answer.text, error


def strip_frames(error: BaseException | None) -> BaseException | None:
    """Drop the frames of an error, its cause and context, which hold the object's connections."""
    if error is not None:
        error.with_traceback(None)
        strip_frames(error.__cause__)
        strip_frames(error.__context__)
    return error


async def count_tasks() -> int:
    """Count the other tasks of the loop that go on longer than a request to cancel may."""
    ends_at = time.monotonic() + GRACE_PERIOD + 1
    while True:
        gc.collect()  # an adapter's object, whose client starts a timer for its connections
        await asyncio.sleep(0)
        tasks = {
            task
            for task in asyncio.all_tasks() - {asyncio.current_task()}
            if "_Bridge._serve" not in repr(task)
        }
        if not tasks or time.monotonic() > ends_at:
            return len(tasks)
        await asyncio.wait(tasks, timeout=1.0)


@pytest.mark.parametrize(
    ("surface", "cell"),
    [pytest.param(*each, id=f"{each[0]}: {each[1].name}") for each in choose_cells()],
)
def test_an_answer_is_whole_or_a_named_error_whatever_breaks(
    surface: str, cell: Cell, record_figure: RecordFigure, caplog: pytest.LogCaptureFixture
) -> None:
    threads = set(threading.enumerate())
    with FaultyServer(cell.script) as server:
        settings = {"base_url": server.base_url, "timeout": choose_timeout(cell), "max_retries": 1}
        settings |= {"deadline": DEADLINE} if cell.has_deadline else {}
        started_at = time.monotonic()
        text, error = stream(surface, Call(settings, leaves_early=cell.outcome == FIRST))
        seconds = time.monotonic() - started_at
        # A generator that a framework dropped cancels its prediction from a thread.
        for thread in set(threading.enumerate()) - threads:
            if thread.name == "replicate-stream-cancel":
                thread.join(GRACE_PERIOD + 1)
        # What a collected object leaves to the next one: connections that wait for a request to
        # the API, in the loop of the blocking methods. The last client that is closed closes them.
        if surface in KEEPS_CONNECTIONS:
            assert server.wait_until_idle()
            run_blocking(Client(FAKE_TOKEN, base_url=server.base_url).aclose)
        assert server.wait_until_closed()
    check_outcome(surface, cell, text, error)
    assert seconds < MAX_SECONDS
    if cell.creates is None:
        assert server.requests["create"] > 1
    else:
        assert server.requests["create"] == cell.creates
    assert (server.cancels, server.requests["cancel"]) == (cell.cancels, cell.cancel_requests)
    left = {t for t in set(threading.enumerate()) - threads if t.name not in OWN_THREADS}
    assert left == set()
    assert [each for each in caplog.records if each.name == "asyncio"] == []
    record_figure("fault matrix: cells", 1, combine="sum")
    record_figure("fault matrix: longest cell", seconds, "s")
    record_figure(f"fault matrix: cells with {cell.outcome}", 1, combine="sum")


def choose_timeout(cell: Cell) -> float:
    """Choose a short time-out only where the client has to find out that nothing comes."""
    if cell.is_silent:
        return TIMEOUTS["nothing comes" if cell.outcome == TIMEOUT else "the record has the rest"]
    return TIMEOUTS["all comes"]


def check_outcome(surface: str, cell: Cell, text: str, error: BaseException | None) -> None:
    """Assert that the outcome is the cell's."""
    if cell.outcome in {WHOLE, FIRST}:
        assert error is None, error
        assert text == (TEXT if cell.outcome == WHOLE else TOKENS[0])
        return
    package = langchain_errors if surface.startswith("LangChain") else replicate_stream
    expected = tuple(getattr(package, name) for name in cell.outcome.split(" or "))
    assert isinstance(error, expected), error or text
    assert package is langchain_errors or type(error) in expected
    # Only then the text itself is wrong, which the error says.
    assert cell.outcome == INTERRUPTED or TEXT.startswith(text)

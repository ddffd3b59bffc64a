"""The fault matrix of containers of Cog: every fault in every stage, through the core."""

from __future__ import annotations

import asyncio
import time

import pytest

import replicate_stream
from replicate_stream import Client, ReplicateError, TextDelta
from tests.reliability.cog_cells import CogCell, CogFaultyServer, choose_cells
from tests.reliability.conftest import RecordFigure
from tests.reliability.fault_cells import FIRST, TIMEOUT, WHOLE
from tests.reliability.faulty_server import CANCEL, TEXT, TOKENS

MAX_SECONDS = 9.0
"""Longest time for a cell: that of five connections in a row without a new event."""


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.name) for cell in choose_cells()])
async def test_an_answer_of_cog_is_whole_or_a_named_error_whatever_breaks(
    cell: CogCell, record_figure: RecordFigure
) -> None:
    with CogFaultyServer(cell.script) as server:
        started_at = time.monotonic()
        text, error = await asyncio.wait_for(stream(server.address, cell), MAX_SECONDS)
        seconds = time.monotonic() - started_at
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert await asyncio.to_thread(server.wait_until_closed)
    if cell.outcome in {WHOLE, FIRST}:
        assert error is None, error
        assert text == (TEXT if cell.outcome == WHOLE else TOKENS[0])
    else:
        assert type(error) is getattr(replicate_stream, cell.outcome), error or text
        assert TEXT.startswith(text)
    assert server.requests[CANCEL] == cell.cancel_requests
    record_figure("fault matrix of Cog: cells", 1, combine="sum")
    record_figure("fault matrix of Cog: longest cell", seconds, "s")


async def stream(address: str, cell: CogCell) -> tuple[str, ReplicateError | None]:
    """Stream an answer; return its text and the error."""
    texts: list[str] = []
    caught: ReplicateError | None = None
    client = Client(
        base_url=address,
        dialect="cog",
        timeout=0.3 if cell.outcome == TIMEOUT and not cell.has_deadline else 10.0,
        deadline=1.0 if cell.has_deadline else None,
        max_retries=1,
    )
    try:
        async with client, client.stream("any/name", "Hi") as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    texts.append(event.text)
                    if cell.outcome == FIRST:
                        break
    except ReplicateError as error:
        caught = error
    return "".join(texts), caught

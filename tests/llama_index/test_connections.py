"""Objects that are made for a request, or copied for it, open no connections of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator

METHODS = ["acomplete", "astream_chat", "complete", "stream_chat"]
CountConnections = Callable[[], int]


@pytest.mark.parametrize("method", METHODS)
async def test_an_object_made_for_each_request_opens_no_connection_after_the_first(
    keeping_emulator: Emulator,
    count_connections: CountConnections,
    make_llm: Callable[..., Replicate],
    ask: Callable[..., Any],
    method: str,
) -> None:
    for number in range(4):
        await ask(make_llm(timeout=60 + number), method)
    assert count_connections() == 2  # to the API, and to the stream host


@pytest.mark.parametrize("method", METHODS)
async def test_a_copy_with_other_settings_opens_no_connection(
    keeping_emulator: Emulator,
    count_connections: CountConnections,
    make_llm: Callable[..., Replicate],
    ask: Callable[..., Any],
    method: str,
) -> None:
    llm = make_llm()
    for number in range(4):
        await ask(llm.model_copy(update={"deadline": 60 + number}), method)
    assert count_connections() == 2

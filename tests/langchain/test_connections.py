"""Objects that are made for a request, or configured in it, open no connections of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import ConfigurableField

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator

METHODS = ["ainvoke", "astream", "invoke", "stream"]
CountConnections = Callable[[], int]


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_with_configurable_fields_opens_no_connection_after_the_first(
    keeping_emulator: Emulator,
    count_connections: CountConnections,
    make_llm: Callable[..., ChatReplicate],
    ask: Callable[..., Any],
    method: str,
) -> None:
    # Those that make another client, and one that does not.
    flexible = make_llm().configurable_fields(
        api_key=ConfigurableField(id="key"),
        max_retries=ConfigurableField(id="retries"),
        temperature=ConfigurableField(id="heat"),
    )
    for number in range(4):
        settings = {"key": keeping_emulator.token, "retries": number, "heat": number / 8}
        await ask(flexible.with_config(configurable=settings), method)
    creations = [r for r in keeping_emulator.requests if r.kind == "create"]
    assert [r.json["input"]["temperature"] for r in creations] == [0, 0.125, 0.25, 0.375]
    assert count_connections() == 2  # to the API, and to the stream host


@pytest.mark.parametrize("method", METHODS)
async def test_an_object_made_for_each_request_opens_no_connection_after_the_first(
    keeping_emulator: Emulator,
    count_connections: CountConnections,
    make_llm: Callable[..., ChatReplicate],
    ask: Callable[..., Any],
    method: str,
) -> None:
    for number in range(4):
        await ask(make_llm(timeout=60 + number), method)
    assert count_connections() == 2

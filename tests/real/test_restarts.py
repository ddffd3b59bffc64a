"""nginx with Nchan stopped and started in the middle of a stream, and one that buffers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from replicate_stream import StreamInterruptedError
from tests.real.surfaces import SURFACES, Ask, choose

if TYPE_CHECKING:
    from tests.real.conftest import Nginx, Service

MODEL = "nginx/nchan"
WORDS = [f" w{i}" for i in range(12)]
TEXT = "".join(WORDS)

Serve = Callable[..., Awaitable["Service"]]
MakeNginx = Callable[..., "Nginx"]


@pytest.fixture(params=SURFACES.values(), ids=list(SURFACES))
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen


@pytest.mark.parametrize("stopped_before", choose([6], [0, 1, 6, 11]))
async def test_a_stream_server_that_does_not_come_back_costs_nothing(
    make_nginx: MakeNginx, serve: Serve, ask: Ask, stopped_before: int
) -> None:
    server = make_nginx(5)
    service = await serve(server.origin)
    service.script = [(0.02, word) for word in WORDS]

    async def stop(index: int) -> None:
        if index == stopped_before:
            await asyncio.to_thread(server.stop)

    service.on_token = stop
    assert await ask(service.base_url, MODEL) == TEXT
    assert (service.creates, service.cancels) == (1, [])


@pytest.mark.parametrize("stopped_before", choose([6], [1, 6, 11]))
@pytest.mark.parametrize("down_for", choose([1], [0, 1, 4]))
async def test_a_stream_server_that_forgot_its_streams_leaves_a_whole_answer_or_an_error(
    make_nginx: MakeNginx, serve: Serve, ask: Ask, stopped_before: int, down_for: int
) -> None:
    """`down_for` is the number of tokens that nobody can receive."""
    server = make_nginx(2)
    service = await serve(server.origin)
    service.script = [(0.05, word) for word in WORDS]

    async def restart(index: int) -> None:
        if index == stopped_before:
            await asyncio.to_thread(server.stop)
        if index == stopped_before + down_for:
            await asyncio.to_thread(server.start)

    service.on_token = restart
    try:
        text = await ask(service.base_url, MODEL)
    except StreamInterruptedError as error:
        assert "r8_FAKE_TOKEN" not in str(error)
    else:
        assert text == TEXT
    assert service.creates == 1


async def test_a_proxy_that_buffers_delays_an_answer_and_takes_nothing_from_it(
    make_nginx: MakeNginx, serve: Serve, ask: Ask
) -> None:
    server = make_nginx(1)
    service = await serve(f"{server.origin}/buffered", server.origin)
    service.script = [(0.05, word) for word in WORDS]
    started = time.monotonic()
    assert await ask(service.base_url, MODEL) == TEXT
    assert time.monotonic() - started < 10
    assert (service.creates, service.cancels) == (1, [])

"""nginx with Nchan, the stream server that Replicate ran, at the other end of the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from replicate_stream import Client, TextDelta

if TYPE_CHECKING:
    from tests.real.conftest import Service

MODEL = "nginx/nchan"
TOKENS = ["", "Sure", ", here", "'s a joke:\n\nWhy", " é日本😀\u2028", "\n", "\n\nB", "ecause"]

Serve = Callable[[str], Awaitable["Service"]]
StartNginx = Callable[[int], str]


@pytest.fixture
async def client_of() -> Any:
    clients: list[Client] = []

    def make(service: Service, **settings: Any) -> Client:
        clients.append(Client("r8_FAKE_TOKEN", base_url=service.base_url, **settings))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


async def test_a_stream_arrives_token_by_token_and_exact(
    nginx: StartNginx, serve: Serve, client_of: Callable[..., Client]
) -> None:
    service = await serve(nginx(5))
    service.script = [(0.02, token) for token in TOKENS]
    async with client_of(service).stream(MODEL, "Hi") as events:
        pieces = [event.text async for event in events if isinstance(event, TextDelta)]
    assert pieces == [token for token in TOKENS if token]
    assert service.cancels == []


async def test_connecting_after_the_end_still_brings_everything(
    nginx: StartNginx, serve: Serve, client_of: Callable[..., Client]
) -> None:
    service = await serve(nginx(5))
    service.script = [(0.0, token) for token in TOKENS]
    async with client_of(service).stream(MODEL, "Hi") as events:
        await service.wait_for_predictions()
        text = "".join([e.text async for e in events if isinstance(e, TextDelta)])
    assert text == "".join(TOKENS)


async def test_an_idle_stream_ends_with_408_and_is_resumed_until_the_answer_is_whole(
    nginx: StartNginx, serve: Serve, client_of: Callable[..., Client]
) -> None:
    service = await serve(nginx(1))
    service.script = [(2.6, "late"), (0.0, " but"), (2.6, " whole")]
    completion = await client_of(service).complete(MODEL, "Hi")
    assert completion.text == "late but whole"


async def test_two_hundred_streams_at_once_are_all_whole(
    nginx: StartNginx, serve: Serve, client_of: Callable[..., Client]
) -> None:
    service = await serve(nginx(10))
    service.script = [(0.02, f"token{i} ") for i in range(20)]
    client = client_of(service)
    completions = await asyncio.gather(*[client.complete(MODEL, "Hi") for _ in range(200)])
    assert {completion.text for completion in completions} == {
        "".join(f"token{i} " for i in range(20))
    }


async def test_leaving_early_cancels_the_prediction(
    nginx: StartNginx, serve: Serve, client_of: Callable[..., Client]
) -> None:
    service = await serve(nginx(5))
    service.script = [(0.02, "word ")] * 500
    async with client_of(service).stream(MODEL, "Hi") as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    assert service.cancels == [events.prediction.id]

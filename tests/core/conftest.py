"""Clients of the emulator, closed at the end of each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from replicate_stream import Client
from replicate_stream.testing import Emulator

MakeClient = Callable[..., Client]


@pytest.fixture
async def make_client(replicate_emulator: Emulator) -> AsyncIterator[MakeClient]:
    """Makes clients of the emulator; the settings are those of `Client`."""
    clients: list[Client] = []

    def make(**settings: Any) -> Client:
        settings.setdefault("base_url", replicate_emulator.base_url)
        clients.append(Client(settings.pop("api_key", replicate_emulator.token), **settings))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def client(make_client: MakeClient) -> Client:
    """A client of the emulator with the default settings."""
    return make_client()

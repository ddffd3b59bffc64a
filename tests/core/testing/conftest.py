"""Fixtures for tests of the emulator: HTTP requests without the project's own client."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from replicate_stream.testing import Emulator


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A reply that was received; its header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture
def send(replicate_emulator: Emulator) -> Callable[..., HttpReply]:
    """Sends one HTTP request over a connection of its own and returns the reply.

    `send(method, path_or_url, body=None, headers={...}, token=...)`: a path is one of the API's;
    bytes are sent as they are, any other body as JSON; the default token is the emulator's.
    """

    def send(
        method: str,
        target: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> HttpReply:
        url = urlsplit(target if "://" in target else replicate_emulator.base_url + target)
        token = replicate_emulator.token if token is None else token
        authorization = {"Authorization": f"Bearer {token}"} if token else {}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
        path = f"{url.path}?{url.query}" if url.query else url.path
        try:
            connection.request(method, path, data, {**authorization, **(headers or {})})
            reply = connection.getresponse()
            received = {name.lower(): value for name, value in reply.getheaders()}
            return HttpReply(reply.status, received, reply.read())
        finally:
            connection.close()

    return send


@pytest.fixture
def create(send: Callable[..., HttpReply], replicate_emulator: Emulator) -> Callable[..., Any]:
    """Creates a prediction of the default model and returns its first record.

    `create(prompt="Hi", **headers)`: the headers are those of the request.
    """

    def create(prompt: str = "Hi", **headers: str) -> Any:
        path = f"/models/{replicate_emulator.model}/predictions"
        reply = send("POST", path, {"input": {"prompt": prompt}}, headers=headers)
        assert reply.status == 201, reply.body
        return reply.json

    return create


@pytest.fixture
def get_final_record(
    send: Callable[..., HttpReply], replicate_emulator: Emulator
) -> Callable[[Any], Any]:
    """Waits for the end of a prediction, given by its first record, and returns its last one."""

    def get_final_record(prediction: Any) -> Any:
        replicate_emulator.wait_for(lambda e: e.predictions[prediction["id"]].is_terminal)
        return send("GET", prediction["urls"]["get"]).json

    return get_final_record


@pytest.fixture
def run_prediction(
    create: Callable[..., Any], get_final_record: Callable[[Any], Any]
) -> Callable[..., Any]:
    """Creates a prediction, as `create` does, and returns its last record."""
    return lambda prompt="Hi": get_final_record(create(prompt))


@pytest.fixture
def emulator_with_models(replicate_emulator: Emulator) -> Emulator:
    """An emulator with a community model of two versions, an image model, and a deployment."""
    replicate_emulator.add_model("me/community", version="0" * 64)
    replicate_emulator.add_model("me/community", version="5c7d5dc6" * 8)
    replicate_emulator.add_model(
        "me/picture",
        official=True,
        output_schema={"type": "string", "format": "uri", "title": "Output"},
    )
    replicate_emulator.add_deployment("me/deployed", "me/community")
    return replicate_emulator

"""What tests of several folders need: HTTP by hand, and the material beside the project."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from replicate_stream.testing import Emulator

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply as it came, its header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the recordings, schemas and documents; skips where it is missing."""
    beside = Path(__file__).parents[2] / "shared"
    folder = Path(os.environ.get("REPLICATE_STREAM_SHARED") or beside)
    if not folder.is_dir():
        pytest.skip("needs the shared material; REPLICATE_STREAM_SHARED says where it is")
    return folder


@pytest.fixture(scope="session")
def by_words() -> BaseEmbedding:
    """An embedding of the words in a text, so that retrieval finds what is asked for."""
    from llama_index.core.base.embeddings.base import BaseEmbedding

    class Words(BaseEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            vector = [0.0] * 256
            for word in text.lower().replace(".", " ").replace("?", " ").split():
                vector[hashlib.md5(word.encode()).digest()[0]] += 1.0
            return vector

        def _get_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

    return Words()


@pytest.fixture
def ask(replicate_emulator: Emulator) -> Callable[..., Answer]:
    """One HTTP request without any client of ours, over a connection of its own.

    `ask(method, path_or_url, body=None, headers={...}, token=...)`: a path is one of the API's; the
    body is sent as it is if it is bytes, else as JSON; the token is the emulator's unless given.
    """

    def ask(
        method: str,
        target: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Answer:
        url = urlsplit(target if "://" in target else replicate_emulator.base_url + target)
        token = replicate_emulator.token if token is None else token
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
        path = f"{url.path}?{url.query}" if url.query else url.path
        try:
            connection.request(method, path, data, {**sent, **(headers or {})})
            reply = connection.getresponse()
            received = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(reply.status, received, reply.read())
        finally:
            connection.close()

    return ask

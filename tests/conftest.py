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

from replicate_stream.testing import Emulator, ToolUser

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding


TEXT = {"type": "string"}
MARKED = {"prompt": TEXT, "system_prompt": TEXT}
# These words are vLLM's own: such a model hands the prompt to the engine as it is.
BOUND = {"type": "integer", "description": "Maximum tokens to generate per output sequence."}
RAW = {"prompt": TEXT, "max_tokens": BOUND}
NATIVE = "acme/caller"
FAMILIES: dict[str, Mapping[str, Any]] = {
    "some/model": MARKED,
    "qwen/qwen2.5-72b-instruct": RAW,
    "meta/meta-llama-3.1-70b-instruct": RAW,
    "mistralai/mistral-7b-instruct-v0.3": RAW,
    "ibm-granite/granite-3.3-8b-instruct": RAW,
    "deepseek-ai/deepseek-v3": RAW,
    NATIVE: ToolUser.native_input["properties"],
}
FAULTS = {
    "none": ToolUser(),
    "talks first": ToolUser(prose_before=True),
    "fences": ToolUser(fenced=True),
    "refuses first": ToolUser(refuses_first=True),
    "thinks": ToolUser(thinks=True),
    "invents results": ToolUser(hallucinates_result=True),
    "writes Python": ToolUser(python_literals=True),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """A model's name: one of each format in which tools are told and called."""
    return str(request.param)


@pytest.fixture(params=FAULTS.values(), ids=list(FAULTS))
def tool_user(request: pytest.FixtureRequest) -> ToolUser:
    """A scripted model that calls tools, with each of the faults that models have."""
    model: ToolUser = request.param
    return model


@pytest.fixture
def host(replicate_emulator: Emulator) -> Callable[[str, ToolUser], None]:
    """Has the emulator run a scripted model under the name of one of the families."""

    def host(family: str, model: ToolUser) -> None:
        replicate_emulator.reply = model
        replicate_emulator.add_model(
            family,
            {"type": "object", "properties": FAMILIES[family]},
            output_schema=ToolUser.native_output if family == NATIVE else None,
            official=True,
        )

    return host


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

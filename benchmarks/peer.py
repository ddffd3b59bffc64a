"""One contender of the group `peers`, in a process, and maybe an environment, of its own.

`python peer.py NAME` reads lines of JSON, `[measure, *arguments]`, and answers each with a line: a
figure, or an object with the error. The URL of the API is in the environment, where some peers look
for it. Nothing of this project is imported except by its own contenders, so that the file runs in
the environment of the peers.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable

# Peers are not installed where this is type-checked.
from importlib import import_module
from importlib.metadata import version
from typing import Any

Stream = Callable[[str], AsyncIterator[str]]
"""The texts of an answer of a model, as they come."""

API = os.environ.get("REPLICATE_BASE_URL", "")
OPENED_PER_SECOND = 250
"""Streams of a crowd that begin in a second."""


def by_hand() -> Stream:
    """Aiohttp, and a split at blank lines."""
    session = import_module("aiohttp").ClientSession(
        connector=import_module("aiohttp").TCPConnector(limit=0)
    )

    async def read(model: str) -> AsyncIterator[str]:
        url = f"{API}/v1/models/bench/{model}/predictions"
        async with session.post(url, json={"input": {"prompt": "x"}}) as reply:
            stream = (await reply.json())["urls"]["stream"]
        rest = b""
        async with session.get(stream) as reply:
            while True:
                *events, rest = (rest + await reply.content.readany()).split(b"\n\n")
                for each in events:
                    if each.startswith(b"event: done"):
                        reply.close()
                        return
                    _, is_data, data = each.partition(b"data: ")
                    if is_data:
                        yield data.decode()

    return read


def core() -> Stream:
    """`Client.stream` of this package."""
    package = import_module("replicate_stream")
    client = package.Client()

    async def read(model: str) -> AsyncIterator[str]:
        async with client.stream(f"bench/{model}", "x") as events:
            async for event in events:
                if isinstance(event, package.TextDelta):
                    yield event.text

    return read


def chat_replicate() -> Stream:
    """`ChatReplicate.astream` of this package."""
    package = import_module("langchain_replicate_stream")
    return _langchain(lambda model: package.ChatReplicate(model=f"bench/{model}"))


def llama_index_ours() -> Stream:
    """`Replicate.astream_complete` of this package."""
    package = import_module("llama_index_replicate_stream")
    return _llama_index(lambda model: package.Replicate(model=f"bench/{model}"))


def replicate() -> Stream:
    """Replicate's own package: `async_stream`."""
    client = import_module("replicate").Client(base_url=API)

    async def read(model: str) -> AsyncIterator[str]:
        async for event in await client.async_stream(f"bench/{model}", input={"prompt": "x"}):
            yield str(event)

    return read


def httpx_sse() -> Stream:
    """Httpx by hand, with httpx-sse for the events."""
    httpx = import_module("httpx")
    # Without a limit, as aiohttp by hand.
    client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None))
    connect = import_module("httpx_sse").aconnect_sse

    async def read(model: str) -> AsyncIterator[str]:
        url = f"{API}/v1/models/bench/{model}/predictions"
        reply = await client.post(url, json={"input": {"prompt": "x"}})
        async with connect(client, "GET", reply.json()["urls"]["stream"]) as source:
            async for event in source.aiter_sse():
                if event.event == "done":
                    return
                yield event.data

    return read


def langchain_community() -> Stream:
    """LangChain's class for Replicate."""
    llms = import_module("langchain_community.llms")
    return _langchain(lambda model: llms.Replicate(model=f"bench/{model}"))


def llama_index_replicate() -> Stream:
    """LlamaIndex's class for Replicate."""
    package = import_module("llama_index.llms.replicate")
    return _llama_index(lambda model: package.Replicate(model=f"bench/{model}"))


def litellm() -> Stream:
    """`acompletion` with `stream`."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the internet for prices
    package = import_module("litellm")
    # It takes no other address than Replicate's.
    config = import_module("litellm.llms.replicate.chat.handler").replicate_config
    config.get_complete_url = lambda model, **_: f"{API}/v1/models/{model}/predictions"

    async def read(model: str) -> AsyncIterator[str]:
        chunks = await package.acompletion(
            model=f"replicate/bench/{model}",
            messages=[{"role": "user", "content": "x"}],
            api_key=os.environ["REPLICATE_API_TOKEN"],
            stream=True,
        )
        async for chunk in chunks:
            yield chunk.choices[0].delta.content or ""

    return read


def chat_openai() -> Stream:
    """`ChatOpenAI.astream`, of a service with OpenAI's API."""
    package = import_module("langchain_openai")
    return _langchain(
        lambda model: package.ChatOpenAI(model=model, base_url=f"{API}/v1", api_key="x")
    )


def _langchain(create: Callable[[str], Any]) -> Stream:
    models: dict[str, Any] = {}

    async def read(model: str) -> AsyncIterator[str]:
        if model not in models:
            models[model] = create(model)
        async for chunk in models[model].astream("x"):
            yield chunk if isinstance(chunk, str) else chunk.text

    return read


def _llama_index(create: Callable[[str], Any]) -> Stream:
    models: dict[str, Any] = {}

    async def read(model: str) -> AsyncIterator[str]:
        if model not in models:
            models[model] = create(model)
        async for response in await models[model].astream_complete("x"):
            yield response.delta or ""

    return read


CONTENDERS: dict[str, tuple[Callable[[], Stream], str]] = {
    "aiohttp by hand": (by_hand, "aiohttp"),
    "Client.stream": (core, "replicate-stream"),
    "ChatReplicate": (chat_replicate, "replicate-stream"),
    "LlamaIndex Replicate": (llama_index_ours, "replicate-stream"),
    "httpx-sse": (httpx_sse, "httpx-sse"),
    "replicate": (replicate, "replicate"),
    "langchain-community": (langchain_community, "langchain-community"),
    "llama-index-llms-replicate": (llama_index_replicate, "llama-index-llms-replicate"),
    "litellm": (litellm, "litellm"),
    "ChatOpenAI": (chat_openai, "langchain-openai"),
}
"""Each with its distribution, whose version is told."""


async def _read(stream: Stream, model: str, note: Callable[[], None] = lambda: None) -> int:
    """Read an answer to its end, and return its tokens. Each holds one space."""
    tokens = 0
    async for text in stream(model):
        if text:
            note()
            tokens += text.count(" ")
    expected = int(model.split("-")[1])
    if tokens != expected:
        raise RuntimeError(f"{tokens} tokens instead of {expected}")
    return tokens


async def cpu(stream: Stream, model: str) -> float:
    """Microseconds of CPU time, user and system, of a token."""
    gc.collect()
    gc.freeze()
    began = time.process_time()
    tokens = await _read(stream, model)
    return max(time.process_time() - began, 1e-9) / tokens * 1e6


async def first_token(stream: Stream, model: str) -> float:
    """Milliseconds until the first text; the rest is read as well."""
    times = [time.perf_counter()]
    await _read(stream, model, lambda: times.append(time.perf_counter()))
    return (times[1] - times[0]) * 1e3


async def crowd(stream: Stream, model: str, streams: int, limit: float) -> int:
    """The number of streams, of many at once, that were read to their end within a time.

    After the time the process ends, since a contender may block its event loop.
    """
    complete = 0

    async def one(number: int) -> None:
        nonlocal complete
        await asyncio.sleep(number / OPENED_PER_SECOND)
        await _read(stream, model)
        complete += 1

    def end() -> None:
        _tell(complete)
        os._exit(0)

    timer = threading.Timer(limit, end)
    timer.start()
    await asyncio.gather(*map(one, range(streams)), return_exceptions=True)
    timer.cancel()
    return complete


MEASURES: dict[str, Callable[..., Any]] = {"cpu": cpu, "first_token": first_token, "crowd": crowd}
_answers = sys.stdout


def _tell(answer: object) -> None:
    print(json.dumps(answer), file=_answers, flush=True)


async def _serve(name: str) -> None:
    create, distribution = CONTENDERS[name]
    try:
        stream = create()
        await _read(stream, "burst-5")
        _tell(version(distribution))
        while line := await asyncio.to_thread(sys.stdin.readline):
            measure, *arguments = json.loads(line)
            _tell(await MEASURES[measure](stream, *arguments))
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is its result
        _tell({"error": f"{type(error).__name__}: {str(error)[:200]}"})
    os._exit(0)  # what a peer leaves open is no concern


if __name__ == "__main__":
    _answers = os.fdopen(os.dup(1), "w")  # a peer may print
    os.dup2(2, 1)
    asyncio.run(_serve(sys.argv[1]))

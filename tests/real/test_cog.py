"""Cog itself, Replicate's runtime of models, which streams in a form of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import pytest

from langchain_replicate_stream import ReplicateEmbeddings
from llama_index_replicate_stream import ReplicateEmbedding
from replicate_stream import (
    Client,
    InvalidInputError,
    PredictionCanceledError,
    PredictionFailedError,
    PredictionReport,
    ReasoningDelta,
    ReplicateTimeoutError,
    ResponseError,
    StatusChanged,
    StreamInterruptedError,
    TextDelta,
    ToolCallDelta,
    ToolSpec,
    UnsupportedParameterError,
)
from replicate_stream.testing import HashingEmbedder
from tests.real.cog_container import Container

MODEL = "me/echo"
PARTS = ["He", "llo\n\n", "", '"q\\" \r\n é 日本 😀', "\u2028", "<b>&", " "]
PROMPT = "|".join(PARTS)
TEXTS = [f'text {i}: "é" 日本\n😀' for i in range(10)]
LONG: dict[str, Any] = {"delay": 0.1, "repeat": 600}
LOCAL_MODEL = "local/smollm2-135m-instruct"
QUESTION = "The capital of France is Paris. What is the capital of France?"

StartCog = Callable[..., Container]


@pytest.fixture
def start_cog(
    tmp_path: Path, free_port: Callable[[], int], skip_or_fail: Callable[[str], NoReturn]
) -> Iterator[StartCog]:
    """Start a container, and wait until it is ready."""
    if importlib.util.find_spec("coglet") is None:
        skip_or_fail("needs Cog: pip install cog==0.23.1 coglet==0.23.1")
    started: list[Container] = []

    def start(model: str = "echo", *, until: str = "READY", **settings: Any) -> Container:
        folder = tmp_path / f"container{len(started)}"
        folder.mkdir()
        started.append(Container(model, folder, free_port(), **settings))
        started[-1].wait_for(until)
        return started[-1]

    yield start
    for container in started:
        container.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Client]]:
    """Make a client of an address, and close it at the end."""
    async with AsyncExitStack() as stack:

        def make(base_url: str, **settings: Any) -> Client:
            client = Client(base_url=base_url, dialect="cog", **settings)
            stack.push_async_callback(client.aclose)
            return client

        yield make


async def collect(stream: AsyncIterator[Any]) -> list[Any]:
    return [event async for event in stream]


def get_text(events: list[Any]) -> str:
    return "".join([event.text for event in events if isinstance(event, TextDelta)])


def make_langchain(container: Container, **settings: Any) -> Any:
    from langchain_replicate_stream import ChatReplicate

    settings = {"model": MODEL, "base_url": container.base_url, "dialect": "cog", **settings}
    return ChatReplicate(**settings)


def make_llama_index(container: Container, **settings: Any) -> Any:
    from llama_index_replicate_stream import Replicate

    settings = {"model": MODEL, "base_url": container.base_url, "dialect": "cog", **settings}
    return Replicate(**settings)


async def test_a_stream_arrives_token_by_token_and_exact(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    client = connect(start_cog().base_url)
    async with client.stream(MODEL, PROMPT, extra_input={"delay": 0.05}) as stream:
        events = await collect(stream)
    assert [e.text for e in events if isinstance(e, TextDelta)] == [part for part in PARTS if part]
    assert events[-1].usage.predict_time > 0
    assert events[-1].usage.total_tokens == 0
    assert "a line of the log" in events[-1].prediction.logs


async def test_both_frameworks_stream_and_answer(start_cog: StartCog) -> None:
    container = start_cog()
    whole = "".join(PARTS)
    llm = make_langchain(container, model_kwargs={"delay": 0.02})
    chunks = [chunk.text async for chunk in llm.astream(PROMPT)]
    assert "".join(chunks) == whole
    assert len([chunk for chunk in chunks if chunk]) == len([part for part in PARTS if part])
    assert (await llm.ainvoke(PROMPT)).text == whole
    assert await asyncio.to_thread(lambda: llm.invoke(PROMPT).text) == whole
    index = make_llama_index(container, additional_kwargs={"delay": 0.02})
    pieces = [piece.delta async for piece in await index.astream_complete(PROMPT)]
    assert "".join(pieces) == whole
    assert (await index.acomplete(PROMPT)).text == whole
    assert await asyncio.to_thread(lambda: index.complete(PROMPT).text) == whole
    assert (await llm.aprepare(PROMPT)).url == f"{container.base_url}/predictions"


async def test_the_environment_leads_both_frameworks_to_a_container(
    start_cog: StartCog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_replicate_stream import ChatReplicate
    from llama_index_replicate_stream import Replicate

    monkeypatch.setenv("REPLICATE_BASE_URL", start_cog().base_url)
    monkeypatch.setenv("REPLICATE_DIALECT", "cog")
    assert (await ChatReplicate(model=MODEL).ainvoke(PROMPT)).text == "".join(PARTS)
    assert (await Replicate(model=MODEL).acomplete(PROMPT)).text == "".join(PARTS)


def test_the_command_line_answers_and_cancels(start_cog: StartCog, tmp_path: Path) -> None:
    container = start_cog()
    variables = {"REPLICATE_BASE_URL": container.base_url, "REPLICATE_DIALECT": "cog"}
    command = [sys.executable, "-m", "replicate_stream"]
    options = ["--dialect", "cog", "--base-url", container.base_url]

    def run(*arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [*command, *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=True,
        )
        return done.stdout.decode()

    whole = "".join(PARTS)
    assert run("chat", *options, PROMPT) == run("chat", PROMPT, **variables) == f"{whole}\n"
    assert "  repeat " in run("models", *options)
    (tmp_path / "in.jsonl").write_text('{"prompt": "a|b"}\n{"prompt": "c|d"}\n')
    files = (str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl"))
    for _ in range(2):  # Cog runs one at a time: the second line waits
        run("batch", *files, *options, "--extra-input", "delay=0.1")
    results = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert {result["key"]: result["text"] for result in results} == {1: "ab", 2: "cd"}
    slow = ["chat", *options, "-o", "delay=0.1", "-o", "repeat=600", "a|b"]
    with subprocess.Popen([*command, *slow], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"a"
        assert container.fetch_health() == "BUSY"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    container.wait_for("READY")


async def test_the_boot_is_a_status_while_it_lasts(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    container = start_cog(until="STARTING", environment={"SETUP_SECONDS": "2"})
    async with connect(container.base_url).stream(MODEL, PROMPT) as stream:
        events: list[Any] = [await stream.__anext__()]
        assert events == [StatusChanged("starting")]
        assert container.fetch_health() == "STARTING"
        events += await collect(stream)
    statuses = [event.status for event in events if isinstance(event, StatusChanged)]
    assert statuses == ["starting", "processing"]
    assert get_text(events) == "".join(PARTS)


async def test_a_setup_that_fails_is_an_error_with_its_log(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    container = start_cog(until="SETUP_FAILED", environment={"SETUP_ERROR": "no weights"})
    with pytest.raises(ResponseError, match="SETUP_FAILED") as caught:
        await connect(container.base_url).complete(MODEL, "Hi")
    assert caught.value.title == "SETUP_FAILED"


async def test_the_timeout_bounds_the_boot(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    container = start_cog(until="STARTING", environment={"SETUP_SECONDS": "30"})
    with pytest.raises(ReplicateTimeoutError, match=r"still boots after 0\.3 s"):
        await connect(container.base_url, timeout=0.3).complete(MODEL, "Hi")


async def test_a_model_that_fails_is_an_error_with_what_it_had_written(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    client = connect(start_cog().base_url)
    with pytest.raises(PredictionFailedError, match="boom after 2") as caught:
        await client.complete(MODEL, "a|b|c", extra_input={"fail_after": 2})
    assert caught.value.completion.text == "ab"


async def test_inputs_are_checked_against_the_schema_before_anything_runs(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    client = connect(start_cog().base_url)
    with pytest.raises(UnsupportedParameterError, match="temperature"):
        await client.complete(MODEL, "Hi", temperature=0.5)
    with pytest.raises(InvalidInputError, match="repeat"):
        await client.complete(MODEL, "Hi", extra_input={"repeat": "often"})
    assert client.capabilities(MODEL).takes_images is True
    prepared = await client.prepare(MODEL, "Hi", extra_input={"repeat": 2})
    assert prepared.body == {"input": {"prompt": "Hi", "repeat": 2}}


async def test_an_image_of_any_size_arrives(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    image = b"\x89PNG\r\n\x1a\n" + bytes(3_000_000)
    content = [{"type": "text", "text": "see"}, {"type": "image", "data": image}]
    completion = await connect(start_cog().base_url).complete(
        MODEL, [{"role": "user", "content": content}]
    )
    assert completion.text == f"see|{len(image)} bytes"


async def test_leaving_cancels_and_makes_room(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    container = start_cog()
    client = connect(container.base_url)
    async with client.stream(MODEL, "a|b", extra_input=LONG) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    await asyncio.to_thread(container.wait_for, "READY")
    llm = make_langchain(container, model_kwargs=LONG)
    async with aclosing(llm.astream("a|b")) as chunks:
        await chunks.__anext__()
    await asyncio.to_thread(container.wait_for, "READY")
    index = make_llama_index(container, additional_kwargs=LONG)
    async with aclosing(await index.astream_complete("a|b")) as pieces:
        await pieces.__anext__()
    await asyncio.to_thread(container.wait_for, "READY")
    assert (await client.complete(MODEL, "a|b")).text == "ab"


async def test_a_prediction_that_another_cancels_is_an_error(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    client = connect(start_cog().base_url)
    with pytest.raises(PredictionCanceledError):
        async with client.stream(MODEL, "a|b", extra_input=LONG) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    url = f"{client.base_url}/predictions/{events.prediction.id}/cancel"
                    async with aiohttp.ClientSession() as session, session.post(url) as reply:
                        assert reply.status in {200, 404}


async def test_more_requests_than_the_container_takes_wait_in_line(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    container = start_cog()
    client = connect(container.base_url, timeout=None)
    asked = [client.complete(MODEL, f"a|{i}", extra_input={"delay": 0.03}) for i in range(12)]
    assert [answer.text for answer in await asyncio.gather(*asked)] == [f"a{i}" for i in range(12)]
    began_at = time.monotonic()
    async with client.stream(MODEL, "a|b", extra_input=LONG):
        await asyncio.to_thread(container.wait_for, "BUSY")
        with pytest.raises(ReplicateTimeoutError, match=r"busy.* deadline of 0\.5 s"):
            await connect(container.base_url, deadline=0.5).complete(MODEL, "Hi")
    assert time.monotonic() - began_at < 30


@pytest.mark.parametrize("prompt", ["a|b|c", "boom"])
async def test_a_model_that_is_not_declared_to_stream_sends_its_whole_answer(
    start_cog: StartCog, connect: Callable[..., Client], prompt: str
) -> None:
    container = start_cog(streams=False)
    client = connect(container.base_url)
    if prompt == "boom":
        with pytest.raises(PredictionFailedError, match="boom after 0"):
            await client.complete(MODEL, prompt, extra_input={"fail_after": 0})
        return
    async with client.stream(MODEL, prompt) as events:
        assert get_text(await collect(events)) == "abc"
    task = asyncio.ensure_future(client.complete(MODEL, prompt, extra_input=LONG))
    await asyncio.to_thread(container.wait_for, "BUSY")
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await asyncio.to_thread(container.wait_for, "READY")


# Reading the answer


async def test_tool_calls_thoughts_json_and_stops_are_read_as_ever(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    container = start_cog()
    client = connect(container.base_url)
    call = '<tool_|call>{"name": "add", "argu|ments": {"a": 1}}</tool_call>'
    tool = ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
    async with client.stream(MODEL, "Hi", tools=[tool], extra_input={"prompt": call}) as stream:
        events = await collect(stream)
    arguments = "".join([e.arguments for e in events if isinstance(e, ToolCallDelta)])
    assert arguments == '{"a": 1}'
    assert events[-1].reason == "tool_calls"
    thought = "<thi|nk>Let me see.</th|ink>Yes."
    async with client.stream(MODEL, thought) as stream:
        events = await collect(stream)
    assert "".join([e.text for e in events if isinstance(e, ReasoningDelta)]) == "Let me see."
    assert get_text(events) == "Yes."
    answer = await client.complete(
        MODEL, "Hi", response_format={"type": "json_object"}, extra_input={"prompt": '{"a"|: 1}'}
    )
    assert answer.text == '{"a": 1}'
    assert (await client.complete(MODEL, "one|two|thr|ee|four", stop=["three"])).text == "onetwo"
    schema = {"name": "add", "description": "Adds.", "parameters": tool.parameters}
    llm = make_langchain(container, model_kwargs={"prompt": call}).bind_tools([schema])
    assert (await llm.ainvoke("Hi")).tool_calls[0]["args"] == {"a": 1}


# Embeddings


def embed_here(texts: Sequence[str]) -> list[list[float]]:
    return [HashingEmbedder(8).embed(text) for text in texts]


@pytest.mark.parametrize(("model", "count"), [("embedder", 3), ("embedder:OneText", 10)])
async def test_texts_are_embedded_in_order_and_in_batches_that_the_model_takes(
    start_cog: StartCog, connect: Callable[..., Client], model: str, count: int
) -> None:
    container = start_cog(model)
    reports: list[PredictionReport] = []
    client = connect(container.base_url, on_prediction=reports.append)
    # More at once than the container takes: the others are refused as busy, and wait.
    assert await client.embed(MODEL, TEXTS, concurrency=10) == embed_here(TEXTS)
    assert [report.status for report in reports] == ["succeeded"] * count
    settings: dict[str, Any] = {"base_url": container.base_url, "dialect": "cog"}
    langchain = ReplicateEmbeddings(model=MODEL, **settings)
    assert await langchain.aembed_documents(TEXTS) == embed_here(TEXTS)
    assert await asyncio.to_thread(langchain.embed_query, "an owl") == embed_here(["an owl"])[0]
    llama_index = ReplicateEmbedding(MODEL, **settings)
    assert await llama_index.aget_text_embedding_batch(TEXTS) == embed_here(TEXTS)
    assert await asyncio.to_thread(llama_index.get_text_embedding_batch, TEXTS[:3]) == embed_here(
        TEXTS[:3]
    )


@pytest.mark.parametrize("model", ["embedder", "embedder:OneText"])
async def test_a_text_that_cannot_be_embedded_is_found(
    start_cog: StartCog, connect: Callable[..., Client], model: str
) -> None:
    client = connect(start_cog(model).base_url)
    texts = [*TEXTS[:6], "boom", *TEXTS[6:]]
    with pytest.raises(PredictionFailedError, match=r"texts\[6\]: .*cannot be embedded") as caught:
        await client.embed(MODEL, texts)
    assert caught.value.text_index == 6
    with pytest.raises(InvalidInputError, match="seconds"):
        await client.embed(MODEL, TEXTS, extra_input={"seconds": "long"})
    assert await client.embed(MODEL, TEXTS) == embed_here(TEXTS)


async def test_embedding_waits_for_a_busy_container_and_leaving_makes_room(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    container = start_cog("embedder")
    client = connect(container.base_url)
    async with aiohttp.ClientSession() as session:
        body = {"input": {"texts": '["other"]', "seconds": 2.0}}
        other = asyncio.create_task(session.post(f"{container.base_url}/predictions", json=body))
        await asyncio.to_thread(container.wait_for, "BUSY")
        with pytest.raises(ReplicateTimeoutError, match=r"busy.* deadline of 0\.2 s"):
            await connect(container.base_url, deadline=0.2).embed(MODEL, TEXTS)
        assert not other.done()
        assert await client.embed(MODEL, TEXTS) == embed_here(TEXTS)
        async with await other as reply:
            assert (await reply.json())["status"] == "succeeded"
    await asyncio.to_thread(container.wait_for, "READY")  # else it may be busy with the one before
    left = asyncio.create_task(client.embed(MODEL, TEXTS, extra_input={"seconds": 60}))
    await asyncio.to_thread(container.wait_for, "BUSY")
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    await asyncio.to_thread(container.wait_for, "READY")
    assert await client.embed(MODEL, TEXTS[:1]) == embed_here(TEXTS[:1])


# Cuts


class Relay:
    """Passes connections on, until they are cut."""

    def __init__(self, base_url: str) -> None:
        self._port = int(base_url.rpartition(":")[2])
        self._writers: list[asyncio.StreamWriter] = []
        self.base_url = ""

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[Relay]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """Break all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, to_writer]
        await asyncio.gather(self._pass(reader, to_writer), self._pass(to_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


async def test_a_cut_stream_of_a_prediction_that_runs_on_is_resumed(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    container = start_cog()
    prompt = "|".join(f"word{i} " for i in range(40))
    events: list[Any] = []
    async with (
        Relay(container.base_url).listen() as relay,
        aiohttp.ClientSession() as session,
        connect(relay.base_url).stream(MODEL, prompt, extra_input={"delay": 0.03}) as stream,
    ):
        # Another reader, for whom the prediction goes on.
        url = f"{container.base_url}/predictions/{stream.prediction.id}"
        accept = {"Accept": "text/event-stream"}
        async with session.put(url, json={"input": {"prompt": "x"}}, headers=accept) as other:
            assert other.status == 200
            async for event in stream:
                events.append(event)
                if isinstance(event, TextDelta) and len(events) in {10, 20, 30}:
                    relay.cut()
            assert f'"id":"{stream.prediction.id}"' in await other.text()
    assert get_text(events) == prompt.replace("|", "")


async def test_a_cut_that_cog_notices_is_an_error_or_costs_no_text(
    start_cog: StartCog, connect: Callable[..., Client]
) -> None:
    container = start_cog()
    async with Relay(container.base_url).listen() as relay:
        client = connect(relay.base_url)
        texts: list[str] = []
        with pytest.raises(StreamInterruptedError, match="Cog canceled it"):
            async with client.stream(MODEL, "a|b|c", extra_input={"delay": 0.3}) as stream:
                async for event in stream:
                    if isinstance(event, TextDelta):
                        texts.append(event.text)
                        relay.cut()
        assert texts in (["a"], ["a", "b"])  # on a busy machine one is on its way by then
        # Before any text, the question is asked again.
        async with client.stream(MODEL, "a|b|c", extra_input={"delay": 0.3}) as stream:
            first = stream.prediction.id
            relay.cut()
            assert get_text(await collect(stream)) == "abc"
        assert stream.prediction.id != first
    await asyncio.to_thread(container.wait_for, "READY")


# A language model


@pytest.fixture
def smollm(start_cog: StartCog, local_model: object) -> Container:
    """The local model in a container."""
    return start_cog("smollm")


async def test_a_language_model_streams_its_answer(
    smollm: Container, connect: Callable[..., Client]
) -> None:
    client = connect(smollm.base_url)
    async with client.stream(LOCAL_MODEL, QUESTION, temperature=0, max_tokens=30) as events:
        pieces = [event.text async for event in events if isinstance(event, TextDelta)]
    assert "Paris" in "".join(pieces)
    assert len(pieces) > 3
    seeded: dict[str, Any] = {"seed": 7, "temperature": 1.0, "max_tokens": 15}
    answers = [await client.complete(LOCAL_MODEL, "Tell me of the sea.", **seeded) for _ in "ab"]
    assert answers[0].text == answers[1].text
    stopped = await client.complete(LOCAL_MODEL, QUESTION, temperature=0, stop=["Paris"])
    assert "Paris" not in stopped.text


async def test_a_language_model_answers_both_frameworks(smollm: Container) -> None:
    settings: dict[str, Any] = {"model": LOCAL_MODEL, "temperature": 0, "max_tokens": 30}
    llm, index = make_langchain(smollm, **settings), make_llama_index(smollm, **settings)
    answer = "".join([chunk.text async for chunk in llm.astream(QUESTION)])
    assert "Paris" in answer
    pieces = [piece.delta async for piece in await index.astream_complete(QUESTION)]
    assert "".join(pieces) == answer
    assert len(pieces) > 3

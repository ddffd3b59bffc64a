"""The dialect of Cog against a server with faults; `tests/real/test_cog.py` has the real one."""

from __future__ import annotations

import asyncio
import copy
import pickle
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import (
    Client,
    Completion,
    Finished,
    InvalidInputError,
    ModelNotFoundError,
    PredictionCanceledError,
    PredictionFailedError,
    RateLimitError,
    ReplicateConnectionError,
    ReplicateError,
    ReplicateTimeoutError,
    ResponseError,
    StatusChanged,
    StreamInterruptedError,
    TextDelta,
)
from replicate_stream.testing import Emulator
from tests.cog_server import SCHEMA, CogServer, Request

MODEL = "any/name"
ANSWER = "Hello, world"
BUSY = (409, {"error": "At capacity - all prediction slots busy", "status": "failed"})
NOT_READY = (503, {"error": "Setup has not finished yet", "status": "failed"})
NO_STREAM = (406, {"error": "This model does not support streaming responses."})

Start = Callable[..., Awaitable[Client]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a server, and return a client of it with further settings."""
    async with AsyncExitStack() as stack:

        async def connect(server: CogServer, **settings: Any) -> Client:
            await stack.enter_async_context(server.listen())
            client = Client(base_url=server.base_url, dialect="cog", **settings)
            return await stack.enter_async_context(client)

        yield connect


async def read(client: Client, **parameters: Any) -> list[Any]:
    async with client.stream(MODEL, "Hi", **parameters) as events:
        return [event async for event in events]


def get_text(events: list[Any]) -> str:
    return "".join([event.text for event in events if isinstance(event, TextDelta)])


def get_statuses(events: list[Any]) -> list[str]:
    return [event.status for event in events if isinstance(event, StatusChanged)]


# The stream


async def test_a_stream_is_created_by_a_put_with_an_id_of_ours(start: Start) -> None:
    client = await start(server := CogServer())
    events = await read(client)
    assert get_text(events) == ANSWER
    (request,) = server.list_predictions()
    assert request.method == "PUT"
    assert request.headers["accept"] == "text/event-stream"
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert request.path == f"/predictions/{finished.prediction.id}"
    assert request.body["input"] == {"prompt": "Hi"}
    assert finished.prediction.metrics == {"predict_time": 0.5}
    assert finished.usage is not None
    assert finished.usage.predict_time == 0.5
    assert finished.usage.total_tokens == 0  # Cog counts none
    assert server.list_cancels() == []


async def test_no_token_is_sent_or_needed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_FAKE_TOKEN")
    client = await start(server := CogServer(), api_key="r8_FAKE_TOKEN", headers={"X-Team": "blue"})
    for each in (client, copy.copy(client), pickle.loads(pickle.dumps(client))):
        assert (await each.complete(MODEL, "Hi")).text == ANSWER
        await each.aclose()
    assert not any("authorization" in request.headers for request in server.requests)
    assert all(request.headers["x-team"] == "blue" for request in server.requests)
    assert not any("r8_FAKE" in str(request) for request in server.requests)


async def test_the_base_url_is_used_as_it_is(start: Start) -> None:
    client = await start(CogServer())
    assert not client.base_url.endswith("/v1")
    prepared = await client.prepare(MODEL, "Hi")
    assert prepared.url == f"{client.base_url}/predictions"
    assert prepared.body == {"input": {"prompt": "Hi"}}
    assert Client(base_url="http://cog:5000/sub/", dialect="cog").base_url == "http://cog:5000/sub"


def test_the_address_and_the_dialect_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPLICATE_BASE_URL", raising=False)
    with pytest.raises(InvalidInputError, match="http://localhost:5000"):
        Client(dialect="cog")
    with pytest.raises(InvalidInputError, match="'replicate' or 'cog'") as caught:
        Client(dialect="docker")  # type: ignore[arg-type]  # the point
    assert caught.value.fields == ("dialect",)
    monkeypatch.setenv("REPLICATE_BASE_URL", "http://localhost:5001")
    assert Client(dialect="cog").base_url == "http://localhost:5001"


async def test_a_refusal_for_lack_of_a_token_asks_whether_it_is_a_container(
    replicate_emulator: Emulator, start: Start
) -> None:
    async with Client(base_url=replicate_emulator.base_url, dialect="cog") as client:
        with pytest.raises(ResponseError, match="dialect='cog' sends no token"):
            await client.describe(MODEL)
    server = CogServer(refusals=[(401, {"detail": "Who are you?"})])
    with pytest.raises(ResponseError, match=r"401.*Who are you.*goes into headers="):
        await (await start(server)).complete(MODEL, "Hi")


def test_the_environment_has_a_dialect_for_clients_that_are_given_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REPLICATE_BASE_URL", "http://localhost:5001")
    assert Client().dialect == "replicate"
    monkeypatch.setenv("REPLICATE_DIALECT", "cog")
    assert (Client("r8_FAKE").dialect, Client().base_url) == ("cog", "http://localhost:5001")
    assert Client(dialect="replicate").dialect == "replicate"
    assert pickle.loads(pickle.dumps(Client())).dialect == "cog"
    monkeypatch.setenv("REPLICATE_DIALECT", "docker")
    with pytest.raises(InvalidInputError, match="REPLICATE_DIALECT is 'docker'; it must be"):
        Client()
    assert Client(dialect="cog").dialect == "cog"


@pytest.mark.parametrize("on_cut", ["goes on", "forgotten"])
async def test_a_stream_that_is_cut_anywhere_is_whole_and_exact(start: Start, on_cut: Any) -> None:
    chunks = ["", "a\n\n", "é日😀", "\r\n \u2028", "done", ""]
    client = await start(server := CogServer(outputs=[chunks], on_cut=on_cut))
    await client.complete(MODEL, "Hi")
    for position in range(600):
        server.cut_after = [position]
        count = len(server.list_predictions())
        events = await read(client)
        assert get_text(events) == "".join(chunks), position
        if not server.cut_after:
            requests = server.list_predictions()[count:]
            assert len({request.path for request in requests}) == 1
            if len(requests) == 1:  # the cut was behind the end
                break
            assert len(requests) == 2
    else:
        pytest.fail("the stream is longer than the positions")
    assert position > 300
    assert server.list_cancels() == []


async def test_a_stream_that_is_cut_several_times_is_whole(start: Start) -> None:
    client = await start(server := CogServer(cut_after=[100, 150, 20, 20]))
    assert get_text(await read(client)) == ANSWER
    assert len(server.list_predictions()) == 5


async def test_a_connection_that_always_breaks_is_an_error_and_cancels(start: Start) -> None:
    client = await start(server := CogServer(cut_after=[140] * 50))
    with pytest.raises(StreamInterruptedError, match="again and again") as caught:
        await read(client)
    assert caught.value.delivered == len("Hello")
    assert len(server.list_predictions()) < 10
    assert len(server.list_cancels()) == 1


async def test_another_answer_after_a_cut_is_not_spliced_in(start: Start) -> None:
    server = CogServer(
        outputs=[["Hello", ", ", "world"], ["Good", " day"]], cut_after=[150], on_cut="forgotten"
    )
    client = await start(server)
    texts: list[str] = []
    with pytest.raises(StreamInterruptedError, match="another answer"):
        async with client.stream(MODEL, "Hi") as events:
            async for event in events:
                texts += [event.text] if isinstance(event, TextDelta) else []
    assert "Hello, world".startswith("".join(texts))
    assert texts
    assert len(server.list_cancels()) == 1


async def test_a_prediction_that_a_cut_has_canceled_is_an_error(start: Start) -> None:
    client = await start(server := CogServer(cut_after=[150], on_cut="canceled"))
    with pytest.raises(StreamInterruptedError, match="Cog canceled it"):
        await read(client)
    assert len(server.list_predictions()) == 2


async def test_a_cut_that_cancels_never_ends_in_a_wrong_answer(start: Start) -> None:
    client = await start(server := CogServer(on_cut="canceled"))
    outcomes = set()
    for position in range(0, 420, 7):
        server.cut_after = [position]
        texts: list[str] = []
        try:
            async with client.stream(MODEL, "Hi") as events:
                async for event in events:
                    texts += [event.text] if isinstance(event, TextDelta) else []
            assert "".join(texts) == ANSWER, position
            outcomes.add("whole")
        except StreamInterruptedError as error:
            assert ANSWER.startswith("".join(texts)), position
            assert error.delivered == len("".join(texts))
            outcomes.add("interrupted")
    assert outcomes == {"whole", "interrupted"}


async def test_a_prediction_that_a_cut_has_canceled_before_any_text_is_asked_for_again(
    start: Start,
) -> None:
    client = await start(server := CogServer(cut_after=[20], on_cut="canceled"))
    assert get_text(await read(client)) == ANSWER
    first, second, third = (request.path for request in server.list_predictions())
    assert first == second != third


async def test_nothing_is_asked_for_after_the_end(start: Start) -> None:
    client = await start(server := CogServer(end={"status": "failed", "error": "boom"}))
    with pytest.raises(PredictionFailedError, match="boom") as caught:
        await client.complete(MODEL, "Hi")
    assert caught.value.completion is not None
    assert caught.value.completion.text == ANSWER
    server.end = {"status": "canceled"}
    with pytest.raises(PredictionCanceledError):
        await client.complete(MODEL, "Hi")
    assert len(server.list_predictions()) == 2
    assert server.list_cancels() == []


@pytest.mark.parametrize("status", ["processing", "paused"])
async def test_a_last_event_that_is_not_the_end_is_an_error_that_shows_its_status(
    start: Start, status: str
) -> None:
    client = await start(CogServer(end={"status": status}))
    with pytest.raises(PredictionFailedError, match=f"it ended as '{status}'"):
        await client.complete(MODEL, "Hi")


async def test_text_that_the_stream_lost_comes_with_the_last_event(start: Start) -> None:
    lost = b'event: output\ndata: {"chunk":"!","index":7}\n\n'
    client = await start(CogServer(extra_events=lost))
    assert get_text(await read(client)) == ANSWER


async def test_a_record_that_contradicts_the_stream_is_an_error(start: Start) -> None:
    client = await start(CogServer(end={"output": ["Hello", "world"]}))
    with pytest.raises(StreamInterruptedError, match="differ after 5 characters"):
        await read(client)


async def test_an_event_of_lost_events_is_an_error(start: Start) -> None:
    lost = b'event: error\ndata: {"error":"SSE stream lagged; events were dropped","skipped":9}\n\n'
    client = await start(server := CogServer(extra_events=lost))
    with pytest.raises(StreamInterruptedError, match="events were dropped"):
        await read(client)
    assert len(server.list_cancels()) == 1


async def test_text_that_comes_together_with_a_problem_is_delivered_before_it(
    start: Start,
) -> None:
    first = b'event: output\ndata: {"chunk":"Hello","index":0}\n\n'
    for problem in (
        b'event: error\ndata: {"error":"SSE stream lagged"}\n\n',
        b'event: output\ndata: {"chunk":"Good","index":0}\n\n',
        b"event: completed\ndata: {}\n\n",
    ):
        client = await start(server := CogServer(extra_events=first + problem))
        texts: list[str] = []
        with pytest.raises(StreamInterruptedError) as caught:
            async with client.stream(MODEL, "Hi") as events:
                async for event in events:
                    texts += [event.text] if isinstance(event, TextDelta) else []
        assert texts == ["Hello"]
        assert caught.value.delivered == len("Hello")
        assert len(server.list_cancels()) == 1


async def test_other_events_and_keep_alives_are_passed_over(start: Start) -> None:
    others = (
        b": keep-alive\n\n"
        b'event: log\ndata: {"data":"loading\\n","source":"stdout"}\n\n'
        b'event: metric\ndata: {"mode":"set","name":"x","value":1}\n\n'
        b"event: newer\ndata: not JSON\n\nevent: output\ndata: nor this\n\n"
    )
    client = await start(CogServer(extra_events=others))
    assert get_text(await read(client)) == ANSWER


# The whole answer


@pytest.mark.parametrize(
    ("server", "methods"),
    [
        (CogServer(refusals=[NO_STREAM]), ["PUT", "POST"]),
        (CogServer(minor_version=16), ["PUT"]),
        (CogServer(minor_version=5), ["PUT", "POST"]),
    ],
    ids=["406", "no streams", "no PUT"],
)
async def test_without_a_stream_the_whole_answer_comes(
    start: Start, server: CogServer, methods: list[str]
) -> None:
    client = await start(server)
    events = await read(client)
    assert get_text(events) == ANSWER
    assert get_statuses(events) == ["processing"]
    assert [request.method for request in server.list_predictions()] == methods


async def test_a_whole_answer_that_failed_is_the_same_error(start: Start) -> None:
    client = await start(
        CogServer(minor_version=16, end={"status": "failed", "error": "boom", "output": None})
    )
    with pytest.raises(PredictionFailedError, match="boom"):
        await client.complete(MODEL, "Hi")


async def test_texts_of_an_iterator_that_is_streamed_are_pieces_of_one(start: Start) -> None:
    output = {"type": "array", "items": {"type": "string"}, "x-cog-array-type": "iterator"}
    schemas = {**SCHEMA["components"]["schemas"], "Output": output}
    schema = {**SCHEMA, "components": {"schemas": schemas}}
    client = await start(server := CogServer(schema=schema))
    assert get_text(await read(client)) == ANSWER
    server.schema = {**schema, "paths": {}}  # not streamed: a list of alternatives
    other = Client(base_url=server.base_url, dialect="cog")
    async with other, other.stream("another/name", "Hi") as events:
        assert get_text([event async for event in events]) == "Hello"


# The line, the boot, and refusals


async def test_a_busy_container_is_waited_for(start: Start) -> None:
    client = await start(server := CogServer(refusals=[BUSY] * 4), max_retries=0)
    assert get_text(await read(client)) == ANSWER
    assert len(server.list_predictions()) == 5
    assert len({request.path for request in server.list_predictions()}) == 1


async def test_the_deadline_bounds_the_wait_for_a_busy_container(start: Start) -> None:
    client = await start(server := CogServer(refusals=[BUSY] * 10_000), deadline=0.3)
    with pytest.raises(ReplicateTimeoutError, match=r"busy.* deadline of 0\.3 s"):
        await client.complete(MODEL, "Hi")
    assert server.list_cancels() == []  # nothing was created


async def test_a_wait_until_after_the_deadline_is_a_refusal_at_once(start: Start) -> None:
    busy = (429, {"error": "At capacity", "retry_after": 60})
    client = await start(server := CogServer(refusals=[busy]), deadline=50)
    with pytest.raises(RateLimitError) as caught:
        await asyncio.wait_for(client.complete(MODEL, "Hi"), 10)
    assert caught.value.retry_after == 60
    assert len(server.list_predictions()) == 1


async def test_a_refusal_that_is_read_after_the_deadline_is_its_time_out(start: Start) -> None:
    def block(request: Request) -> None:
        if request.path == "/health-check" and server.list_predictions():
            time.sleep(0.4)  # the loop is blocked, which is the point

    server = CogServer(refusals=[BUSY] * 10, on_request=block)
    client = await start(server, deadline=0.3)
    with pytest.raises(ReplicateTimeoutError, match=r"deadline of 0\.3 s"):
        await client.complete(MODEL, "Hi")


async def test_the_boot_is_a_status_and_is_waited_for(start: Start) -> None:
    server = CogServer(health=["STARTING"] * 4 + ["READY"])
    client = await start(server)
    async with client.stream(MODEL, "Hi") as events:
        seen: list[Any] = [await events.__anext__()]
        assert seen == [StatusChanged("starting")]
        assert server.list_predictions() == []  # it arrives while the model boots
        seen += [event async for event in events]
    assert get_statuses(seen) == ["starting", "processing"]
    assert get_text(seen) == ANSWER


async def test_a_dry_run_waits_for_the_schema_of_a_model_that_boots(start: Start) -> None:
    client = await start(CogServer(health=["STARTING"] * 3 + ["READY"]))
    assert (await client.prepare(MODEL, "Hi")).body == {"input": {"prompt": "Hi"}}


@pytest.mark.parametrize("refusal", [NOT_READY, BUSY], ids=["503", "409 of old versions"])
async def test_a_container_that_starts_again_is_waited_for(start: Start, refusal: Any) -> None:
    client = await start(server := CogServer())
    await client.complete(MODEL, "Hi")
    # Cog refuses a stream with 406 until it knows whether the model can stream.
    server.refusals = [NO_STREAM, refusal]
    server.health = ["STARTING"] * 3 + ["READY"]
    events = await read(client)
    assert get_statuses(events) == ["starting", "processing"]
    assert get_text(events) == ANSWER
    assert server.list_predictions()[-1].method == "PUT"  # it can stream, now that it is ready


async def test_the_timeout_bounds_the_boot(start: Start) -> None:
    client = await start(CogServer(health=["STARTING"]), timeout=0.3)
    with pytest.raises(ReplicateTimeoutError, match=r"still boots after 0\.3 s"):
        await read(client)
    with pytest.raises(ReplicateTimeoutError, match=r"still boots after 0\.3 s"):
        await client.prepare(MODEL, "Hi")


async def test_the_deadline_bounds_the_boot_and_the_answer_together(start: Start) -> None:
    client = await start(CogServer(health=["STARTING"]), deadline=0.3)
    with pytest.raises(ReplicateTimeoutError, match=r"deadline of 0\.3 s"):
        await read(client)


async def test_leaving_during_the_boot_creates_nothing(start: Start) -> None:
    client = await start(server := CogServer(health=["STARTING"]))
    async with client.stream(MODEL, "Hi") as events:
        await events.__anext__()
    assert server.list_predictions() == []
    assert server.list_cancels() == []


@pytest.mark.parametrize("status", ["SETUP_FAILED", "DEFUNCT"])
async def test_a_model_that_cannot_run_is_an_error_with_its_log(start: Start, status: str) -> None:
    client = await start(CogServer(health=["STARTING", "STARTING", status]))
    with pytest.raises(ResponseError, match=f"{status}.*no weights"):
        await read(client)


async def test_a_health_check_that_says_something_else_stands_in_no_way(start: Start) -> None:
    statuses: list[Any] = [[], {}, None, 5, "NEW"]
    for status in statuses:
        client = await start(CogServer(health=[status]))
        assert get_text(await read(client)) == ANSWER


async def test_a_model_without_a_schema_is_asked_with_its_usual_inputs(start: Start) -> None:
    client = await start(server := CogServer(schema=None))
    assert (await client.complete(MODEL, "Hi")).text == ANSWER
    assert await client.describe(MODEL) is None
    assert "prompt" in server.list_predictions()[0].body["input"]


async def test_a_refused_input_is_named_and_not_quoted(start: Start) -> None:
    message = '"a secret plan" is longer than 3 characters'
    detail = [{"loc": ["body", "input", "prompt"], "msg": message, "type": "value_error"}]
    client = await start(server := CogServer(refusals=[(422, {"detail": detail})] * 2))
    with pytest.raises(InvalidInputError, match="is longer than 3 characters") as caught:
        await client.complete(MODEL, "a secret plan")
    assert caught.value.fields == ("prompt",)
    assert "secret" not in str(caught.value)
    assert "secret" not in str(vars(caught.value))
    assert server.list_cancels() == []


async def test_a_text_within_an_input_is_not_quoted_either(start: Start) -> None:
    properties = {"messages": {"type": "array", "items": {"type": "object"}}}
    schemas = {**SCHEMA["components"]["schemas"], "Input": {"properties": properties}}
    detail = [{"loc": ["body", "input", "messages"], "msg": 'got "a secret plan"'}]
    server = CogServer(
        schema={**SCHEMA, "components": {"schemas": schemas}},
        refusals=[(422, {"detail": detail})] * 2,
    )
    client = await start(server)
    with pytest.raises(InvalidInputError, match="messages") as caught:
        await client.complete(MODEL, "a secret plan")
    assert server.list_predictions()
    assert "secret" not in f"{caught.value} {vars(caught.value)}"


async def test_a_creation_that_fails_on_the_way_is_repeated(start: Start) -> None:
    client = await start(server := CogServer(refusals=[(502, {}), (504, {})]))
    assert get_text(await read(client)) == ANSWER
    assert len({request.path for request in server.list_predictions()}) == 1


async def test_a_whole_answer_is_not_asked_for_twice(start: Start) -> None:
    client = await start(server := CogServer(minor_version=5, refusals=[NO_STREAM, (502, {})]))
    with pytest.raises(ResponseError, match="502"):
        await read(client)
    assert [request.method for request in server.list_predictions()] == ["PUT", "POST"]


async def test_a_redirect_is_an_error_that_names_the_setting(start: Start) -> None:
    client = await start(CogServer(refusals=[(308, {})]))
    with pytest.raises(ResponseError, match="redirected; base_url"):
        await read(client)


async def test_an_address_without_a_container_is_an_error_that_names_the_setting(
    start: Start,
) -> None:
    client = await start(CogServer(refusals=[(404, {})] * 2))
    with pytest.raises(ModelNotFoundError, match="own address, without /v1"):
        await read(client)


async def test_files_of_any_size_go_into_the_input(start: Start) -> None:
    image = {"type": "string", "format": "uri"}
    properties = {"prompt": {"type": "string"}, "image": image}
    schemas = {"Input": {"type": "object", "properties": properties}}
    client = await start(server := CogServer(schema={"components": {"schemas": schemas}}))
    content = [{"type": "text", "text": "see"}, {"type": "image", "data": b"\x89PNG" * 200_000}]
    await client.complete(MODEL, [{"role": "user", "content": content}])
    (request,) = server.list_predictions()
    assert request.body["input"]["image"].startswith("data:image/png;base64,")
    assert len(request.body["input"]["image"]) > 1_000_000


async def test_a_container_that_is_not_there_is_an_error(unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    async with Client(base_url=url, dialect="cog", max_retries=0) as client:
        with pytest.raises(ReplicateConnectionError, match="no connection"):
            await read(client)


@pytest.fixture
async def unused_port() -> int:
    server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    return port


# Leaving


async def test_leaving_closes_the_connection_and_cancels(start: Start) -> None:
    client = await start(server := CogServer(cut_after=[150], on_cut="silence"))
    async with client.stream(MODEL, "Hi") as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    assert server.list_cancels() == [events.prediction.id]


async def test_a_stop_sequence_ends_the_answer_and_cancels(start: Start) -> None:
    client = await start(server := CogServer(cut_after=[240], on_cut="silence"))
    completion: Completion = await client.complete(MODEL, "Hi", stop=["wor"])
    assert completion.text == "Hello, "
    assert completion.finish_reason == "stop"
    assert len(server.list_cancels()) == 1


async def test_a_caller_that_is_cancelled_before_the_response_cancels(start: Start) -> None:
    arrived = asyncio.Event()
    server = CogServer()
    client = await start(server)
    await client.describe(MODEL)
    server.on_request = lambda request: arrived.set() if request.method == "PUT" else None
    server.is_silent = True
    task = asyncio.ensure_future(client.complete(MODEL, "Hi"))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(server.list_cancels()) == 1


async def test_a_silence_longer_than_the_timeout_is_an_error_and_cancels(start: Start) -> None:
    client = await start(server := CogServer(), timeout=0.2)
    await client.describe(MODEL)
    server.is_silent = True
    with pytest.raises(ReplicateTimeoutError):
        await read(client)
    assert len(server.list_cancels()) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout": 0.2}, r"sent nothing for 0\.2 s, waiting for the next token"),
        ({"deadline": 0.2}, r"did not end within its deadline of 0\.2 s"),
    ],
    ids=["timeout", "deadline"],
)
async def test_a_silence_within_the_answer_is_an_error_and_cancels(
    start: Start, settings: Any, message: str
) -> None:
    client = await start(server := CogServer(cut_after=[150], on_cut="silence"), **settings)
    with pytest.raises(ReplicateTimeoutError, match=message):
        await read(client)
    assert len(server.list_cancels()) == 1


async def test_the_deadline_bounds_the_wait_for_a_response(start: Start) -> None:
    client = await start(server := CogServer(), deadline=0.2)
    await client.describe(MODEL)
    server.is_silent = True
    with pytest.raises(ReplicateTimeoutError, match=r"no response within its deadline of 0\.2 s"):
        await read(client)
    assert len(server.list_cancels()) == 1


async def test_a_container_that_is_gone_after_a_cut_is_an_error(start: Start) -> None:
    server = CogServer(cut_after=[150])
    client = await start(server, max_retries=0)
    with pytest.raises(StreamInterruptedError, match=r"the connection broke: .* no connection"):
        async with client.stream(MODEL, "Hi") as events:
            server.stop()
            [event async for event in events]


async def test_an_old_cog_that_runs_the_prediction_already_is_an_error(start: Start) -> None:
    running = (202, {"id": "x", "status": "processing"})
    client = await start(server := CogServer(refusals=[(502, {}), running]))
    with pytest.raises(StreamInterruptedError, match="the response with the answer was lost"):
        await read(client)
    assert len(server.list_cancels()) == 1


async def test_a_stream_that_is_dropped_cancels(start: Start) -> None:
    canceled = asyncio.Event()
    server = CogServer(cut_after=[150], on_cut="silence")
    server.on_request = lambda r: canceled.set() if r.path.endswith("/cancel") else None
    client = await start(server)

    async def generate() -> AsyncIterator[Any]:
        async with client.stream(MODEL, "Hi") as events:
            async for event in events:
                yield event

    async for event in generate():
        if isinstance(event, TextDelta):
            break
    await asyncio.wait_for(canceled.wait(), 10)


async def test_a_record_without_its_output_ends_an_answer_that_is_whole(start: Start) -> None:
    client = await start(server := CogServer(end={"output": None}))
    assert get_text(await read(client)) == ANSWER
    server.extra_events = b'event: output\ndata: {"chunk":"!","index":7}\n\n'
    with pytest.raises(StreamInterruptedError):
        await read(client)


async def test_any_name_of_a_model_will_do_but_an_empty_one(start: Start) -> None:
    client = await start(CogServer())
    for name in ("llama", "owner/name:tag", "a name"):
        assert (await client.complete(name, "Hi")).text == ANSWER
    with pytest.raises(InvalidInputError, match="model is empty"):
        await client.complete(" ", "Hi")


async def test_all_errors_are_the_librarys_own(start: Start) -> None:
    client = await start(server := CogServer())
    for status in (400, 401, 403, 413, 418, 429, 500):
        server.refusals = [(status, {"error": "no"})]
        if status == 429:
            assert (await client.complete(MODEL, "Hi")).text == ANSWER
            continue
        with pytest.raises(ReplicateError, match=str(status)):
            await client.complete(MODEL, "Hi")


# Other methods of the client


async def test_an_embedding_model_of_cog_embeds(start: Start) -> None:
    texts = {"type": "array", "items": {"type": "string"}, "description": "Texts to embed."}
    vectors = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
    schemas = {"Input": {"type": "object", "properties": {"texts": texts}}, "Output": vectors}
    schema = {"paths": {}, "components": {"schemas": schemas}}
    answer = [[0.5, 1.0], [2.0, 3.0]]
    client = await start(server := CogServer(schema=schema, outputs=[answer], minor_version=16))
    assert await client.embed(MODEL, ["one", "two"]) == answer
    assert server.list_predictions()[0].body["input"]["texts"] == ["one", "two"]


async def test_texts_are_not_embedded_without_a_schema_and_the_error_names_its_address(
    start: Start,
) -> None:
    client = await start(server := CogServer(schema=None))
    with pytest.raises(InvalidInputError, match=r"at /openapi\.json; base_url .* without /v1"):
        await client.embed(MODEL, ["one"])
    assert server.list_predictions() == []


async def test_what_a_container_does_not_have_is_an_error_that_says_so(start: Start) -> None:
    client = await start(server := CogServer())
    with pytest.raises(ModelNotFoundError, match="cannot be taken up again: dialect='cog'"):
        async with client.resume("abc"):
            pass
    with pytest.raises(InvalidInputError, match="no list of models: dialect='cog'"):
        await client.models()
    assert server.requests == []


async def test_a_batch_with_a_journal_asks_again_for_what_was_interrupted(
    start: Start, tmp_path: Path
) -> None:
    client = await start(server := CogServer())
    requests = [(key, f"Hi {key}") for key in "abc"]
    await client.describe(MODEL)
    # The first prediction ends, the others are being read when the run is cancelled.
    server.cut_after, server.on_cut = [None, 150, 150], "silence"
    first = client.batch(MODEL, requests, journal=tmp_path / "journal.jsonl")
    result = await first.__anext__()
    await first.aclose()
    rest = client.batch(MODEL, requests, journal=tmp_path / "journal.jsonl")
    results = [result, *[each async for each in rest]]
    assert {each.key for each in results} == set("abc")
    assert all(each.completion and each.completion.text == ANSWER for each in results)
    assert len(server.list_predictions()) == 5

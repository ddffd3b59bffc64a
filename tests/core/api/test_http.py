"""Repetition of requests, rate limits, redirects, proxies, and the way of the token."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from urllib.parse import urlsplit

import pytest

from replicate_stream import (
    Client,
    InvalidInputError,
    ModelNotFoundError,
    PredictionFailedError,
    RateLimitError,
    ReplicateConnectionError,
    ReplicateTimeoutError,
    ResponseError,
)
from replicate_stream.testing import Emulator, Fault, RecordedRequest, Reply

MakeClient = Callable[..., Client]
CONNECTION = r"(?im)^connection:.*\r\n"


def get_creations(emulator: Emulator) -> list[RecordedRequest]:
    return [r for r in emulator.requests if r.method == "POST" and r.path.endswith("/predictions")]


async def look_up_model(client: Client, emulator: Emulator) -> None:
    """Look the model up, so that the next request is the creation."""
    await client.prepare(emulator.model, "Hi")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="create", status=429, body={"detail": "…", "retry_after": 0}),
        Fault(on="create", status=503, body="", headers={"Retry-After": "0"}),
    ],
    ids=["429", "503 with Retry-After"],
)
async def test_a_creation_is_repeated_if_the_server_turned_it_away(
    client: Client, replicate_emulator: Emulator, fault: Fault
) -> None:
    await look_up_model(client, replicate_emulator)
    replicate_emulator.fault(fault, times=2)
    assert (await client.complete(replicate_emulator.model, "Hi")).text
    assert len(get_creations(replicate_emulator)) == 3
    assert len(replicate_emulator.predictions) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="create", lose_reply=True),
        Fault(on="create", drop=True),
        Fault(on="create", status=500, body={"detail": "Internal server error"}),
        Fault(on="create", status=502, body="<html>bad gateway</html>"),
        Fault(on="create", status=503, body={}),
    ],
    ids=["lost reply", "dropped", "500", "502", "503"],
)
async def test_a_creation_is_not_repeated_if_it_may_have_arrived(
    client: Client, replicate_emulator: Emulator, fault: Fault
) -> None:
    await look_up_model(client, replicate_emulator)
    replicate_emulator.fault(fault)
    with pytest.raises((ReplicateConnectionError, ResponseError)):
        await client.complete(replicate_emulator.model, "Hi")
    assert len(get_creations(replicate_emulator)) == 1


async def test_a_creation_without_a_response_times_out_and_is_not_repeated(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    await look_up_model(make_client(), replicate_emulator)  # without the short time-out
    client = make_client(timeout=0.3)
    replicate_emulator.fault(Fault(on="create", delay=20))
    with pytest.raises(ReplicateTimeoutError) as caught:
        await client.complete(replicate_emulator.model, "Hi")
    assert caught.value.waited_for == "the reply"
    assert len(get_creations(replicate_emulator)) == 1


async def test_the_error_of_a_refused_connection_names_the_host() -> None:
    with Emulator() as emulator:
        base_url = emulator.base_url
    port = base_url.split(":")[2].split("/")[0]
    async with Client("r8_FAKE", base_url=base_url, max_retries=1) as client:
        with pytest.raises(ReplicateConnectionError, match=f"127.0.0.1:{port}"):
            await client.complete("a" * 64, "Hi")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_look_up_is_repeated_after_a_server_error(
    client: Client, replicate_emulator: Emulator, status: int
) -> None:
    fault = Fault(on="model", status=status, body="<html>", headers={"Retry-After": "0"})
    replicate_emulator.fault(fault, times=2)
    assert (await client.complete(replicate_emulator.model, "Hi")).text


async def test_a_look_up_is_repeated_after_a_lost_connection(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on="model", drop=True), times=2)
    assert (await client.complete(replicate_emulator.model, "Hi")).text


async def test_max_retries_limits_the_repetitions(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on="model", status=500, body="no"), times=9)
    with pytest.raises(ResponseError) as caught:
        await make_client(max_retries=1).complete(replicate_emulator.model, "Hi")
    assert caught.value.status == 500
    assert len(replicate_emulator.requests) == 2


async def test_a_look_up_is_not_repeated_if_the_service_asks_for_more_than_the_time_out(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    detail = "Request was throttled. Your rate limit resets in ~30s."
    replicate_emulator.fault(Fault(on="model", status=429, body={"detail": detail}))
    with pytest.raises(RateLimitError) as caught:
        await make_client(timeout=5).complete(replicate_emulator.model, "Hi")
    assert caught.value.retry_after == 30
    assert len(replicate_emulator.requests) == 1


async def test_retry_after_is_waited_for(client: Client, replicate_emulator: Emulator) -> None:
    await look_up_model(client, replicate_emulator)
    replicate_emulator.fault(
        Fault(on="create", status=429, body={"detail": "…", "retry_after": 0.4})
    )
    await client.complete(replicate_emulator.model, "Hi")
    first, second = get_creations(replicate_emulator)
    assert second.at - first.at >= 0.4


@pytest.mark.parametrize(("status", "error"), [(401, ResponseError), (402, ResponseError)])
async def test_a_client_error_is_not_repeated(
    client: Client, replicate_emulator: Emulator, status: int, error: type[Exception]
) -> None:
    replicate_emulator.fault(Fault(on="model", status=status, body={"detail": "no"}))
    with pytest.raises(error):
        await client.complete(replicate_emulator.model, "Hi")
    assert len(replicate_emulator.requests) == 1


async def test_the_error_for_a_wrong_token_does_not_contain_it(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    with pytest.raises(ResponseError) as caught:
        await make_client(api_key="r8_WRONG_FAKE").complete(replicate_emulator.model, "Hi")
    assert caught.value.status == 401
    assert "r8_WRONG_FAKE" not in repr(caught.value) + str(vars(caught.value))


async def test_a_model_that_does_not_exist_raises_model_not_found(
    client: Client, replicate_emulator: Emulator
) -> None:
    with pytest.raises(ModelNotFoundError, match="Model not found"):
        await client.complete("no/such-model", "Hi")
    with pytest.raises(ModelNotFoundError, match="version"):
        await client.complete("f" * 64, "Hi")


async def test_the_error_for_a_refused_input_names_the_field(
    client: Client, replicate_emulator: Emulator
) -> None:
    await look_up_model(client, replicate_emulator)
    body = {
        "title": "Input validation failed",
        "detail": "- input.top_p: Must be less than or equal to 1\n",
        "status": 422,
        "invalid_fields": [
            {"type": "number_lte", "field": "input.top_p", "description": "Must be less than …"}
        ],
    }
    replicate_emulator.fault(Fault(on="create", status=422, body=body))
    with pytest.raises(InvalidInputError) as caught:
        await client.complete(replicate_emulator.model, "Hi")
    assert caught.value.fields == ("top_p",)


async def test_a_created_prediction_without_an_id_is_an_invalid_response(
    client: Client, replicate_emulator: Emulator
) -> None:
    await look_up_model(client, replicate_emulator)
    replicate_emulator.fault(Fault(on="create", status=201, body={"status": "starting"}))
    with pytest.raises(ResponseError, match="no prediction id"):
        await client.complete(replicate_emulator.model, "Hi")


async def test_the_token_is_not_sent_to_another_origin_after_a_redirect(
    client: Client, replicate_emulator: Emulator
) -> None:
    async with Emulator() as other:
        target = f"{other.base_url}/models/{other.model}"
        replicate_emulator.fault(Fault(on="model", status=302, headers={"Location": target}))
        with pytest.raises(ResponseError) as caught:
            await client.complete(replicate_emulator.model, "Hi")
        assert caught.value.status == 401
        assert len(other.requests) == 1
        assert "authorization" not in other.requests[0].headers


async def test_a_creation_does_not_follow_a_redirect_to_another_origin(
    client: Client, replicate_emulator: Emulator
) -> None:
    await look_up_model(client, replicate_emulator)
    async with Emulator() as other:
        target = f"{other.base_url}/models/{other.model}/predictions"
        replicate_emulator.fault(Fault(on="create", status=307, headers={"Location": target}))
        with pytest.raises(ResponseError, match="redirected to another host"):
            await client.complete(replicate_emulator.model, "Hi")
        assert other.requests == []


async def test_a_redirect_within_the_origin_is_followed_with_the_token(
    client: Client, replicate_emulator: Emulator
) -> None:
    path = f"/v1/models/{replicate_emulator.model}"
    replicate_emulator.fault(Fault(on="model", status=307, headers={"Location": path}))
    assert (await client.complete(replicate_emulator.model, "Hi")).text


async def test_errors_and_logs_do_not_contain_the_stream_url(
    client: Client, replicate_emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    replicate_emulator.reply = Reply(["Hel"], error="It broke.")
    replicate_emulator.fault(Fault(on="stream", status=500, body="no"), times=50)
    with pytest.raises(PredictionFailedError) as caught:
        await client.complete(replicate_emulator.model, "Hi")
    urls = {r.path for r in replicate_emulator.requests if r.server == "stream"}
    assert urls
    shown = repr(caught.value) + str(vars(caught.value)) + caplog.text
    assert not any(re.search(re.escape(url), shown) for url in urls)
    assert replicate_emulator.token not in shown


async def test_three_hundred_concurrent_creations_succeed(
    client: Client, replicate_emulator: Emulator
) -> None:
    completions = await asyncio.gather(
        *[client.complete(replicate_emulator.model, "Hi") for _ in range(300)]
    )
    assert all(completion.text for completion in completions)
    assert len(replicate_emulator.predictions) == 300


@pytest.fixture
async def closing_proxy() -> AsyncIterator[str]:
    """URL of a proxy that closes a connection when its second request comes."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(reader, writer)
            await reader.read(1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        url = urlsplit(head.split(" ")[1])
        upstream_reader, upstream = await asyncio.open_connection(url.hostname, url.port)
        with closing(upstream):
            request = re.sub(
                r"(?im)^connection:.*\r\n", "", head.replace(f"http://{url.netloc}", "", 1)
            )
            upstream.write(request.replace("\r\n", "\r\nConnection: close\r\n", 1).encode() + body)
            response_head = (await upstream_reader.readuntil(b"\r\n\r\n")).decode()
            writer.write(re.sub(r"(?im)^connection:.*\r\n", "", response_head).encode())
            while part := await upstream_reader.read(65_536):
                writer.write(part)
                await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def test_a_proxy_that_closes_the_connection_after_each_response_loses_no_creation(
    make_client: MakeClient, replicate_emulator: Emulator, closing_proxy: str
) -> None:
    replicate_emulator.reply = ["Hel", "lo"]
    client = make_client(proxy=closing_proxy)
    for _ in range(2):
        assert (await client.complete(replicate_emulator.model, "Hi")).text == "Hello"
    assert len(get_creations(replicate_emulator)) == 2


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"proxy": "http://user:pw@127.0.0.1:9"}, r"no connection to the proxy 127\.0\.0\.1:9 "),
        ({"base_url": "http://127.0.0.1:9"}, r"no connection to 127\.0\.0\.1:9 "),
    ],
)
async def test_the_error_names_the_host_or_the_proxy_that_was_not_reached(
    settings: dict[str, str], named: str, make_client: MakeClient
) -> None:
    client = make_client(max_retries=0, **settings)
    with pytest.raises(ReplicateConnectionError, match=named) as caught:
        await client.complete("a/b", "Hi")
    assert "pw" not in str(caught.value)

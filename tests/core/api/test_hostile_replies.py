"""Servers that answer with anything but the API's replies: the error is ours, and names the way."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

import pytest
import trustme

from replicate_stream import (
    Client,
    InvalidInputError,
    RateLimitError,
    ReplicateConnectionError,
    ReplicateError,
    ReplicateTimeoutError,
    ResponseError,
    StreamInterruptedError,
    TextDelta,
)
from replicate_stream._api.responses import (
    MAX_JSON_VALUES,
    MAX_RESPONSE_BYTES,
    Response,
    to_response_error,
)
from replicate_stream._api.sse import MAX_EVENT_BYTES, Decoder, Events
from replicate_stream._types.strict_json import MAX_JSON_DEPTH
from replicate_stream.testing import Emulator, Fault, Reply

Serve = Callable[..., Awaitable["Server"]]
DEEP = "[" * 200_000 + "]" * 200_000
RECURSION = "[" * (sys.getrecursionlimit() // 2) + "]" * (sys.getrecursionlimit() // 2)


class Server:
    """Answers each request with the bytes for its method, then closes; counts the requests.

    Of several replies each is sent once, and the last one from then on.
    """

    def __init__(self, replies: dict[str, bytes | list[bytes]]) -> None:
        self.replies = replies
        self.requests: list[str] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(greeting := self.replies.get("greeting"), bytes):
            await reader.read(1)
            writer.write(greeting)
            writer.close()
            return
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if length := re.search(r"(?i)content-length: (\d+)", head):
                await reader.readexactly(int(length[1]))
            method, path, _ = head.split(" ", 2)
            self.requests.append(f"{method} {path}")
            reply = self.replies.get(f"{method} {path}", self.replies.get(method, NOT_FOUND))
            if isinstance(reply, list):
                reply = reply.pop(0) if len(reply) > 1 else reply[0]
            host = self.url.removeprefix("http://")
            reply = reply.replace(b"$URL", self.url.encode()).replace(b"$HOST", host.encode())
            writer.write(reply)
            await writer.drain()
        writer.close()


def reply_json(body: str, status: int = 200, headers: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"{headers}Connection: close\r\n\r\n{body}"
    ).encode()


NOT_FOUND = reply_json('{"detail": "no"}', 404)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server with the reply to each method, or to each method and path."""
    listeners: list[asyncio.Server] = []

    async def start(**replies: bytes | list[bytes]) -> Server:
        server = Server(replies)
        listeners.append(await asyncio.start_server(server.answer, "127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{listeners[-1].sockets[0].getsockname()[1]}"
        return server

    yield start
    for listener in listeners:
        listener.close()


NOT_HTTP = {
    "garbage": b"\x00\xff nope\r\n\r\n",
    "a greeting": b"220 mail.example.org ESMTP\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    "an endless header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "a body that is cut": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
}


@pytest.mark.parametrize("kind", NOT_HTTP)
async def test_a_get_whose_reply_is_not_http_is_repeated_and_a_creation_is_not(
    make_client: type[Client], serve: Serve, kind: str
) -> None:
    server = await serve(GET=NOT_HTTP[kind], POST=NOT_HTTP[kind])
    client = make_client(base_url=server.url, max_retries=1)
    with pytest.raises(ReplicateConnectionError, match="base_url and proxy") as caught:
        await client.describe("some/model")
    assert len(server.requests) == 2
    server.replies["GET"] = NOT_FOUND
    with pytest.raises(ReplicateConnectionError, match="base_url and proxy") as caught:
        await client.complete("some/model", "Hi")
    assert caught.value.is_sent
    assert [r for r in server.requests if r.startswith("POST")] == [
        "POST /v1/models/some/model/predictions"
    ]


async def test_tls_to_a_plain_port_names_the_scheme(
    make_client: type[Client], serve: Serve
) -> None:
    server = await serve(greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n")
    client = make_client(base_url=server.url.replace("http:", "https:"), max_retries=0)
    with pytest.raises(ReplicateConnectionError, match="must begin with http://") as caught:
        await client.complete("some/model", "Hi")
    assert not caught.value.is_sent
    assert type(caught.value).__module__ == "replicate_stream"


async def test_a_certificate_that_is_not_trusted_says_why_and_names_the_variable(
    make_client: type[Client],
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = Server({"GET": NOT_FOUND})
    listener = await asyncio.start_server(server.answer, "127.0.0.1", 0, ssl=context)
    async with listener:
        address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        client = make_client(base_url=f"https://{address}", max_retries=0)
        with pytest.raises(ReplicateConnectionError, match="SSL_CERT_FILE") as caught:
            await client.complete("some/model", "Hi")
        assert "issuer certificate" in str(caught.value)  # OpenSSL's words
        assert not caught.value.is_sent
        with pytest.raises(ReplicateConnectionError, match="the connection broke"):
            await make_client(base_url=f"http://{address}", max_retries=0).describe("some/model")


async def test_a_host_name_that_dns_cannot_hold_is_an_error_of_ours(
    make_client: type[Client],
) -> None:
    for host in ("a" * 70 + ".example", "x..example"):
        with pytest.raises(ReplicateError, match="base_url"):
            await make_client(base_url=f"https://{host}").describe("some/model")


@pytest.mark.parametrize(
    "body",
    [DEEP, '{"a": ' + RECURSION + "}", '{"a": [' + "0," * MAX_JSON_VALUES + "0]}"],
    ids=["deep", "less deep", "many values"],
)
@pytest.mark.parametrize("status", [200, 422])
async def test_a_reply_that_is_too_large_to_be_decoded_is_a_response_error(
    make_client: type[Client], serve: Serve, body: str, status: int
) -> None:
    server = await serve(GET=reply_json(body, status))
    with pytest.raises(ResponseError) as caught:
        await make_client(base_url=server.url).describe("some/model")
    assert caught.value.status == status


async def test_a_prediction_whose_creation_cannot_be_read_is_cancelled(
    make_client: type[Client], serve: Serve
) -> None:
    quoted = json.dumps('"http://h/v1/predictions/other/cancel"')
    urls = '{"cancel": "$URL/v1/predictions/p1/cancel"}'
    created = f'{{"input": {{"prompt": {quoted}, "x": {DEEP}}}, "id": "p1", "urls": {urls}}}'
    server = await serve(POST=reply_json(created, 201))
    with pytest.raises(ResponseError, match=f"at most {MAX_JSON_DEPTH} levels"):
        await make_client(base_url=server.url).complete("some/model", "Hi")
    posts = [r for r in server.requests if r.startswith("POST")]
    assert posts == ["POST /v1/models/some/model/predictions", "POST /v1/predictions/p1/cancel"]


async def test_a_record_that_is_nested_too_deeply_is_an_error_and_the_prediction_is_cancelled(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.02
    replicate_emulator.reply = ["a"] * 2000
    replicate_emulator.fault(Fault(on="stream", status=404), times=None)
    body = '{"id": "p", "status": "processing", "output": ' + DEEP + "}"
    replicate_emulator.fault(Fault(on="get", body=body), times=None)
    with pytest.raises(ReplicateError):
        await client.complete(replicate_emulator.model, "Hi")
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)


@pytest.mark.parametrize("data", [DEEP, '{"reason": ' + RECURSION + "}"], ids=["deep", "reason"])
async def test_a_reason_or_an_error_that_is_nested_too_deeply_is_an_error_of_ours(
    client: Client, replicate_emulator: Emulator, data: str
) -> None:
    replicate_emulator.reply = Reply(["a"], status="failed", error=data, plain_error=True)
    with pytest.raises(ReplicateError):
        await client.complete(replicate_emulator.model, "Hi")
    replicate_emulator.reply = Reply(["a"], reason=data)
    assert (await client.complete(replicate_emulator.model, "Hi")).text == "a"


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999", "9" * 400])
async def test_numbers_that_are_none_in_the_metrics_cost_no_answer(
    client: Client, replicate_emulator: Emulator, number: str
) -> None:
    body = (
        '{"id": "p", "status": "succeeded", "output": "a", "metrics": '
        f'{{"input_token_count": {number}, "output_token_count": 3}}}}'
    )
    replicate_emulator.reply = ["a"]
    replicate_emulator.fault(Fault(on="get", body=body.encode()), times=None)
    completion = await client.complete(replicate_emulator.model, "Hi")
    assert completion.text == "a"
    assert completion.usage is not None
    assert completion.usage.output_tokens == 3


@pytest.mark.parametrize("location", ["http://[bad", "http://h:999999/", "ftp://127.0.0.1/x"])
async def test_a_redirect_to_a_url_that_cannot_be_read_is_a_response_error(
    make_client: type[Client], serve: Serve, location: str
) -> None:
    server = await serve(GET=reply_json("", 302, f"Location: {location}\r\n"))
    with pytest.raises(ResponseError, match="redirected to a URL"):
        await make_client(base_url=server.url).describe("some/model")


async def test_a_redirect_to_a_url_with_credentials_is_followed_without_the_token(
    make_client: type[Client], serve: Serve
) -> None:
    location = "Location: http://user:password@$HOST/other\r\n"
    server = await serve(
        **{"GET /v1/models/some/model": reply_json("", 302, location), "GET": reply_json("", 401)}
    )
    with pytest.raises(ResponseError) as caught:
        await make_client(base_url=server.url).describe("some/model")
    assert caught.value.status == 401


@pytest.mark.parametrize(
    "url",
    [
        *("http://[bad", "https://h:999999/x", "ftp://h/x", "/x", "http://"),
        "http://user:password@$HOST/v1/elsewhere",
    ],
)
async def test_a_stream_whose_url_cannot_be_read_is_polled(
    make_client: type[Client], serve: Serve, url: str
) -> None:
    urls = f'{{"stream": "{url}", "get": "{url}", "cancel": "{url}"}}'
    server = await serve(
        POST=reply_json(f'{{"id": "p1", "status": "starting", "urls": {urls}}}', 201),
        **{
            "GET /v1/predictions/p1": reply_json(
                '{"id": "p1", "status": "succeeded", "output": ["A", "B"]}'
            )
        },
    )
    assert (await make_client(base_url=server.url).complete("some/model", "Hi")).text == "AB"


async def test_a_stream_host_that_cannot_be_reached_is_replaced_by_polling(
    make_client: type[Client], serve: Serve
) -> None:
    urls = '{"stream": "http://127.0.0.1:9/v1/streams/x"}'
    growing = [
        reply_json(f'{{"id": "p1", "status": "processing", "output": ["A"], "urls": {urls}}}'),
        reply_json('{"id": "p1", "status": "processing", "output": ["A", "B"]}'),
        reply_json('{"id": "p1", "status": "succeeded", "output": ["A", "B", "C"]}'),
    ]
    server = await serve(
        POST=reply_json(f'{{"id": "p1", "status": "starting", "urls": {urls}}}', 201),
        **{"GET /v1/predictions/p1": [growing[0]] * 7 + growing},
    )
    async with make_client(base_url=server.url).stream("some/model", "Hi") as events:
        texts = [event.text async for event in events if isinstance(event, TextDelta)]
    assert texts == ["A", "B", "C"]


async def test_a_slow_consumer_of_a_polled_model_causes_no_time_out(
    make_client: type[Client], serve: Serve
) -> None:
    record = reply_json('{"id": "p1", "status": "processing", "output": ["A"]}', 201)
    ended = reply_json('{"id": "p1", "status": "succeeded", "output": ["A", "B"]}')
    server = await serve(POST=record, **{"GET /v1/predictions/p1": [record, ended]})
    texts = []
    async with make_client(base_url=server.url, timeout=0.4).stream("some/model", "Hi") as events:
        async for event in events:
            if isinstance(event, TextDelta):
                texts.append(event.text)
                await asyncio.wait({asyncio.ensure_future(asyncio.Event().wait())}, timeout=0.6)
    assert texts == ["A", "B"]


async def test_a_response_has_a_largest_size(make_client: type[Client], serve: Serve) -> None:
    server = await serve(GET=reply_json(" " * (MAX_RESPONSE_BYTES + 1)))
    with pytest.raises(ResponseError, match=f"larger than {MAX_RESPONSE_BYTES} bytes"):
        await make_client(base_url=server.url).describe("some/model")
    assert len(server.requests) == 1


@pytest.mark.parametrize(("name", "wbits"), [("gzip", 31), ("deflate", 15)])
@pytest.mark.parametrize("status", [200, 422])
async def test_the_largest_size_is_that_of_the_decompressed_response(
    make_client: type[Client], serve: Serve, name: str, wbits: int, status: int
) -> None:
    bomb = zlib.compressobj(9, wbits=wbits)
    piece = b" " * 2**20
    body = b"".join([*(bomb.compress(piece) for _ in range(256)), bomb.flush()])
    reply = reply_json("", status, f"Content-Encoding: {name}\r\n") + body
    server = await serve(POST=reply)
    tracemalloc.start()
    try:
        with pytest.raises(ResponseError, match=f"larger than {MAX_RESPONSE_BYTES} bytes"):
            await make_client(base_url=server.url).complete("a" * 64, "Hi")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * MAX_RESPONSE_BYTES
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "start",
    [
        '{"id": "p1", "model": "x", "input": {"prompt": "',
        '{\n  "model": "x",\n  "id" : "p1", "logs": "',
        '{"urls": {"cancel": "$URL/v1/predictions/p1/cancel"}, "id": "p1", "logs": "',
        '{"id": "p1", "logs": "' + "http://" * 20_000,  # in a minute, if not in linear time
        '{"id": "p1", "a": "see http://h/predictions/other/cancel", "logs": "',
    ],
)
@pytest.mark.parametrize("is_cut", [True, False], ids=["cut off", "too large"])
async def test_a_creation_whose_reply_cannot_be_read_is_cancelled_by_its_start(
    make_client: type[Client], serve: Serve, start: str, *, is_cut: bool
) -> None:
    body = start + ("x" if is_cut else "x" * MAX_RESPONSE_BYTES + '"}}')
    server = await serve(
        POST=reply_json(body, 201), **{"POST /v1/predictions/p1/cancel": NOT_FOUND}
    )
    message = "not a JSON object" if is_cut else f"larger than {MAX_RESPONSE_BYTES} bytes"
    with pytest.raises(ResponseError, match=message) as caught:
        await make_client(base_url=server.url).complete("a" * 64, "Hi")
    assert caught.value.has_unknown_outcome
    assert server.requests == ["POST /v1/predictions", "POST /v1/predictions/p1/cancel"]


@pytest.mark.parametrize("value", ["9" * 400, "1e999", "nan", "inf", "-5", "Mon, 99 Foo 9999 x"])
def test_a_retry_after_that_cannot_be_read_or_waited_for_is_no_failure(value: str) -> None:
    for response in (
        Response(429, {"Retry-After": value}, b"{}"),
        Response(429, {}, json.dumps({"retry_after": value}).encode()),
        Response(429, {}, b'{"retry_after": ' + b"9" * 400 + b"}"),
        Response(429, {}, json.dumps({"detail": f"resets in ~{'9' * 400}s"}).encode()),
    ):
        error = to_response_error(response, "POST /predictions")
        assert isinstance(error, RateLimitError)
        assert error.retry_after in {None, 0.0}


@pytest.mark.parametrize(
    "model",
    [
        *("../x", "x/..", "./x", "x/.", "deployments/../x", "deployments/x/..", "x/y?a"),
        *("x/y:../../cancel", "x/y:z/../z", "x/y:a?b", "x/y:a#b", "x/y:..", "x/y:a b"),
        *("x/y:a%2fb", "x/y:a\\b"),
    ],
)
async def test_a_model_that_leaves_its_path_is_refused_before_a_request(
    client: Client, replicate_emulator: Emulator, model: str
) -> None:
    with pytest.raises(InvalidInputError, match="model is"):
        await client.complete(model, "Hi")
    assert replicate_emulator.requests == []


@pytest.mark.parametrize("token", ["r8_fake_token", "fake.token-of-a-gateway", "deployments"])
async def test_a_token_given_as_the_model_is_not_quoted(client: Client, token: str) -> None:
    with pytest.raises(InvalidInputError, match="model has no owner") as caught:
        await client.complete(token, "Hi")
    assert token not in str(caught.value).replace("deployments/owner/name", "")


@pytest.mark.parametrize("piece", [b"data: x", b": x", b": x\n", b"event: x\n", b"\xff"])
async def test_an_event_that_never_ends_is_an_error(
    make_client: type[Client], serve: Serve, piece: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    urls = '{"stream": "$URL/stream", "cancel": "$URL/v1/predictions/p1/cancel"}'
    created = reply_json(f'{{"id": "p1", "status": "starting", "urls": {urls}}}', 201)
    stream = head + piece * (MAX_EVENT_BYTES // len(piece) + 1_000)
    server = await serve(POST=created, **{"GET /stream": stream})
    with pytest.raises(StreamInterruptedError, match=f"larger than {MAX_EVENT_BYTES} bytes"):
        await make_client(base_url=server.url).complete("a" * 64, "Hi")
    assert server.requests[-1] == "POST /v1/predictions/p1/cancel"


async def test_a_stream_of_comments_without_a_pause_is_not_decoded_past_the_deadline(
    make_client: type[Client], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    feed = Decoder.feed

    def count(decoder: Decoder, chunk: bytes) -> Events:
        decoded.append(len(chunk))
        return feed(decoder, chunk)

    monkeypatch.setattr(Decoder, "feed", count)
    comments = b": x\n\n" * 2**21  # which take longer than the deadline, on any machine
    bomb = zlib.compressobj(9, wbits=31)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n"
    created = reply_json(
        '{"id": "p1", "status": "starting", "urls": {"stream": "$URL/stream"}}', 201
    )
    stream = head + bomb.compress(comments) + bomb.flush()
    server = await serve(POST=created, **{"GET /stream": stream})
    with pytest.raises(ReplicateTimeoutError, match="deadline"):
        await make_client(base_url=server.url, deadline=0.3).complete("a" * 64, "Hi")
    assert sum(decoded) < len(comments)

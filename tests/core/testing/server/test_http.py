"""HTTP/1.1 on the server's side: bodies, connections, and bytes that are not HTTP."""

from __future__ import annotations

import http.client
import socket
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from replicate_stream.testing import Emulator

Fixture = Callable[..., Any]


def connect(emulator: Emulator) -> socket.socket:
    url = urlsplit(emulator.base_url)
    return socket.create_connection((url.hostname or "", url.port or 0), timeout=5)


def test_requests_record_the_number_of_their_connection(replicate_emulator: Emulator) -> None:
    url = urlsplit(replicate_emulator.base_url)
    token = {"Authorization": f"Bearer {replicate_emulator.token}"}
    for number_of_requests in (2, 1):
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
        for _ in range(number_of_requests):
            connection.request("GET", f"/v1/models/{replicate_emulator.model}", headers=token)
            connection.getresponse().read()
        connection.close()
    assert [request.connection for request in replicate_emulator.requests] == [1, 1, 2]


def test_a_chunked_body_is_read(replicate_emulator: Emulator) -> None:
    url = urlsplit(replicate_emulator.base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
    body = b'{"input": {"prompt": "in two chunks"}}'
    connection.request(
        "POST",
        f"/v1/models/{replicate_emulator.model}/predictions",
        iter([body[:9], body[9:]]),
        {"Authorization": f"Bearer {replicate_emulator.token}"},
        encode_chunked=True,
    )
    assert connection.getresponse().status == 201
    connection.close()
    assert replicate_emulator.requests[0].body == body


def test_a_chunked_body_can_have_trailers_and_expect_100_continue(
    replicate_emulator: Emulator,
) -> None:
    head = (
        f"POST /v1/models/{replicate_emulator.model}/predictions HTTP/1.1\r\n"
        f"Authorization: Bearer {replicate_emulator.token}\r\n"
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    )
    body = b'{"input": {"prompt": "Hi"}}'
    with connect(replicate_emulator) as connection:
        connection.sendall(head.encode())
        assert connection.recv(64) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"%x;own=1\r\n%s\r\n0\r\nX-Sum: 5\r\n\r\n" % (len(body), body))
        assert connection.recv(64).startswith(b"HTTP/1.1 201 Created\r\n")
    assert replicate_emulator.requests[0].body == body


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01 hello\r\n\r\n",
        b"GET / SPDY/3\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["TLS", "another protocol", "a bad header", "a bad length", "too long a head"],
)
def test_bytes_that_are_not_http_are_a_bad_request(
    data: bytes, replicate_emulator: Emulator
) -> None:
    with connect(replicate_emulator) as connection:
        connection.sendall(data)
        assert connection.recv(64).startswith(b"HTTP/1.1 400 ")
    assert not replicate_emulator.requests


def test_a_client_that_disconnects_in_mid_request_has_no_effect(
    run_prediction: Fixture, replicate_emulator: Emulator
) -> None:
    with connect(replicate_emulator) as connection:
        connection.sendall(b"POST /v1/predictions HTTP/1.1\r\nContent-Length: 99\r\n\r\n{")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert run_prediction()["status"] == "succeeded"

"""A real proxy with a password in between, and TLS as the platform verifies it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
import trustme
from aiohttp import web

from replicate_stream import Client, ReplicateConnectionError, TextDelta
from replicate_stream.testing import Emulator
from tests.real.surfaces import SURFACES

PROGRAM = """
import asyncio, sys
from tests.real.surfaces import SURFACES

print(asyncio.run(SURFACES[sys.argv[1]](sys.argv[2], "a" * 64, max_retries=0)))
"""


async def test_a_stream_passes_through_a_proxy_as_it_is_made(
    tinyproxy: int, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.05
    replicate_emulator.reply = [f" w{i}" for i in range(8)]
    proxy = f"http://user:FAKE_PASSWORD@127.0.0.1:{tinyproxy}"
    async with (
        Client(
            replicate_emulator.token, base_url=replicate_emulator.base_url, proxy=proxy
        ) as client,
        client.stream(replicate_emulator.model, "Hi") as events,
    ):
        seen = [
            (event.text, events.prediction.is_terminal)
            async for event in events
            if isinstance(event, TextDelta)
        ]
    assert "".join(text for text, _ in seen) == "".join(f" w{i}" for i in range(8))
    assert not any(ended for _, ended in seen)
    assert all("via" in request.headers for request in replicate_emulator.requests)


async def test_a_wrong_proxy_password_is_an_error_that_does_not_show_it(
    tinyproxy: int, replicate_emulator: Emulator
) -> None:
    client = Client(
        replicate_emulator.token,
        base_url="https://replicate.invalid",
        proxy=f"http://user:WRONG_FAKE@127.0.0.1:{tinyproxy}",
        max_retries=0,
    )
    with pytest.raises(ReplicateConnectionError, match="the proxy refused") as caught:
        await client.complete(replicate_emulator.model, "Hi")
    assert "WRONG_FAKE" not in str(caught.value) + repr(caught.value.__cause__)
    await client.aclose()


@pytest.fixture
async def tls_service(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """A service with a certificate of a made-up authority; gives its origin and the CA's file."""
    authority = trustme.CA()
    context = SSLContext(PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def create(_: web.Request) -> web.Response:
        urls = {"stream": f"{origin}/v1/streams/p"}
        return web.json_response({"id": "p", "status": "starting", "urls": urls}, status=201)

    async def get(_: web.Request) -> web.Response:
        record = {"id": "p", "status": "succeeded", "output": ["over ", "TLS"], "metrics": {"a": 1}}
        return web.json_response(record)

    async def stream(_: web.Request) -> web.Response:
        body = "event: output\nid: 1\ndata: over \n\nevent: output\nid: 2\ndata: TLS\n\n"
        body += "event: done\nid: 3\ndata: {}\n\n"
        return web.Response(text=body, content_type="text/event-stream")

    app = web.Application()
    app.add_routes(
        [
            web.post("/v1/predictions", create),
            web.get("/v1/predictions/p", get),
            web.get("/v1/streams/p", stream),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
    await site.start()
    origin = f"https://localhost:{runner.addresses[0][1]}"
    yield origin, tmp_path / "ca.pem"
    await runner.cleanup()


async def run_program(
    surface: str, origin: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", PROGRAM, surface, origin],
        env={**os.environ, "NO_PROXY": "", "no_proxy": "", **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_certificate_that_the_platform_trusts_is_accepted(
    tls_service: tuple[str, Path], surface: str
) -> None:
    origin, authority = tls_service
    done = await run_program(surface, origin, SSL_CERT_FILE=str(authority))
    assert (done.stdout, done.returncode) == ("over TLS\n", 0), done.stderr


async def test_a_certificate_that_it_does_not_trust_is_refused(
    tls_service: tuple[str, Path],
) -> None:
    done = await run_program("core", tls_service[0])
    assert done.returncode == 1
    assert "SSL_CERT_FILE" in done.stderr
    assert "r8_FAKE_TOKEN" not in done.stderr


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize(
    ("lines", "user"), [("", ""), ("BasicAuth user FAKE_PASSWORD", "user:FAKE_PASSWORD@")]
)
async def test_a_tunnel_through_a_proxy_of_the_environment_carries_tls(
    start_tinyproxy: Callable[[str], int],
    tls_service: tuple[str, Path],
    surface: str,
    lines: str,
    user: str,
) -> None:
    log = tls_service[1].with_name("proxy.log")
    port = start_tinyproxy(f'{lines}\nLogLevel Connect\nLogFile "{log}"')
    done = await run_program(
        surface,
        tls_service[0],
        SSL_CERT_FILE=str(tls_service[1]),
        HTTPS_PROXY=f"http://{user}127.0.0.1:{port}",
    )
    assert (done.stdout, done.returncode) == ("over TLS\n", 0), done.stderr
    assert "CONNECT localhost" in log.read_text()


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_tunnel_without_the_password_is_an_error_that_names_the_proxy(
    tinyproxy: int, tls_service: tuple[str, Path], surface: str
) -> None:
    done = await run_program(
        surface,
        tls_service[0],
        SSL_CERT_FILE=str(tls_service[1]),
        HTTPS_PROXY=f"http://user:WRONG_FAKE@127.0.0.1:{tinyproxy}",
    )
    assert done.returncode == 1
    assert "the proxy refused" in done.stderr
    assert "WRONG_FAKE" not in done.stderr
    assert "r8_FAKE_TOKEN" not in done.stderr


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_proxy_without_a_password_carries_http(
    start_tinyproxy: Callable[[str], int], surface: str
) -> None:
    proxy = f"http://127.0.0.1:{start_tinyproxy('')}"
    with Emulator(["over ", "http"], token="r8_FAKE_TOKEN") as emulator:
        answer = await SURFACES[surface](emulator.base_url, emulator.model, proxy=proxy)
    assert answer == "over http"
    assert all("via" in request.headers for request in emulator.requests)

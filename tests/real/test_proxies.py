"""A real proxy with a password in between, and TLS as the platform verifies it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
import trustme
from aiohttp import web

from replicate_stream import Client, ReplicateConnectionError, TextDelta
from replicate_stream.testing import Emulator

PROGRAM = """
import asyncio, sys
from replicate_stream import Client

async def main():
    async with Client("r8_FAKE_TOKEN", base_url=sys.argv[1], max_retries=0) as client:
        print((await client.complete("a" * 64, "Hi")).text)

asyncio.run(main())
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
        record = {"id": "p", "status": "succeeded", "output": ["over ", "TLS"], "metrics": {"a": 1}}
        return web.json_response(record, status=201)

    app = web.Application()
    app.add_routes([web.post("/v1/predictions", create)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    yield f"https://localhost:{port}", tmp_path / "ca.pem"
    await runner.cleanup()


async def run_program(origin: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", PROGRAM, origin],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_certificate_that_the_platform_trusts_is_accepted(
    tls_service: tuple[str, Path],
) -> None:
    origin, authority = tls_service
    done = await run_program(origin, SSL_CERT_FILE=str(authority))
    assert (done.stdout, done.returncode) == ("over TLS\n", 0)


async def test_a_certificate_that_it_does_not_trust_is_refused(
    tls_service: tuple[str, Path],
) -> None:
    done = await run_program(tls_service[0])
    assert done.returncode == 1
    assert "TLS certificate" in done.stderr
    assert "r8_FAKE_TOKEN" not in done.stderr

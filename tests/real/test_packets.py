"""Packets that are dropped between the stream server and its readers, in a network namespace."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.real.surfaces import SURFACES, Ask, choose

if TYPE_CHECKING:
    from tests.real.conftest import Nginx, Service

MODEL = "nginx/nchan"
WORDS = [f" w{i}" for i in range(20)]
TEXT = "".join(WORDS)

Serve = Callable[..., Awaitable["Service"]]
MakeNginx = Callable[..., "Nginx"]


@pytest.fixture(params=SURFACES.values(), ids=list(SURFACES))
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen


class Namespace:
    """A network namespace that is reached over a pair of virtual devices.

    Attributes:
        runner: Runs a program in it.
        host: Its address.
    """

    def __init__(self, number: int) -> None:
        self._name = f"rs{number}"
        # `ip netns exec` would mount /sys anew, which fails while another worker does so.
        self.runner = ["nsenter", f"--net=/run/netns/{self._name}"]
        self.host = f"10.213.{number % 250}.2"
        self._outside = f"10.213.{number % 250}.1"

    def open(self) -> None:
        outer, inner = f"{self._name}o", f"{self._name}i"
        _run("ip", "netns", "add", self._name)
        _run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", self._name)
        _run("ip", "address", "add", f"{self._outside}/24", "dev", outer)
        _run("ip", "link", "set", outer, "up")
        _run(*self.runner, "ip", "address", "add", f"{self.host}/24", "dev", inner)
        _run(*self.runner, "ip", "link", "set", inner, "up")
        self.drop(9, probability=0.1)
        self.restore()

    def drop(self, port: int, probability: float | None = None) -> None:
        """Drop packets to and from a port: all of them, or some."""
        share = ["-m", "statistic", "--mode", "random", "--probability", str(probability)]
        for chain, side in (("INPUT", "--dport"), ("OUTPUT", "--sport")):
            rule = ["-A", chain, "-p", "tcp", side, str(port), *(share if probability else [])]
            _run(*self.runner, "iptables", *rule, "-j", "DROP")

    def restore(self) -> None:
        _run(*self.runner, "iptables", "-F")

    def close(self) -> None:
        # The namespace lives on as long as a connection in it: so its devices are deleted too.
        for command in (["link", "delete", f"{self._name}o"], ["netns", "delete", self._name]):
            subprocess.run(["ip", *command], stderr=subprocess.DEVNULL, check=False)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{' '.join(command)}: {error.stderr.strip()}") from error


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    # A kernel, or a container, may lack any of it, so these tests may skip in CI too.
    for program in ("ip", "iptables", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install iproute2 iptables util-linux")
    if os.geteuid():
        pytest.skip("needs root, to make a network namespace")
    namespace = Namespace(os.getpid() % 10_000)
    try:
        namespace.open()
    except RuntimeError as error:
        namespace.close()
        pytest.skip(f"this machine cannot drop packets in a namespace: {error}")
    yield namespace
    namespace.close()


async def start(namespace: Namespace, make_nginx: MakeNginx, serve: Serve) -> tuple[Service, int]:
    server = make_nginx(10, runner=namespace.runner, host=namespace.host)
    service = await serve(server.origin, server.publish_origin)
    service.script = [(0.05, word) for word in WORDS]
    return service, server.port


@pytest.mark.parametrize("probability", choose([0.3], [0.1, 0.3]))
async def test_lost_packets_delay_an_answer_and_take_nothing_from_it(
    namespace: Namespace, make_nginx: MakeNginx, serve: Serve, ask: Ask, probability: float
) -> None:
    service, port = await start(namespace, make_nginx, serve)
    namespace.drop(port, probability)
    assert await ask(service.base_url, MODEL) == TEXT
    assert (service.creates, service.cancels) == (1, [])


async def test_a_connection_that_is_silent_for_a_while_is_waited_for(
    namespace: Namespace, make_nginx: MakeNginx, serve: Serve, ask: Ask
) -> None:
    service, port = await start(namespace, make_nginx, serve)

    async def interrupt(index: int) -> None:
        if index == 5:
            await asyncio.to_thread(namespace.drop, port)
        if index == 15:
            await asyncio.to_thread(namespace.restore)

    service.on_token = interrupt
    assert await ask(service.base_url, MODEL) == TEXT
    assert (service.creates, service.cancels) == (1, [])


async def test_a_connection_that_stays_silent_costs_the_timeout_and_no_text(
    namespace: Namespace, make_nginx: MakeNginx, serve: Serve, ask: Ask
) -> None:
    service, port = await start(namespace, make_nginx, serve)

    async def interrupt(index: int) -> None:
        if index == 5:
            await asyncio.to_thread(namespace.drop, port)

    service.on_token = interrupt
    assert await asyncio.wait_for(ask(service.base_url, MODEL, timeout=2), 30) == TEXT
    assert (service.creates, service.cancels) == (1, [])

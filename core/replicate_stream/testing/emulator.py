"""The emulator as a test sees it: two servers in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from itertools import count
from types import TracebackType
from typing import Any

from replicate_stream._api.models import forget_models
from replicate_stream.testing.server.faults import Fault
from replicate_stream.testing.server.listener import Listener
from replicate_stream.testing.server.prediction import EmulatedPrediction
from replicate_stream.testing.server.replies import Script
from replicate_stream.testing.server.routes import Api
from replicate_stream.testing.server.schemas import (
    DEFAULT_MODEL,
    TEXT_INPUT,
    TEXT_STREAM,
    openapi_schema,
)
from replicate_stream.testing.server.state import Behaviour, RateLimit, RecordedRequest, State
from replicate_stream.testing.server.streams import Streams

FAKE_TOKEN = "r8_FAKE_TOKEN_FOR_TESTS"  # noqa: S105 - opens nothing but an emulator


# Addresses that can be listened on and not be connected to.
_REACHABLE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound here


class Emulator:
    """Replicate on this machine: the API on one port, the event streams on another.

        with Emulator(["Hello", " state"]) as emulator:
            client = Client(emulator.token, base_url=emulator.base_url)

    It may be started once, and everything about it may be used from any thread.

    Attributes:
        model: The name of the official text model that every emulator knows.
    """

    model = DEFAULT_MODEL

    def __init__(
        self,
        reply: Script = None,
        *,
        models: Mapping[str, Mapping[str, Any] | None] | None = None,
        token: str | None = None,
        idle_timeout: float = 30.0,
        token_delay: float = 0.0,
        boot_time: float = 0.0,
        finish_lag: int = 0,
        replay: bool = True,
        rate_limit: tuple[int, float] | RateLimit | None = None,
        shows_is_official: bool = True,
        port: int = 0,
        stream_port: int = 0,
        one_port: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        """Describe an emulator; entering it, or `start`, starts it.

        Args:
            reply: What predictions answer: a text, a list of tokens, a `Reply`, or a function that
                gets the input and gives one of these, or an (async) iterator of tokens. A function
                that is not async runs in a thread of its own. None answers by a script.
            models: Further official models: their names and input schemas, None for the default's.
            token: The only API token that it accepts; None for a fake one, empty for no check.
            idle_timeout: Seconds without an event until it closes a stream, 30 on the real service.
            token_delay: Seconds before each token.
            boot_time: Seconds for which a prediction is `starting`.
            finish_lag: For how many GETs a record goes on saying `processing` after the end.
            replay: Whether a stream is sent from its oldest event, or from the one after
                `Last-Event-ID`. If not, a listener only gets what is made while it listens.
            rate_limit: How many creations in how many seconds.
            shows_is_official: Whether the records of models say if they are official.
            port: The API's port, 0 for one that the system chooses.
            stream_port: The event streams' port, likewise.
            one_port: Serve the event streams on the API's port.
            host: The address to listen on.
        """
        self._state = State(
            FAKE_TOKEN if token is None else token,
            Behaviour(
                reply,
                idle_timeout,
                token_delay,
                boot_time,
                finish_lag,
                replay,
                RateLimit(*rate_limit) if rate_limit else None,
                shows_is_official,
            ),
        )
        self._host = host
        self._ports = (port, stream_port)
        self._one_port = one_port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self.add_model(DEFAULT_MODEL, official=True)
        for name, schema in (models or {}).items():
            self.add_model(name, schema, official=True)

    # Its life

    def start(self) -> Emulator:
        """Start listening; returns when both ports are open.

        Raises:
            OSError: A port is taken.
            RuntimeError: It was started before.
        """
        if self._thread is not None:
            raise RuntimeError("an emulator can be started once only; make another one")
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(started)),
            name="replicate-emulator",
            daemon=True,
        )
        self._thread.start()
        started.result()
        forget_models(self.base_url)
        return self

    def stop(self) -> None:
        """Drop every connection, end every prediction, close the ports. Stopping twice is fine."""
        loop, stopping, thread = self._loop, self._stopping, self._thread
        if loop is not None and stopping is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(stopping.set)
            thread.join()

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Emulator:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

    async def _main(self, started: Future[None]) -> None:
        state, numbers = self._state, count(1)
        api = Listener("api", state, Api(state, streams=self._one_port).route, numbers)
        streams = Listener("stream", state, Streams(state).route, numbers)
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        try:
            port = await api.open(self._host, self._ports[0])
            state.api_base = state.stream_base = self._origin(port)
            if not self._one_port:
                port = await streams.open(self._host, self._ports[1])
                state.stream_base = self._origin(port)
        except OSError as error:
            await api.close()
            started.set_exception(error)
            return
        started.set_result(None)
        await self._stopping.wait()
        await api.close()
        await streams.close()
        await state.stop()

    def _origin(self, port: int) -> str:
        host = _REACHABLE.get(self._host, self._host)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    # Where it is

    @property
    def base_url(self) -> str:
        """The API's address, `http://127.0.0.1:PORT/v1`."""
        return f"{self._started().api_base}/v1"

    @property
    def stream_origin(self) -> str:
        """Where the event streams are, `http://127.0.0.1:PORT`."""
        return self._started().stream_base

    @property
    def token(self) -> str:
        """A token that it accepts."""
        return self._state.token or FAKE_TOKEN

    def _started(self) -> State:
        if not self._state.api_base:
            raise RuntimeError("the emulator was not started: use `with Emulator() as emulator`")
        return self._state

    # What it does

    @property
    def reply(self) -> Script:
        """What predictions answer that are created from now on; see `Emulator`."""
        return self._state.behaviour.reply

    @reply.setter
    def reply(self, reply: Script) -> None:
        self._state.behaviour.reply = reply

    @property
    def behaviour(self) -> Behaviour:
        """The settings that it was made with, to be changed while it runs."""
        return self._state.behaviour

    def enqueue(self, reply: Script) -> None:
        """Set what one prediction answers: the next one, or the one after those enqueued before."""
        with self._state.condition.change():
            self._state.scripts.append(reply)

    def fault(self, fault: Fault, times: int | None = 1) -> None:
        """Let something go wrong with the next `times` requests of a kind; with all if None."""
        with self._state.condition.change():
            self._state.faults.add(fault, times)

    def clear_faults(self) -> None:
        """Forget the faults that have not happened yet."""
        with self._state.condition.change():
            self._state.faults.clear()

    def add_model(
        self,
        name: str,
        input_schema: Mapping[str, Any] | None = None,
        *,
        output_schema: Mapping[str, Any] | None = None,
        official: bool = False,
        version: str | None = None,
        latest: bool = True,
        default_example: Mapping[str, Any] | None = None,
        components: Mapping[str, Any] | None = None,
        file_stream: bool = False,
    ) -> str:
        """Add a model, or a further version of one.

        Args:
            name: `owner/name`.
            input_schema: The JSON Schema of the input; None for that of the default model.
            output_schema: That of the output; None for a text stream.
            official: Whether it runs under its own path; else it must be run by version.
            version: The version's 64 hex digits; made up if None.
            latest: Whether the version becomes the model's latest one.
            default_example: The prediction that its page shows.
            components: Further schemas that the input's `$ref`s point at, by name.
            file_stream: Whether an output that is no text has a stream under `/v1/files/`.

        Returns:
            The version.
        """
        openapi = openapi_schema(
            TEXT_INPUT if input_schema is None else input_schema,
            TEXT_STREAM if output_schema is None else output_schema,
            components or {},
        )
        with self._state.condition.change():
            added = self._state.catalogue.add(
                name,
                openapi,
                official=official,
                version=version,
                latest=latest,
                default_example=default_example,
                file_stream=file_stream,
            )
        return added.id

    def add_deployment(self, name: str, model: str) -> None:
        """Add a deployment of a model's latest version; both names as `owner/name`."""
        with self._state.condition.change():
            self._state.catalogue.add_deployment(name, model)

    def expire(self, prediction_id: str) -> None:
        """Let a prediction's hour pass: its data and its stream's events are gone."""
        with self._state.condition.change():
            self._state.predictions[prediction_id].expire()

    # What happened

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request so far, in the order of arrival; event streams included."""
        with self._state.condition.read():
            return list(self._state.requests)

    @property
    def predictions(self) -> dict[str, EmulatedPrediction]:
        """Every prediction by its id, in the order of creation."""
        with self._state.condition.read():
            return dict(self._state.predictions)

    @property
    def cancels(self) -> list[str]:
        """The prediction's id for each cancel request that arrived."""
        with self._state.condition.read():
            return list(self._state.cancels)

    @property
    def streams_open(self) -> int:
        """How many listeners of event streams are connected."""
        return self._state.streams_open

    def wait_for(self, predicate: Callable[[Emulator], object], timeout: float = 5.0) -> None:
        """Block until something is true of this emulator.

        Raises:
            AssertionError: It was not within `timeout` seconds.
        """
        if not self._state.condition.wait(lambda: bool(predicate(self)), timeout):
            raise AssertionError(self._missed(timeout))

    async def wait_for_async(
        self, predicate: Callable[[Emulator], object], timeout: float = 5.0
    ) -> None:
        """`wait_for` for a coroutine, whose event loop goes on meanwhile."""
        if not await self._state.condition.wait_async(lambda: bool(predicate(self)), timeout):
            raise AssertionError(self._missed(timeout))

    def _missed(self, timeout: float) -> str:
        statuses = [prediction.status for prediction in self.predictions.values()]
        return (
            f"not true within {timeout:g} s; the emulator has had {len(self.requests)} requests "
            f"({len(self.cancels)} to cancel), has {self.streams_open} open streams, and its "
            f"predictions are {statuses}"
        )

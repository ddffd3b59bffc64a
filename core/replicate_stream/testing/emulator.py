"""`Emulator`: Replicate's API and its event streams, served from a thread of this process."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from replicate_stream._api.models import forget_models
from replicate_stream.testing import hashing_embedder
from replicate_stream.testing.embedder import INPUT_SCHEMA, OUTPUT_SCHEMA, Embedder
from replicate_stream.testing.server.catalogue import Version
from replicate_stream.testing.server.faults import Fault
from replicate_stream.testing.server.listener import Listener
from replicate_stream.testing.server.prediction import EmulatedPrediction
from replicate_stream.testing.server.replies import Script
from replicate_stream.testing.server.routes import ApiRoutes, StreamRoutes
from replicate_stream.testing.server.schemas import DEFAULT_MODEL, build_openapi_schema
from replicate_stream.testing.server.state import Behaviour, RateLimit, RecordedRequest, State

FAKE_TOKEN = "r8_FAKE_TOKEN_FOR_TESTS"  # noqa: S105 - valid for an emulator only

# A server can listen on these addresses, but a client cannot connect to them.
_REACHABLE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound here


_LARGEST_PORT = 65535


class Emulator:
    """Replicate on this machine: the API on one port, the event streams on another.

        with Emulator(["Hello", " world"]) as emulator:
            client = Client(emulator.token, base_url=emulator.base_url)

    It can be started once. All of it can be used from any thread.

    Attributes:
        model: Name of the official text model that every emulator has.
        embedding_model: Name of the official embedding model that every emulator has; it is a
            `HashingEmbedder`.
    """

    model = DEFAULT_MODEL
    embedding_model = hashing_embedder.MODEL

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
        """Configure an emulator. Entering it, or `start`, starts it.

        Args:
            reply: The reply of predictions: a text, a list of tokens, a `Reply`, or a function of
                the input that returns one of these or an (async) iterator of tokens. A function
                that is not async runs in a thread of its own. None for a scripted default.
            models: Further official models: names and input schemas, None for the default schema.
            token: The only valid API token; None for a fake one, empty to accept all requests.
            idle_timeout: Seconds without an event after which a stream is closed; the real
                service has 30.
            token_delay: Seconds before each token.
            boot_time: Seconds for which a prediction is `starting`.
            finish_lag: Number of GETs whose record still shows `processing` after the end.
            replay: Send a stream from its oldest event, or from the one after `Last-Event-ID`. If
                false, a subscriber receives only the events that are made while it is connected.
            rate_limit: The most creations of a token, and the seconds in which they may happen.
            shows_is_official: Include `is_official` in the records of models.
            port: Port of the API; 0 lets the system choose one.
            stream_port: Port of the event streams; 0 lets the system choose one.
            one_port: Serve the event streams on the API's port.
            host: The address to listen on.

        Raises:
            ValueError: A port, or the name of a model, is invalid.
        """
        for name, number in (("port", port), ("stream_port", stream_port)):
            if not 0 <= number <= _LARGEST_PORT:
                raise ValueError(f"{name} is {number}; it must be 0 to {_LARGEST_PORT}")
        behaviour = Behaviour(
            reply,
            idle_timeout,
            token_delay,
            boot_time,
            finish_lag,
            replay,
            rate_limit,  # type: ignore[arg-type]  # a tuple is converted
            shows_is_official,
        )
        self._state = State(FAKE_TOKEN if token is None else token, behaviour)
        self._host = host
        self._ports = (port, stream_port)
        self._one_port = one_port
        self._thread: threading.Thread | None = None
        self._request_stop: Callable[[], object] | None = None
        self.add_model(DEFAULT_MODEL, official=True)
        self.add_embedding_model(self.embedding_model, official=True)
        for name, schema in (models or {}).items():
            self.add_model(name, schema, official=True)

    # Start and stop

    def start(self) -> Emulator:
        """Start to listen; returns once both ports are open.

        Raises:
            OSError: A port is taken, or the host is not one of this machine's.
            UnicodeError: No host can have this name.
            RuntimeError: It was started before.
        """
        if self._thread is not None:
            raise RuntimeError("an emulator can be started once only; make another one")
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._serve(started),), name="replicate-emulator", daemon=True
        )
        self._thread.start()
        try:
            started.result()
        except Exception:
            # The loop's own threads end with it: left alone, they would fail as the program ends.
            self._thread.join()
            raise
        # An emulator before this one may have had the same port, and other models.
        forget_models(self.base_url)
        return self

    def stop(self) -> None:
        """Drop all connections, end all predictions, close the ports. May be called twice."""
        if self._thread is not None and self._thread.is_alive() and self._request_stop is not None:
            self._request_stop()
            self._thread.join()

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Emulator:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    async def _serve(self, started: Future[None]) -> None:
        state, streams = self._state, StreamRoutes(self._state)
        routes = ApiRoutes(state, streams if self._one_port else None)
        api_listener = Listener("api", state, routes.route)
        stream_listener = Listener("stream", state, streams.route)
        loop, stop_event = asyncio.get_running_loop(), asyncio.Event()
        self._request_stop = partial(loop.call_soon_threadsafe, stop_event.set)
        try:
            port = await api_listener.open(self._host, self._ports[0])
            state.api_base = state.stream_base = self._build_origin(port)
            if not self._one_port:
                port = await stream_listener.open(self._host, self._ports[1])
                state.stream_base = self._build_origin(port)
            started.set_result(None)
            await stop_event.wait()
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)  # `start` waits for it, whatever it is
        await api_listener.close()
        await stream_listener.close()
        await state.stop()

    def _build_origin(self, port: int) -> str:
        host = _REACHABLE.get(self._host, self._host)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    # Addresses

    @property
    def base_url(self) -> str:
        """The API's address, `http://127.0.0.1:PORT/v1`."""
        return f"{self._get_started_state().api_base}/v1"

    @property
    def stream_origin(self) -> str:
        """The origin of the event streams, `http://127.0.0.1:PORT`."""
        return self._get_started_state().stream_base

    @property
    def token(self) -> str:
        """A valid token."""
        return self._state.token or FAKE_TOKEN

    def _get_started_state(self) -> State:
        if not self._state.api_base:
            raise RuntimeError("the emulator was not started: use `with Emulator() as emulator`")
        return self._state

    # Behaviour

    @property
    def reply(self) -> Script:
        """The reply of predictions that are created from now on; see `Emulator`.

        Models with a reply of their own, such as the embedding model, keep it.
        """
        return self._state.behaviour.reply

    @reply.setter
    def reply(self, reply: Script) -> None:
        self._state.behaviour.reply = reply

    @property
    def behaviour(self) -> Behaviour:
        """The settings that it was made with, which can be changed while it runs."""
        return self._state.behaviour

    def enqueue(self, reply: Script) -> None:
        """Set the reply of one prediction: the next one that has no enqueued reply yet.

        Predictions of models with a reply of their own are passed over.
        """
        with self._state.change():
            self._state.scripts.append(reply)

    def fault(self, fault: Fault, times: int | None = 1) -> None:
        """Apply a fault to the next `times` requests of its kind; to all of them if None.

        Raises:
            ValueError: `times` is less than 1.
        """
        if times is not None and times < 1:
            raise ValueError(f"times is {times}; it must be 1 or more, or None for always")
        with self._state.change():
            self._state.faults.append((fault, times))

    def clear_faults(self) -> None:
        """Drop all faults that have not happened yet."""
        with self._state.change():
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
        description: str | None = None,
        reply: Script = None,
    ) -> str:
        """Add a model, or a further version of one.

        Args:
            name: `owner/name`.
            input_schema: JSON Schema of the input; None for the default model's.
            output_schema: JSON Schema of the output; None for a text stream.
            official: Run it under its own path; else it must be run by version.
            version: The version's 64 hex digits; None for random ones.
            latest: Make the version the model's latest one.
            default_example: The prediction that its page shows.
            components: Further schemas, by name, for the `$ref`s of the input.
            file_stream: Serve a stream under `/v1/files/` for an output that is not text.
            description: A sentence about the model, in which a search looks too.
            reply: The reply of the model's predictions, as for `Emulator`; None for the emulator's.

        Returns:
            The version.

        Raises:
            ValueError: The name or the version has a wrong form.
        """
        openapi = build_openapi_schema(input_schema, output_schema, components)
        added = Version(version or secrets.token_hex(32), name, openapi, file_stream)
        with self._state.change():
            model = self._state.catalogue.add_version(added, is_latest=latest)
            model.is_official = official
            model.default_example = default_example or model.default_example
            model.description = description or model.description
            model.reply = reply if reply is not None else model.reply
        return added.id

    def add_embedding_model(
        self, name: str, *, official: bool = False, embedder: Embedder | None = None
    ) -> str:
        """Add a model with the interface of multilingual-e5-large.

        Args:
            name: `owner/name`.
            official: As for `add_model`, and so is the returned version.
            embedder: Makes the vectors: a `HashingEmbedder`, which None stands for, or a
                `LocalEmbedder`, a real model.

        Raises:
            ValueError: The name has a wrong form.
        """
        return self.add_model(
            name,
            INPUT_SCHEMA,
            output_schema=OUTPUT_SCHEMA,
            official=official,
            reply=embedder or hashing_embedder.HashingEmbedder(),
        )

    def add_deployment(self, name: str, model: str) -> None:
        """Add a deployment of a model's latest version; both names have the form `owner/name`.

        Raises:
            ValueError: A name has a wrong form, or the model is unknown or has no latest version.
        """
        with self._state.change():
            self._state.catalogue.add_deployment(name, model)

    def expire(self, prediction_id: str) -> None:
        """Remove a prediction's data and its stream's events, as the service does in an hour."""
        with self._state.change():
            self._state.predictions[prediction_id].expire()

    # Records

    @property
    def requests(self) -> list[RecordedRequest]:
        """All requests so far, in the order of arrival; event streams included."""
        with self._state.condition:
            return list(self._state.requests)

    @property
    def predictions(self) -> dict[str, EmulatedPrediction]:
        """All predictions by id, in the order of creation."""
        with self._state.condition:
            return dict(self._state.predictions)

    @property
    def cancels(self) -> list[str]:
        """The prediction's id for each cancel request that arrived."""
        with self._state.condition:
            return list(self._state.cancels)

    @property
    def streams_open(self) -> int:
        """Number of connections to event streams that are open now."""
        return self._state.streams_open

    def wait_for(self, predicate: Callable[[Emulator], object], timeout: float = 5.0) -> None:
        """Block until a predicate of this emulator is true.

        Raises:
            AssertionError: It was not true within `timeout` seconds.
        """
        with self._state.condition:
            if self._state.condition.wait_for(lambda: predicate(self), timeout):
                return
            statuses = [prediction.status for prediction in self.predictions.values()]
            raise AssertionError(
                f"not true within {timeout:g} s; the emulator has had {len(self.requests)} "
                f"requests ({len(self.cancels)} to cancel), has {self.streams_open} open streams, "
                f"and its predictions are {statuses}"
            )

    async def wait_for_async(
        self, predicate: Callable[[Emulator], object], timeout: float = 5.0
    ) -> None:
        """Wait as `wait_for` does, in a thread, so that the event loop is not blocked."""
        await asyncio.to_thread(self.wait_for, predicate, timeout)

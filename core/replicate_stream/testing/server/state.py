"""The state that both servers share: models, requests, predictions, and a lock to wait on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, NamedTuple

from replicate_stream.testing.server.catalogue import Catalogue
from replicate_stream.testing.server.faults import Fault, Kind
from replicate_stream.testing.server.http import Request
from replicate_stream.testing.server.prediction import EmulatedPrediction
from replicate_stream.testing.server.replies import Reply, Script, run_script

_YIELD_INTERVAL = 64
"""Number of tokens without a delay after which other tasks get a turn."""
_CREATIONS_PER_MINUTE = 600  # docs/replicate-api.md 1.5


class RateLimit(NamedTuple):
    """The most creations within a time; a bare tuple of the first two fields will do.

    Attributes:
        requests: Number of creations.
        seconds: The time.
        retry_after: Whether a 429 has the header `Retry-After`, which no recorded reply shows.
        wording: The body of the 429: `current` (since 2025, with `retry_after`) or `documented`.
        burst: The most creations at once, of which one becomes possible again after each
            `seconds / requests`; None for any `requests` creations within `seconds`.
        rounds_down: Whether the wait is rounded down to whole seconds, so that it can be 0.
    """

    requests: int
    seconds: float
    retry_after: bool = False
    wording: Literal["current", "documented"] = "current"
    burst: int | None = None
    rounds_down: bool = False


@dataclass(frozen=True)
class RecordedRequest(Request):
    """A request that arrived. Its `repr` shows neither its token nor its prompt.

    Attributes:
        at: Time of arrival, by `time.monotonic`.
        connection: The connection's number, equal for requests that shared one.
        server: The server that it came to: `api` or `stream`.
        kind: Its purpose.
    """

    at: float
    connection: int
    server: str
    kind: Kind


@dataclass(slots=True)
class Behaviour:
    """The settings of an emulator that can be changed while it runs; see `Emulator`.

    `lists_inputs` is for clients that must not count on `input` in a list of predictions.
    """

    reply: Script = None
    idle_timeout: float = 30.0
    token_delay: float = 0.0
    boot_time: float = 0.0
    finish_lag: int = 0
    replay: bool = True
    rate_limit: RateLimit | None = None
    shows_is_official: bool = True
    lists_inputs: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field; a tuple will do for a `RateLimit`."""
        if name == "rate_limit" and value is not None and not isinstance(value, RateLimit):
            value = RateLimit(*value)
        object.__setattr__(self, name, value)


@dataclass(slots=True)
class State:
    """All that the two servers share.

    Parts that a test can see or set are changed only within `change()`.
    """

    token: str
    behaviour: Behaviour
    catalogue: Catalogue = field(default_factory=Catalogue)
    condition: threading.Condition = field(default_factory=threading.Condition)
    faults: list[tuple[Fault, int | None]] = field(default_factory=list)
    scripts: deque[Script] = field(default_factory=deque)
    requests: list[RecordedRequest] = field(default_factory=list)
    predictions: dict[str, EmulatedPrediction] = field(default_factory=dict)
    cancels: list[str] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    streams_open: int = 0
    api_base: str = ""
    stream_base: str = ""
    _streams: dict[str, EmulatedPrediction] = field(default_factory=dict)
    _creation_times: defaultdict[str, deque[float]] = field(
        default_factory=lambda: defaultdict(deque)
    )
    connection_numbers: count[int] = field(default_factory=lambda: count(1))

    @contextmanager
    def change(self) -> Iterator[None]:
        """Hold the lock during a change, then wake all who wait for one."""
        with self.condition:
            yield
            self.condition.notify_all()

    def run(self, prediction: EmulatedPrediction, deadline: float | None) -> None:
        """Run a new prediction, whether or not its stream is read.

        Args:
            prediction: The prediction.
            deadline: Seconds after which it is ended; None for no end.
        """
        with self.change():
            script = self._choose_script(prediction.model)
            if isinstance(script, Reply):
                prediction.reply = script
            self.predictions[prediction.id] = prediction
            self._streams[prediction.stream_id] = prediction
        loop = asyncio.get_running_loop()
        task = prediction.task = loop.create_task(self._run_script(prediction, script))
        if deadline is not None:
            timer = loop.call_later(deadline, self._enforce_deadline, prediction)
            task.add_done_callback(lambda _: timer.cancel())

    def _choose_script(self, model: str) -> Script:
        own = self.catalogue.models[model].reply
        if own is not None:
            return own
        return self.scripts.popleft() if self.scripts else self.behaviour.reply

    def cancel(self, prediction: EmulatedPrediction) -> None:
        """Cancel a prediction on request; one that has ended stays unchanged."""
        with self.change():
            prediction.cancels += 1
            self.cancels.append(prediction.id)
        self._stop(prediction, "canceled")

    def build_record(
        self, prediction: EmulatedPrediction, shows: str | None = None
    ) -> dict[str, Any]:
        """Build the record that the API shows, with the status `shows` instead of the true one."""
        version = prediction.version
        own = f"{self.api_base}/v1/predictions/{prediction.id}"
        urls = {"cancel": f"{own}/cancel", "get": own}
        # Only text and files have streams, under different paths (docs/replicate-api.md 2.7).
        if version.streams_text:
            urls["stream"] = f"{self.stream_base}/v1/streams/{prediction.stream_id}"
        elif version.file_stream:
            urls["stream"] = f"{self.stream_base}/v1/files/{prediction.stream_id}"
        urls["web"] = f"https://replicate.com/p/{prediction.id}"
        return prediction.build_record(urls, shows=shows)

    def find_stream(self, stream_id: str) -> EmulatedPrediction | None:
        """Find the prediction that a stream belongs to; None for an unknown stream."""
        return self._streams.get(stream_id)

    def count_creation(self, limit: RateLimit, token: str) -> float | None:
        """Count a creation; return the seconds to wait if it is above the limit, else None."""
        times, now = self._creation_times[token], time.monotonic()
        if limit.burst is None:
            while times and now - times[0] >= limit.seconds:
                times.popleft()
            if len(times) >= limit.requests:
                return times[0] + limit.seconds - now
            times.append(now)
            return None
        # One time for each creation that still takes up room in the bucket: when it is gone.
        interval = limit.seconds / limit.requests
        while times and times[0] <= now:
            times.popleft()
        if len(times) >= limit.burst:
            return times[0] - now
        times.append(max(now, times[-1] if times else now) + interval)
        return None

    def count_creations_left(self, token: str) -> int:
        """Count the creations that the rate limit allows before the next wait."""
        limit = self.behaviour.rate_limit
        if limit is None:
            return _CREATIONS_PER_MINUTE - 1
        return (limit.burst or limit.requests) - len(self._creation_times[token])

    async def stop(self) -> None:
        """End all predictions that still run."""
        tasks = [prediction.task for prediction in self.predictions.values() if prediction.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self, prediction: EmulatedPrediction, status: str) -> None:
        with self.change():
            prediction.end(status)
        if prediction.task is not None:
            prediction.task.cancel()

    def _enforce_deadline(self, prediction: EmulatedPrediction) -> None:
        # `aborted` if the deadline comes before the start (docs/replicate-api.md 2.5).
        self._stop(prediction, "aborted" if prediction.status == "starting" else "canceled")

    async def _run_script(self, prediction: EmulatedPrediction, script: Script) -> None:
        await asyncio.sleep(self.behaviour.boot_time)
        with self.change():
            prediction.start()
        try:
            async with run_script(script, prediction.input) as (reply, tokens):
                prediction.reply = reply
                async for token in tokens:
                    await self._wait_for_turn(prediction)
                    with self.change():
                        prediction.add(token)
        except Exception as error:  # noqa: BLE001 - a model that raises is a failed prediction
            status, text = "failed", str(error) or type(error).__name__
        else:
            status, text = reply.final_status, reply.error or ""
        with self.change():
            prediction.lag = self.behaviour.finish_lag
            prediction.end(status, text or None)

    async def _wait_for_turn(self, prediction: EmulatedPrediction) -> None:
        delays, made = prediction.reply.delays, len(prediction.tokens)
        if isinstance(delays, Sequence):
            delay = delays[made] if made < len(delays) else 0.0
        else:
            delay = self.behaviour.token_delay if delays is None else delays
        # A delay of 0 seconds still yields to the event loop, which is needed now and then only.
        if delay > 0 or made % _YIELD_INTERVAL == 0:
            await asyncio.sleep(delay)

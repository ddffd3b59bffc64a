"""The state behind the doors: what is known, what was asked, what is running."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, NamedTuple

from replicate_stream.testing.server.catalogue import Catalogue, Version
from replicate_stream.testing.server.condition import StateCondition
from replicate_stream.testing.server.faults import FaultQueue, Kind
from replicate_stream.testing.server.prediction import EmulatedPrediction
from replicate_stream.testing.server.replies import Reply, Script
from replicate_stream.testing.server.tokens import play

_BREATHER = 64
"""After how many tokens without a delay everybody else gets a turn."""


class RateLimit(NamedTuple):
    """How many creations in how many seconds; a bare tuple of the first two will do.

    Attributes:
        requests: How many.
        seconds: In which time.
        retry_after: Whether a 429 carries the header `Retry-After`, which no recording shows.
        wording: The body of the 429: `current` (2025 on, with `retry_after`) or `documented`.
    """

    requests: int
    seconds: float
    retry_after: bool = False
    wording: Literal["current", "documented"] = "current"


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request that arrived. Its `repr` shows neither its token nor its prompt.

    Attributes:
        method: E.g. `POST`.
        path: Without the query.
        query: The query's fields.
        headers: By lower-case name.
        body: As it came.
        json: The decoded body, None if it is not JSON.
        at: When, as `time.monotonic` says it.
        connection: The connection's number, equal for requests that shared one.
        server: Which of the two servers it came to.
        kind: What it was for.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    json: Any = field(repr=False)
    at: float
    connection: int
    server: str
    kind: Kind


@dataclass(slots=True)
class Behaviour:
    """What an emulator was told about how to behave; see `Emulator`."""

    reply: Script = None
    idle_timeout: float = 30.0
    token_delay: float = 0.0
    boot_time: float = 0.0
    finish_lag: int = 0
    replay: bool = True
    rate_limit: RateLimit | None = None
    shows_is_official: bool = True


@dataclass(slots=True)
class State:
    """Everything that the two servers share.

    What a test can see or set is changed under the lock of `condition` only.
    """

    token: str
    behaviour: Behaviour
    catalogue: Catalogue = field(default_factory=Catalogue)
    condition: StateCondition = field(default_factory=StateCondition)
    faults: FaultQueue = field(default_factory=FaultQueue)
    scripts: deque[Script] = field(default_factory=deque)
    requests: list[RecordedRequest] = field(default_factory=list)
    predictions: dict[str, EmulatedPrediction] = field(default_factory=dict)
    cancels: list[str] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    streams_open: int = 0
    api_base: str = ""
    stream_base: str = ""
    _recent: deque[float] = field(default_factory=deque)
    _numbers: count[int] = field(default_factory=count)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def create(
        self,
        version: Version,
        input_: Mapping[str, Any],
        *,
        deadline: float | None,
        echo: Mapping[str, Any],
        headers: Mapping[str, str],
    ) -> EmulatedPrediction:
        """Create a prediction and let it run, whether or not anybody will listen."""
        official = self.catalogue.is_official(version.model)
        prediction = EmulatedPrediction(
            version,
            input_,
            digits=2 + next(self._numbers) % 8,
            shown_version="hidden" if official else version.id,
            echo=echo,
            headers=headers,
        )
        with self.condition.change():
            script = self.scripts.popleft() if self.scripts else self.behaviour.reply
            if isinstance(script, Reply):
                prediction.reply = script
            self.predictions[prediction.id] = prediction
        task = asyncio.get_running_loop().create_task(self._run(prediction, script))
        prediction.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if deadline is not None:
            timer = asyncio.get_running_loop().call_later(deadline, self._miss, prediction)
            task.add_done_callback(lambda _: timer.cancel())
        return prediction

    def cancel(self, prediction: EmulatedPrediction) -> None:
        """End a prediction on request; one that is over stays as it is."""
        with self.condition.change():
            prediction.cancels += 1
            self.cancels.append(prediction.id)
        self._stop(prediction, "canceled")

    def urls(self, prediction: EmulatedPrediction) -> dict[str, str]:
        """Where a prediction is to be found; it has a stream only if its output can be one."""
        own = f"{self.api_base}/v1/predictions/{prediction.id}"
        urls = {"cancel": f"{own}/cancel", "get": own}
        if prediction.version.streams_text:
            urls["stream"] = f"{self.stream_base}/v1/streams/{prediction.stream_id}"
        elif prediction.version.file_stream:
            urls["stream"] = f"{self.stream_base}/v1/files/{prediction.stream_id}"
        return {**urls, "web": f"https://replicate.com/p/{prediction.id}"}

    def record(self, prediction: EmulatedPrediction, shows: str | None = None) -> dict[str, Any]:
        """What the API says of a prediction, with another status than the true one if given."""
        return prediction.record(self.urls(prediction), shows=shows)

    def find_stream(self, stream_id: str) -> EmulatedPrediction | None:
        """The prediction that a stream belongs to."""
        found = (p for p in self.predictions.values() if p.stream_id == stream_id)
        return next(found, None)

    def throttled(self) -> float | None:
        """Count a creation; the seconds to wait if it is one too many, else None."""
        limit = self.behaviour.rate_limit
        if limit is None:
            return None
        now = time.monotonic()
        while self._recent and now - self._recent[0] >= limit.seconds:
            self._recent.popleft()
        if len(self._recent) < limit.requests:
            self._recent.append(now)
            return None
        return self._recent[0] + limit.seconds - now

    def creations_left(self) -> int:
        """How many creations the rate limit allows before the next wait."""
        limit = self.behaviour.rate_limit
        return limit.requests - len(self._recent) if limit else 599

    async def stop(self) -> None:
        """End everything that runs."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _stop(self, prediction: EmulatedPrediction, status: str) -> None:
        with self.condition.change():
            prediction.end(status)
        if prediction.task is not None:
            prediction.task.cancel()

    def _miss(self, prediction: EmulatedPrediction) -> None:
        # CL-DEADLINE: `aborted` if the deadline comes before the start, else `canceled`.
        self._stop(prediction, "aborted" if prediction.status == "starting" else "canceled")

    async def _run(self, prediction: EmulatedPrediction, script: Script) -> None:
        await asyncio.sleep(self.behaviour.boot_time)
        with self.condition.change():
            prediction.start()
        try:
            async with play(script, prediction.input) as (reply, tokens):
                prediction.reply = reply
                async for token in tokens:
                    await self._pace(prediction)
                    with self.condition.change():
                        prediction.add(token)
        except Exception as error:  # noqa: BLE001 - a model that raises is a failed prediction
            status, text = "failed", str(error) or type(error).__name__
        else:
            status, text = reply.final_status, reply.error or ""
        with self.condition.change():
            prediction.lag = self.behaviour.finish_lag
            prediction.end(status, text or None)

    async def _pace(self, prediction: EmulatedPrediction) -> None:
        delays, made = prediction.reply.delays, len(prediction.tokens)
        if delays is None:
            delay = self.behaviour.token_delay
        elif isinstance(delays, (int, float)):
            delay = delays
        else:
            delay = delays[made] if made < len(delays) else 0.0
        if delay > 0 or made % _BREATHER == 0:
            await asyncio.sleep(delay)

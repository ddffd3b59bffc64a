"""The boot of a container, during which it has no schema and takes no prediction.

`GET /health-check` shows it (https://cog.run/http/#get-health-check). Until the model is ready,
Cog 0.23 answers a request for a stream with 406, as if the model could not stream, and any other
with 503; versions before 0.17 answer 409, as if they were busy.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from replicate_stream._api.http import Http
from replicate_stream._api.responses import parse_json_object
from replicate_stream._errors import ReplicateTimeoutError, ResponseError
from replicate_stream._types.prediction import Prediction, to_mapping

if TYPE_CHECKING:
    from replicate_stream._metering import Observation

_BOOTING = frozenset({"STARTING", "UNKNOWN"})
_DEAD = frozenset({"SETUP_FAILED", "DEFUNCT"})
_FIRST_INTERVAL, _MAX_INTERVAL = 0.05, 1.0
_EXCERPT_LENGTH = 300  # characters of the log of a setup that failed
_CHECK = "GET /health-check"


class CogBoot:
    """The wait for a model that boots, as a run without text.

    Args:
        http: Sends the requests.
        deadline_at: The deadline of the answer, in the running loop's time; None for no end.

    Attributes:
        prediction: No prediction yet: a record without an id.
        deadline_at: The argument.
        observation: See `Run`.
    """

    observation: Observation | None = None

    def __init__(self, http: Http, deadline_at: float | None) -> None:
        self.prediction = Prediction("", "starting")
        self.deadline_at = deadline_at
        self._http = http
        self._clock = asyncio.get_running_loop().time
        self._began_at = self._clock()

    async def stream(self) -> AsyncGenerator[list[str], None]:
        """Yield an empty list after each check, until the model is ready.

        Raises:
            ResponseError: The model's setup failed.
            ReplicateTimeoutError: It took longer than `timeout`, or the deadline has passed.
            ReplicateError: The container cannot be reached any more.
        """
        interval = _FIRST_INTERVAL
        while await is_booting(self._http, self._get_seconds_left()):
            yield []
            await asyncio.sleep(min(interval, self._get_seconds_left()))
            self._check_timeouts()
            interval = min(interval * 1.5, _MAX_INTERVAL)

    async def wait(self) -> None:
        """Wait until the model is ready. The errors are those of `stream`."""
        async with aclosing(self.stream()) as checks:
            async for _ in checks:
                pass

    async def cancel(self) -> None:
        """Do nothing: there is no prediction yet."""

    async def stop(self) -> None:
        """Do nothing, as `cancel`."""

    def leave_running(self) -> None:
        """Do nothing, as `cancel`."""

    def abandon(self) -> None:
        """Do nothing, as `cancel`."""

    def _get_seconds_left(self) -> float:
        ends = [math.inf if self.deadline_at is None else self.deadline_at]
        if self._http.settings.timeout is not None:
            ends.append(self._began_at + self._http.settings.timeout)
        return max(0.01, min(ends) - self._clock())

    def _check_timeouts(self) -> None:
        settings = self._http.settings
        if self.deadline_at is not None and self._clock() >= self.deadline_at:
            seconds = settings.deadline or 0.0
            problem = f"the model still boots at the deadline of {seconds:g} s"
        elif settings.timeout is not None and self._clock() - self._began_at >= settings.timeout:
            seconds = settings.timeout
            problem = f"the model still boots after {seconds:g} s; a larger timeout= waits longer"
        else:
            return
        raise ReplicateTimeoutError(
            f"{_CHECK}: {problem}", waited_for="the model's boot", seconds=seconds
        )


async def is_booting(http: Http, timeout: float = math.inf) -> bool:
    """Return True if the model of a container is not ready yet.

    Args:
        http: Sends the request.
        timeout: Seconds for each attempt, at most.

    Raises:
        ResponseError: The model's setup failed, and it will never be ready.
        ReplicateError: The container cannot be reached.
    """
    limits = (timeout, http.settings.timeout or math.inf)
    seconds = None if min(limits) == math.inf else min(limits)
    response = await http.request(
        "GET", "/health-check", timeout=seconds, accepted=(HTTPStatus.NOT_FOUND,)
    )
    if response.status == HTTPStatus.NOT_FOUND:  # something in front of the container hides it
        return False
    health = parse_json_object(response, _CHECK)
    status = str(health.get("status"))
    if status in _DEAD:
        raise _build_setup_error(status, health)
    return status in _BOOTING


def _build_setup_error(status: str, health: dict[str, Any]) -> ResponseError:
    logs = to_mapping(health.get("setup")).get("logs")
    end = logs.strip()[-_EXCERPT_LENGTH:] if isinstance(logs, str) else ""
    return ResponseError(
        f"{_CHECK}: the container's model cannot run ({status})" + (f": …{end}" if end else ""),
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        title=status,
        detail=end or None,
    )

"""An emulated prediction: what it is doing, its record, and the events of its stream."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from replicate_stream.testing.server.catalogue import Version
from replicate_stream.testing.server.events import Event, EventLog
from replicate_stream.testing.server.replies import UNSET, Piece, Reply, count_tokens

TERMINAL = frozenset({"succeeded", "failed", "canceled", "aborted"})
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(eq=False)
class EmulatedPrediction:
    """A prediction as the emulator sees it; `record` is what the API says of it.

    Attributes:
        id: 26 lower-case characters.
        input: The input as it was sent.
        model: The model that was asked for; `owner/name`.
        status: What it is doing in truth: the record may lag behind.
        tokens: The tokens made so far.
        error: The error that it failed with.
        cancels: How many cancel requests came for it.
        headers: The headers of the request that created it, names in lower case.
        created: When it was created, in nanoseconds of unix time.
        started: When the model began to work, None if it has not.
        completed: When it was over, None if it is not.
        stream_id: The last part of its stream's path, which is a secret on the real service.
    """

    version: Version = field(repr=False)
    input: Mapping[str, Any] = field(repr=False)
    digits: int
    shown_version: str
    echo: Mapping[str, Any] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    id: str = field(default_factory=lambda: _random_name(26))
    stream_id: str = field(default_factory=lambda: _random_name(52), repr=False)
    status: str = "starting"
    tokens: list[str] = field(default_factory=list, repr=False)
    error: str | None = None
    cancels: int = 0
    lag: int = 0
    data_removed: bool = False
    reply: Reply = field(default_factory=Reply, repr=False)
    created: int = field(default_factory=time.time_ns)
    started: int | None = None
    completed: int | None = None
    log: EventLog = field(default_factory=EventLog, repr=False)
    ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return self.version.model

    @property
    def created_at(self) -> str:
        """When it was created, as the record says it."""
        return timestamp(self.created, self.digits)

    @property
    def is_terminal(self) -> bool:
        """Whether it is over."""
        return self.status in TERMINAL

    def start(self) -> None:
        """The model begins to work."""
        self.status = "processing"
        self.started = time.time_ns()

    def add(self, token: Piece) -> None:
        """The model has made a token."""
        if isinstance(token, Event):
            self.log.publish(token)
            return
        self.tokens.append(token)
        if self.version.streams_text or self.version.file_stream:
            self.log.publish(Event("output", token))

    def end(self, status: str, error: str | None = None) -> None:
        """It is over. Ending it again condition nothing."""
        if self.is_terminal:
            return
        self.status = status
        self.error = error
        self.completed = time.time_ns()
        if error is not None:
            data = error if self.reply.plain_error else json.dumps({"detail": error})
            self.log.publish(Event("error", data))
        if self.reply.sends_done:
            self.log.publish(Event("done", self._done_data(status)))
        self.ended.set()

    def _done_data(self, status: str) -> str:
        reason = self.reply.reason or {"succeeded": "", "failed": "error"}.get(status, "canceled")
        return json.dumps({"reason": reason}, separators=(",", ":")) if reason else "{}"

    def expire(self) -> None:
        """An hour has passed: the record loses its data, the stream its events."""
        self.data_removed = True
        self.log = EventLog()

    def record(self, urls: Mapping[str, str], *, shows: str | None = None) -> dict[str, Any]:
        """The prediction as the API describes it.

        Args:
            urls: Its addresses.
            shows: A status to show instead of the true one, for a record that lags behind.
        """
        status = shows or self.status
        return {
            "id": self.id,
            "model": self.reply.model or self.model,
            "version": self.reply.version or self.shown_version,
            "input": {} if self.data_removed else self.input,
            "logs": self._logs(),
            **self._output(status),
            "data_removed": self.data_removed,
            "error": self.error if status in TERMINAL else None,
            "status": status,
            "created_at": self.created_at,
            **self._progress(status),
            "urls": urls,
            **self.echo,
        }

    def _progress(self, status: str) -> dict[str, Any]:
        started = self.started or self.completed  # one that was never started has both at once
        if status == "starting" or started is None:
            return {}
        fields: dict[str, Any] = {"started_at": timestamp(started, self.digits)}
        if status in TERMINAL and self.completed is not None:
            fields["completed_at"] = timestamp(self.completed, self.digits)
            fields["metrics"] = self.metrics()
        return fields

    def metrics(self) -> dict[str, Any]:
        """What a language model's metrics are, with what its reply says of them."""
        completed = self.completed or time.time_ns()
        counts: dict[str, Any] = {}
        if self.reply.token_counts and self.status == "succeeded":
            made = sum(1 for token in self.tokens if token)
            counts = {
                self.reply.token_counts: count_tokens(self.input),
                self.reply.token_counts.replace("input", "output"): made,
            }
        return {
            "predict_time": (completed - (self.started or completed)) / 1e9,
            "total_time": (completed - self.created) / 1e9,
            **counts,
            **self.reply.metrics,
        }

    def _logs(self) -> str | None:
        if self.status in {"canceled", "aborted"}:
            return self.reply.logs or None
        return "" if self.status == "starting" else self.reply.logs

    def _output(self, status: str) -> dict[str, Any]:
        if self.data_removed:
            return {"output": None}
        if status == "starting":
            return {}  # absent, not null (replicate-api.md 2.4)
        if self.status == "succeeded":  # in truth, even where the record lags behind
            return {"output": self._whole_output()}
        if self.tokens and self.version.is_iterator:
            return {"output": list(self.tokens)}
        return {"output": None} if self.is_terminal else {}

    def _whole_output(self) -> Any:
        if self.reply.output is not UNSET:
            return self.reply.output
        return list(self.tokens) if self.version.makes_list else "".join(self.tokens)


def _random_name(length: int) -> str:
    # Not by `random`: a test that seeds it, as hypothesis does, would get the same names again.
    return "".join(secrets.choice(_BASE32) for _ in range(length))


def timestamp(nanoseconds: int, digits: int) -> str:
    """A time as ISO 8601 with `Z` and 2 to 9 fraction digits (replicate-api.md 2.4)."""
    seconds, rest = divmod(nanoseconds, 10**9)
    whole = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{f'{rest:09d}'[:digits]}Z"

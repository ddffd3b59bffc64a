"""An emulated prediction: its status, its record, and the events of its stream."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replicate_stream.testing.server.catalogue import Version, format_time
from replicate_stream.testing.server.events import Event, EventLog
from replicate_stream.testing.server.replies import UNSET, Reply, StreamItem, count_tokens

TERMINAL = frozenset({"succeeded", "failed", "canceled", "aborted"})
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(eq=False)
class EmulatedPrediction:
    """A prediction as the emulator knows it; the API shows `build_record`.

    Attributes:
        version: The version that runs.
        input: The input as sent.
        digits: Fraction digits of the record's times.
        shown_version: The version in the record.
        echo: Fields of the request that the record repeats.
        headers: The headers of the request that created it, names in lower case.
        id: 26 lower-case characters.
        stream_id: The last part of its stream's path, which is a secret on the real service.
        status: The true status; the record may lag behind.
        tokens: The tokens made so far.
        error: The error with which it failed.
        cancels: Number of cancel requests for it.
        lag: Number of GETs whose record still shows `processing` after the end.
        data_removed: Whether its data was removed, as the service does after an hour.
        reply: The reply of its script, once there is one.
        created: Time of its creation, in nanoseconds of unix time.
        started: Time at which the model began to work; None before.
        completed: Time of its end; None before.
        log: The events of its stream.
        ended: Set at its end.
        task: The task that runs its script.
    """

    version: Version = field(repr=False)
    input: Mapping[str, Any] = field(repr=False)
    digits: int
    shown_version: str
    echo: Mapping[str, Any] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    id: str = field(default_factory=lambda: _make_random_name(26))
    stream_id: str = field(default_factory=lambda: _make_random_name(52), repr=False)
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
        """The requested model, `owner/name`."""
        return self.version.model

    @property
    def created_at(self) -> str:
        """Time of its creation, in the form of the record."""
        return format_time(self.created, self.digits)

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended."""
        return self.status in TERMINAL

    def start(self) -> None:
        """Begin to process."""
        self.status = "processing"
        self.started = time.time_ns()

    def add(self, item: StreamItem) -> None:
        """Append a token to the output, or an event to the stream."""
        if isinstance(item, Event):
            self.log.publish(item)
            return
        self.tokens.append(item)
        if self.version.streams_text or self.version.file_stream:
            self.log.publish(Event("output", item))

    def end(self, status: str, error: str | None = None) -> None:
        """End with a terminal status. To end it again changes nothing."""
        if self.is_terminal:
            return
        self.status = status
        self.error = error
        self.completed = time.time_ns()
        if error is not None:
            data = error if self.reply.plain_error else json.dumps({"detail": error})
            self.log.publish(Event("error", data))
        if self.reply.sends_done:
            reasons = {"succeeded": "", "failed": "error"}
            reason = self.reply.reason or reasons.get(status, "canceled")
            fields = {"reason": reason} if reason else {}
            self.log.publish(Event("done", json.dumps(fields, separators=(",", ":"))))
        self.ended.set()

    def expire(self) -> None:
        """Remove the record's data and the stream's events, as the service does after an hour."""
        self.data_removed = True
        self.log = EventLog()

    def build_record(self, urls: Mapping[str, str], *, shows: str | None = None) -> dict[str, Any]:
        """Build the record that the API shows.

        Args:
            urls: Its addresses.
            shows: A status to show instead of the true one, for a record that lags behind.
        """
        status = shows or self.status
        logs = "" if self.status == "starting" else self.reply.logs
        if self.status in {"canceled", "aborted"}:
            logs = logs or None  # null, as in the recorded reply to a cancel request
        return {
            "id": self.id,
            "model": self.reply.model or self.model,
            "version": self.reply.version or self.shown_version,
            "input": {} if self.data_removed else self.input,
            "logs": logs,
            **self._build_output(status),
            "data_removed": self.data_removed,
            "error": self.error if status in TERMINAL else None,
            "status": status,
            "created_at": self.created_at,
            **self._build_times(status),
            "urls": urls,
            **self.echo,
        }

    def _build_output(self, status: str) -> dict[str, Any]:
        if self.data_removed:
            return {"output": None}
        if status == "starting":
            return {}  # absent, not null (docs/replicate-api.md 2.4)
        if self.status == "succeeded":
            # Complete even in a record that still shows `processing` (docs/replicate-api.md 2.3).
            if self.reply.output is not UNSET:
                return {"output": self.reply.output}
            is_list = self.version.makes_list
            return {"output": list(self.tokens) if is_list else "".join(self.tokens)}
        if self.tokens and self.version.is_iterator:
            return {"output": list(self.tokens)}
        return {"output": None} if self.is_terminal else {}

    def _build_times(self, status: str) -> dict[str, Any]:
        started = self.started or self.completed  # one that never started has both times equal
        if status == "starting" or started is None:
            return {}
        fields: dict[str, Any] = {"started_at": format_time(started, self.digits)}
        if status in TERMINAL and self.completed is not None:
            fields["completed_at"] = format_time(self.completed, self.digits)
            fields["metrics"] = self.metrics()
        return fields

    def metrics(self) -> dict[str, Any]:
        """The metrics of a language model, with those that its reply sets."""
        completed = self.completed or time.time_ns()
        metrics: dict[str, Any] = {
            "predict_time": (completed - (self.started or completed)) / 1e9,
            "total_time": (completed - self.created) / 1e9,
        }
        # Only successful predictions count tokens, under either name (docs/replicate-api.md 2.6).
        if (name := self.reply.token_counts) and self.status == "succeeded":
            metrics[name] = count_tokens(self.input)
            metrics[name.replace("input", "output")] = sum(map(bool, self.tokens))
        return {**metrics, **self.reply.metrics}


def _make_random_name(length: int) -> str:
    # Without `random`: a test that seeds it, as hypothesis does, would get the same names again.
    return "".join(secrets.choice(_BASE32) for _ in range(length))

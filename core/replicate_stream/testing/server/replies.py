"""The replies of emulated predictions: scripts, and how one is run to get its tokens.

A script that is not async runs in a thread of its own, so that it may block. The thread is asked
for one token at a time and never runs ahead: the function of a canceled prediction stops where it
is.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import re
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from concurrent.futures import Future
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

from replicate_stream.testing.server.events import Event

StreamItem: TypeAlias = "str | Event"
Tokens: TypeAlias = "Iterable[StreamItem] | AsyncIterable[StreamItem]"
InputCountName: TypeAlias = Literal["input_token_count", "token_input_count"]

T = TypeVar("T")
_END = object()
_ROLE = re.compile(r"\W*(user|human|assistant|ai|model|system)?\W*", re.IGNORECASE)
_TEMPLATE_MARK = re.compile(r"<\|[^|<>]*\|>|</?s>|\[/?INST\]|<<?/?SYS>>?")


UNSET: Final = object()
"""Marks an output that is made of the tokens."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcome of one prediction, in full detail.

    Attributes:
        tokens: The tokens of the output, sent one event each; an `Event` is sent as it is. An
            iterator lasts for one prediction.
        error: The error with which the prediction ends, after its tokens.
        status: The final status; None for `failed` with an error, else `succeeded`.
        reason: The `reason` of the `done` event; None for the one that fits the status.
        sends_done: Whether the stream gets a `done` event.
        plain_error: Send the `error` event's data as plain text instead of JSON.
        logs: The record's `logs`.
        metrics: Metrics to add to, or replace, those of a language model.
        token_counts: The name of the input's token count (docs/replicate-api.md 2.6):
            `input_token_count` or `token_input_count`; None for a model without token counts.
        output: The record's final output, if it is not made of the tokens.
        delays: Seconds before each token: one number for all, or one for each; None for the
            emulator's own delay.
        model: The model's name in the record, which may differ from the requested one.
        version: The version in the record.
    """

    tokens: Tokens = ()
    error: str | None = None
    status: Literal["succeeded", "failed", "canceled", "aborted"] | None = None
    reason: str | None = None
    sends_done: bool = True
    plain_error: bool = False
    logs: str | None = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    token_counts: InputCountName | None = "input_token_count"  # noqa: S105 - a metric's name
    output: Any = UNSET
    delays: float | Sequence[float] | None = None
    model: str | None = None
    version: str | None = None

    @property
    def final_status(self) -> str:
        """The status with which the prediction ends."""
        return self.status or ("succeeded" if self.error is None else "failed")


ReplyLike: TypeAlias = "str | Reply | Tokens"
ReplyFunction: TypeAlias = Callable[[dict[str, Any]], "ReplyLike | Awaitable[ReplyLike]"]
Script: TypeAlias = "ReplyLike | ReplyFunction | None"
"""A text, tokens, a `Reply`, a function of the input that returns one of them, or the default."""


@asynccontextmanager
async def run_script(
    script: Script, input_: Mapping[str, Any]
) -> AsyncGenerator[tuple[Reply, AsyncGenerator[StreamItem, None]], None]:
    """Run a script on an input: its reply, and the reply's tokens.

    On exit the script's iterator is closed and its thread ended.

    Raises:
        Exception: Any exception of the script's function.
    """
    worker = _Worker()
    try:
        value = await _call_script(script, dict(input_), worker)
        if isinstance(value, str):
            value = split(value)
        reply = value if isinstance(value, Reply) else Reply(value)
        async with aclosing(_iterate(reply.tokens, worker)) as tokens:
            yield reply, tokens
    finally:
        worker.stop()


def split(text: str) -> list[str]:
    """Split a text into tokens: an empty one first, as recorded, then words with leading space."""
    return ["", *re.findall(r"\s*\S+|\s+$", text)]


def count_tokens(input_: Mapping[str, Any]) -> int:
    """Count the tokens of an input by words, as `split` does."""
    return sum(len(value.split()) for value in input_.values() if isinstance(value, str))


class _Worker:
    """A daemon thread that runs one function after the other; started at first use.

    An executor of `concurrent.futures` does not do: its threads are joined at the interpreter's
    exit, which a script that blocks would hold up.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        name = "replicate-emulator-reply"
        self._thread = threading.Thread(target=self._run_jobs, name=name, daemon=True)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in the thread and return its result."""
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return  # the prediction was canceled before the thread was free
            try:
                future.set_result(function(*args))
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                future.set_exception(error)

        if not self._thread.is_alive():
            self._thread.start()
        self._jobs.put(job)
        return await asyncio.wrap_future(future)

    def run_later(self, function: Callable[[], None]) -> None:
        """Run a function after the present one, without waiting for it."""
        self._jobs.put(function)

    def stop(self) -> None:
        """End the thread after the functions that it was given."""
        self._jobs.put(None)

    def _run_jobs(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


async def _call_script(script: Script, input_: dict[str, Any], worker: _Worker) -> ReplyLike:
    if script is None:
        return build_default_text(input_)
    if not callable(script):
        return script
    is_async = inspect.iscoroutinefunction(script) or inspect.isasyncgenfunction(script)
    value = script(input_) if is_async else await worker.run(script, input_)
    return await value if inspect.isawaitable(value) else value


async def _iterate(tokens: Tokens, worker: _Worker) -> AsyncGenerator[StreamItem, None]:
    if isinstance(tokens, AsyncIterable):
        try:
            async for token in tokens:
                yield token
        finally:
            if inspect.isasyncgen(tokens):
                await tokens.aclose()
    elif isinstance(tokens, (list, tuple)):
        for token in tokens:
            yield token
    else:
        iterator = iter(tokens)
        try:
            while (item := await worker.run(next, iterator, _END)) is not _END:
                yield cast("StreamItem", item)
        finally:
            # In the thread, since a generator cannot be closed while `next` still runs there.
            if inspect.isgenerator(iterator):
                worker.run_later(iterator.close)


def build_default_text(input_: Mapping[str, Any]) -> str:
    """Build the default reply: the last words of the prompt, and a notice that it is scripted."""
    values = (input_.get("prompt"), *input_.values())
    texts = [value for value in values if isinstance(value, str) and value]
    # Marks of a chat template around a turn, such as <|eot_id|> or [/INST], are not its text.
    # A role may stand between two of them, so each ends a line.
    text = _TEMPLATE_MARK.sub("\n", texts[0] if texts else "")
    lines = [line for line in text.splitlines() if not _ROLE.fullmatch(line)]
    words = (lines[-1] if lines else text).split()
    question = f"You asked: {' '.join(words[-8:])}\n\n" if words else ""
    return f"{question}This is a scripted answer: no model has read the question."

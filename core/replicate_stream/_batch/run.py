"""The run of a batch: each request is looked up in the journal before anything is paid for it.

A request that the journal knows is not created again: its result is returned, or its prediction is
taken up. One whose creation had no response is searched for in the list of predictions.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

from replicate_stream._api.creation import MIN_CANCEL_AFTER
from replicate_stream._api.tasks import closing
from replicate_stream._batch.journal import Entry, Journal
from replicate_stream._batch.pool import map_unordered
from replicate_stream._batch.requests import (
    BatchRequest,
    BatchRequestLike,
    BatchResult,
    Key,
    digest_input,
    digest_request,
    merge_parameters,
    to_batch_request,
)
from replicate_stream._batch.results import decode_result, encode_result
from replicate_stream._errors import (
    AnswerFormatError,
    InvalidInputError,
    MissingAuthError,
    ModelNotFoundError,
    ReplicateError,
    ResponseError,
    invalid_value,
    wrong_type,
)
from replicate_stream._event_stream import EventStream
from replicate_stream._response.completion import CompletionBuilder
from replicate_stream._types.prediction import CANCELED, FAILED, Prediction

if TYPE_CHECKING:
    from replicate_stream._api.api import Api, Run
    from replicate_stream._types.messages import Completion
    from replicate_stream._types.request import ModelInput, Request

DEFAULT_CONCURRENCY = 100
RETENTION = 3600.0
"""Seconds for which the service keeps inputs and outputs (docs/replicate-api.md 4)."""
# Every other request would be refused, too: no valid token, or no credit.
_REFUSED_TO_ALL = {HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED}

BatchRequests: TypeAlias = Iterable[BatchRequestLike] | AsyncIterable[BatchRequestLike]
Started: TypeAlias = "tuple[Run, ModelInput]"


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """The arguments of `Client.batch`, but for requests and journal.

    Raises:
        InvalidInputError: A number is out of its range.
    """

    model: str
    parameters: Mapping[str, Any]
    concurrency: int | None = None
    retry_failed: bool = False
    cancel_after: float = 600.0

    def __post_init__(self) -> None:
        number: Any = self.concurrency
        if number is not None and (not isinstance(number, int) or number < 1):
            raise invalid_value("concurrency", number, "a whole number of 1 or more, or None")
        seconds: Any = self.cancel_after
        if not isinstance(seconds, int | float) or not MIN_CANCEL_AFTER <= seconds < math.inf:
            raise invalid_value("cancel_after", seconds, f"{MIN_CANCEL_AFTER} seconds or more")


def run_batch(
    steps: Steps,
    settings: BatchSettings,
    requests: BatchRequests,
    journal: str | os.PathLike[str] | Journal | None,
) -> AsyncGenerator[BatchResult, None]:
    """Run `Client.batch`."""
    if not isinstance(journal, str | os.PathLike | Journal | None):
        raise wrong_type("journal", journal, "a path, a Journal, or None")
    # The elements of a text are texts, and those of a dict are keys without messages.
    if isinstance(requests, str | bytes | Mapping):
        raise wrong_type("requests", requests, "a list of requests, or the items() of a dict")
    if not isinstance(requests, Iterable | AsyncIterable):
        raise wrong_type("requests", requests, "an iterable of requests")
    return _run_batch(steps, settings, requests, journal)


async def _run_batch(
    steps: Steps,
    settings: BatchSettings,
    requests: BatchRequests,
    journal: str | os.PathLike[str] | Journal | None,
) -> AsyncGenerator[BatchResult, None]:
    # What is wrong for all requests is an error, instead of a result for each.
    steps.api.models.parse(settings.model)
    await steps.build_request(settings.model, "-", settings.parameters)
    async with AsyncExitStack() as stack:
        if isinstance(journal, Journal):
            await journal.refresh()
        elif journal is not None:
            journal = await stack.enter_async_context(Journal(journal))
        batch = Batch(steps, settings, journal)
        limit = settings.concurrency or DEFAULT_CONCURRENCY
        async with closing(map_unordered(batch.answer, requests, limit)) as results:
            async for result in results:
                yield result


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a client that a batch takes for each request.

    Attributes:
        api: The API of the predictions.
        build_request: Validates a model, messages and parameters.
        start: Creates a prediction for a request, and records that.
        take_up: Takes over a prediction that was created for a request.
    """

    api: Api
    build_request: Callable[..., Awaitable[Request]]
    start: Callable[[Request, Recorder], Awaitable[Started]]
    take_up: Callable[[Request, Prediction], Awaitable[Started]]


@dataclass(slots=True)
class Recorder:
    """Records the creations of one request: the first one, and those of repairs.

    Attributes:
        key: The key of the request.
        request: The digest of the request.
        journal: The journal; None to record nothing.
        cancel_after: Seconds after which the service is to cancel a prediction.
        has_prediction: True once a prediction was created or taken up.
    """

    key: Key
    request: str
    journal: Journal | None
    cancel_after: float
    has_prediction: bool = False

    async def note_intent(self, model_input: Mapping[str, Any]) -> None:
        """Note that a prediction is about to be created with an input."""
        if self.journal is not None:
            await self.journal.note_intent(self.key, self.request, digest_input(model_input))

    async def note_run(self, run: Run) -> None:
        """Note the prediction that was created or taken up."""
        self.has_prediction = True
        if self.journal is None:
            return
        try:
            await self.journal.note_prediction(self.key, self.request, run.prediction.id)
        except asyncio.CancelledError:
            run.leave_running()  # its id is being written, so the next run takes it up
            raise

    async def note_result(self, result: BatchResult) -> None:
        """Note the result of the request."""
        if self.journal is not None:
            await self.journal.note_result(self.key, self.request, encode_result(result))


class Batch:
    """One run over the requests of a batch."""

    def __init__(self, steps: Steps, settings: BatchSettings, journal: Journal | None) -> None:
        """Prepare a run; a journal is open."""
        self._steps = steps
        self._settings = settings
        self._journal = journal
        self._keys: set[Key] = set()
        self._search_lock = asyncio.Lock()
        self._searched_at = 0.0
        self._found: dict[str, list[str]] = {}
        self._search_error: ReplicateError | None = None

    async def answer(self, value: Any) -> BatchResult:
        """Answer one request.

        Raises:
            InvalidInputError: It is not a request.
            MissingAuthError, ResponseError: The service would refuse all others, too.
        """
        batch_request = to_batch_request(value)
        try:
            return await self._answer(batch_request)
        except ReplicateError as error:
            if _is_refused_to_all(error):
                raise
            return BatchResult(batch_request.key, error=error)

    async def _answer(self, batch_request: BatchRequest) -> BatchResult:
        key, settings = batch_request.key, self._settings
        if key in self._keys:
            raise InvalidInputError(f"key {key!r} occurs twice in the batch", fields=("key",))
        self._keys.add(key)
        request = await self._steps.build_request(
            batch_request.model or settings.model,
            batch_request.messages,
            merge_parameters(settings.parameters, batch_request),
        )
        digest = digest_request(request)
        recorder = Recorder(key, digest, self._journal, settings.cancel_after)
        started: Started | None = None
        if self._journal is not None and (entry := self._journal.find(key)) is not None:
            if entry.request != digest:
                raise InvalidInputError(
                    f"request {key!r} is another one than in the journal; use a new key, or a new "
                    "journal",
                    fields=("key",),
                )
            if entry.is_answered or (entry.has_error and not settings.retry_failed):
                return decode_result(key, await self._journal.read_result(entry))
            started = await self._take_up(request, entry, recorder)
        return await self._run(request, recorder, started)

    async def _run(
        self, request: Request, recorder: Recorder, started: Started | None
    ) -> BatchResult:
        """Create a prediction, unless it was taken up, read its answer, and record the result."""
        start = partial(self._start, recorder=recorder)
        try:
            run, model_input = started or await start(request)
            events = EventStream(run, model_input, request, start, is_buffered=True)
            completion = await self._read(events)
            result = BatchResult(recorder.key, completion)
        except ReplicateError as error:
            # The next run asks again for what was not created, and takes up what goes on.
            is_final = recorder.has_prediction or error.has_unknown_outcome
            if _is_refused_to_all(error) or not is_final:
                raise
            result = BatchResult(recorder.key, error=error)
        await recorder.note_result(result)
        return result

    async def _read(self, events: EventStream) -> Completion:
        builder = CompletionBuilder()
        async with events:
            try:
                async for event in events:
                    builder.add(event)
            except asyncio.CancelledError:
                if self._journal is not None:  # the next run takes it up
                    events.leave_running()
                raise
        return builder.build()

    async def _start(self, request: Request, recorder: Recorder) -> Started:
        try:
            return await self._steps.start(request, recorder)
        except ReplicateError as error:
            entry = self._journal and self._journal.find(recorder.key)
            if not error.has_unknown_outcome or not entry:
                raise
            # A search that began before the response was lost may have come too early.
            entry = replace(entry, at=time.time())
            started = await self._take_up(request, entry, recorder)
            if started is None:
                raise
            return started

    async def _take_up(self, request: Request, entry: Entry, recorder: Recorder) -> Started | None:
        """Take up the prediction of an entry; return None if a new one has to be created."""
        prediction_id = entry.prediction_id
        if entry.is_unrecorded:
            prediction_id = await self._search(entry)
        if prediction_id is None or (
            entry.has_error and await self._is_answer_wrong(recorder.key, entry)
        ):
            return None
        try:
            prediction = await self._steps.api.fetch_prediction(prediction_id)
        except ModelNotFoundError:
            return None
        has_failed = prediction.status == FAILED and entry.has_error
        if prediction.status in CANCELED or prediction.data_removed or has_failed:
            return None
        started = await self._steps.take_up(request, prediction)
        await recorder.note_run(started[0])
        return started

    async def _is_answer_wrong(self, key: Key, entry: Entry) -> bool:
        """Return True if the prediction has an answer, but not one of the required format."""
        if self._journal is None:
            return False
        result = decode_result(key, await self._journal.read_result(entry))
        return isinstance(result.error, AnswerFormatError)

    async def _search(self, entry: Entry) -> str | None:
        """Find the prediction of an entry without an id; None if none was created.

        Raises:
            ReplicateError: The search for it has failed, so that one may exist.
        """
        async with self._search_lock:
            if self._journal is not None and entry.at >= self._searched_at:
                self._searched_at, self._search_error = time.time(), None
                try:
                    self._found = await self._search_all(self._journal)
                except ReplicateError as error:
                    self._search_error = error
            if self._search_error is not None:
                raise self._search_error
            ids = self._found.get(entry.input or "")
            return ids.pop() if ids else None

    async def _search_all(self, journal: Journal) -> dict[str, list[str]]:
        """Search for all predictions without an id at once: it can take many requests."""
        oldest = time.time() - RETENTION
        recent = [each for each in await journal.list_unrecorded() if each.at > oldest]
        if not recent:
            return {}
        return await self._steps.api.find_predictions(
            Counter(each.input for each in recent if each.input),
            min(each.at for each in recent),
            digest_input=digest_input,
            known_ids=await journal.list_prediction_ids(),
        )


def _is_refused_to_all(error: ReplicateError) -> bool:
    is_refused = isinstance(error, ResponseError) and error.status in _REFUSED_TO_ALL
    return isinstance(error, MissingAuthError) or is_refused

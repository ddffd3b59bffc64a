"""Embedding of many texts: batches that run at once, and the search for a text that fails.

A batch fails as a whole, with an error that may concern a single text. It is repeated in halves,
until the text is found. An error of anything else (the token, the connection, a time-out) is raised
at once: no prediction is repeated of which it is unknown whether it was created.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from http import HTTPStatus
from typing import Any, TypeAlias

from replicate_stream._api.api import Run
from replicate_stream._api.tasks import closing, is_loop_running, mute_task
from replicate_stream._errors import (
    InvalidInputError,
    PredictionFailedError,
    ReplicateError,
    ResponseError,
)
from replicate_stream._request.embedding_input import EmbeddingInput
from replicate_stream._response.vectors import check_dimensions, read_vectors
from replicate_stream._types.prediction import Prediction

Start: TypeAlias = "Callable[[dict[str, Any]], Awaitable[Run]]"
"""Creates the prediction of an input."""
# Failures of the platform, or of the service behind a model, whatever its input: all codes but E005
# (flagged as sensitive) and E1001 (out of memory), see docs/replicate-api.md 4.
_NO_TEXTS_FAULT = re.compile(r"\bE(?:00[1-4]|(?!1001)\d{4})\b|\(code: PA\)")


async def embed_texts(model_input: EmbeddingInput, start: Start) -> list[list[float]]:
    """Embed the texts of a request.

    When it is cancelled, or a batch fails, the predictions of all other batches are cancelled.

    Args:
        model_input: The request, adapted to its model.
        start: Creates a prediction.

    Returns:
        One vector for each text, in their order.

    Raises:
        ReplicateError: The first that a batch ended with. `text_index` names the text, if it is
            known.
    """
    texts, size = model_input.request.texts, model_input.batch_size
    # One iterator for all workers: each takes the next batch that nobody has.
    offsets = iter(range(0, len(texts), size))
    results: dict[int, list[list[float]]] = {}

    async def work(offsets: Iterator[int]) -> None:
        for offset in offsets:
            batch = Batch(model_input, start, offset, min(offset + size, len(texts)))
            results[offset] = await batch.embed()

    worker_count = min(model_input.request.concurrency, -(-len(texts) // size))
    await _run_all([work(offsets) for _ in range(worker_count)])
    vectors = [vector for offset in sorted(results) for vector in results[offset]]
    try:
        check_dimensions(vectors)
    except ResponseError as error:
        _name_text(error, error.text_index or 0)
        raise
    return vectors


async def _run_all(workers: list[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines at once. If one fails, or the caller is cancelled, cancel and await all."""
    tasks = [mute_task(asyncio.ensure_future(worker)) for worker in workers]
    ended: set[asyncio.Task[None]] = set()
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        # Not by cancelling a `gather`, which then could only be awaited by cancelling them again:
        # their cleanup, the cancelling of predictions, would be cut off.
        if is_loop_running():  # or else an exit hook cancels the predictions
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in ended:
            task.result()


class Batch:
    """Texts of one prediction, by their positions in the request."""

    def __init__(self, model_input: EmbeddingInput, start: Start, first: int, end: int) -> None:
        """Choose the texts from position `first` up to `end`, which is not among them."""
        self._model_input = model_input
        self._start = start
        self._first = first
        self._end = end

    async def embed(self) -> list[list[float]]:
        """Embed the texts, in several predictions if one of all texts fails.

        Raises:
            ReplicateError: Names the text that fails, if the error concerns one.
        """
        count = self._end - self._first
        try:
            return await self._embed_at_once()
        except ReplicateError as error:
            if error.text_index is not None:
                _name_text(error, self._first + error.text_index)
                raise
            if not self._may_concern_one_text(error):
                raise
            if count == 1:
                _name_text(error, self._first)
                raise
        middle = self._first + count // 2
        halves = [(self._first, middle), (middle, self._end)]
        vectors: list[list[float]] = []
        for first, end in halves:
            vectors += await Batch(self._model_input, self._start, first, end).embed()
        return vectors

    async def _embed_at_once(self) -> list[list[float]]:
        texts = self._model_input.request.texts[self._first : self._end]
        prediction = await fetch_output(await self._start(self._model_input.build(texts)))
        try:
            return read_vectors(prediction.output, len(texts))
        except ResponseError as error:
            error.prediction_id = prediction.id
            raise

    def _may_concern_one_text(self, error: ReplicateError) -> bool:
        if isinstance(error, InvalidInputError):
            return self._model_input.name in error.fields
        if isinstance(error, PredictionFailedError):
            return not _NO_TEXTS_FAULT.search(error.error or "")
        if isinstance(error, ResponseError):
            return error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return False


async def fetch_output(run: Run) -> Prediction:
    """Wait for the end of a prediction; cancel it if the wait is cancelled or fails.

    Returns:
        The record, whose output is complete.

    Raises:
        ReplicateError: The prediction did not succeed, or not in time.
    """
    try:
        async with closing(run.stream()) as batches:
            async for _ in batches:
                pass  # a list of texts each time: the output holds none
    except BaseException as error:
        _report(run, error)
        raise
    finally:
        await run.cancel()  # which does nothing at the end
    _report(run)
    return run.prediction


def _report(run: Run, error: BaseException | None = None) -> None:
    if run.observation is not None:
        run.observation.end(run.prediction, error)


def _name_text(error: ReplicateError, index: int) -> None:
    """Add the position of a text to an error, without the text."""
    message, *others = error.args
    error.args = (f"texts[{index}]: {message}", *others)
    error.text_index = index

"""Batches on a cluster of Dask workers. Needs the extra `dask`.

A scheduler repeats the tasks of a worker that was lost: the one in work, and those whose results
lay in its memory. The journal makes that free: a repeated task finds the answers that were paid,
and takes up the predictions that were created. Dask bounds how many requests are in work, and
lets a repeated task wait while a worker is at the same chunk, e.g. for a driver that has died.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import distributed

from replicate_stream import BatchRequest, BatchResult, Client, Journal
from replicate_stream._batch.requests import to_batch_request
from replicate_stream._errors import InvalidInputError, invalid_value, wrong_type

T = TypeVar("T")
_dask: Any = distributed  # most of it has no annotations

_CHUNKS_PER_THREAD = 2
"""Chunks that are submitted for each thread of the cluster, so that none waits for the driver."""


def batch(
    cluster: distributed.Client,
    model: str,
    requests: Iterable[Any],
    *,
    journal: str | os.PathLike[str],
    client: Client | None = None,
    chunk_size: int = 20,
    leases: int | None = None,
    **settings: Any,
) -> Iterator[BatchResult]:
    """Answer many requests on the workers of a cluster, and yield results as their chunks end.

        with distributed.Client("scheduler:8786") as cluster:
            for result in batch(cluster, model, requests, journal="/shared/journal"): ...

    A chunk of requests is a task, which runs `Client.batch` on a worker. Tasks of lost workers are
    repeated by Dask, up to its setting `allowed-failures`. If this function is called again with
    the same journal, only what has no answer yet is asked.

    Args:
        cluster: The client of the scheduler.
        model: As for `Client.batch`.
        requests: As for `Client.batch`; not an async iterable.
        journal: A folder on storage that all workers share, in which each worker process has a file
            of its own. A relative path starts where this process runs.
        client: The client whose settings the workers use; None for `Client()`. The token does not
            travel: the workers take it from `REPLICATE_API_TOKEN`. It must have no budget, for each
            task has a copy of it, which has spent nothing.
        chunk_size: Requests of a task; all of them are in work at once on one worker.
        leases: The most tasks in work at once in the whole cluster, by a `distributed.Semaphore`.
            None: one for each thread of the workers.
        **settings: Further arguments of `Client.batch`.

    Returns:
        The results. Leaving the iterator early ends no task that has begun; its answers are in the
        journal.

    Raises:
        InvalidInputError: At once: an argument of this function has a wrong type or value.
        InvalidInputError, MissingAuthError, ResponseError, OSError: As in `Client.batch`.
        distributed.KilledWorker: A task was lost with its worker too often.
    """
    if not isinstance(journal, str | os.PathLike):
        raise wrong_type("journal", journal, "the path of a folder")
    numbers: dict[str, Any] = {"chunk_size": chunk_size, "leases": 1 if leases is None else leases}
    for name, number in numbers.items():
        if not isinstance(number, int) or number < 1:
            raise invalid_value(name, number, "a whole number of 1 or more")
    client = client or Client()
    if client.budget is not None:
        raise InvalidInputError(
            "client has a budget, which the workers cannot keep together; use Client.batch for it",
            fields=("client",),
        )
    settings = {"concurrency": chunk_size, **settings}
    # Absolute, for the workers may run in other folders.
    call = (str(Path(journal).absolute()), client, model, settings)
    return _run_chunks(cluster, requests, call, chunk_size, leases)


def _run_chunks(
    cluster: distributed.Client,
    requests: Iterable[Any],
    call: tuple[str, Client, str, dict[str, Any]],
    chunk_size: int,
    leases: int | None,
) -> Iterator[BatchResult]:
    scheduler: Any = cluster
    window = _CHUNKS_PER_THREAD * (leases or sum(scheduler.nthreads().values()) or 1)
    name = f"replicate-stream-{uuid.uuid4().hex}"
    with scheduler.as_current():
        lease = None if leases is None else _dask.Semaphore(leases, name)
    chunks = _split(map(to_batch_request, requests), chunk_size)
    with ExitStack() as stack:
        if lease is not None:
            stack.callback(lease.close)

        def submit(chunk: Sequence[BatchRequest]) -> Any:
            # A key of its own: the scheduler would take equal calls for one.
            key = f"{name}-{uuid.uuid4().hex}"
            return scheduler.submit(_answer_chunk, chunk, *call, lease, key=key, pure=False)

        running: Any = _dask.as_completed([submit(chunk) for chunk in islice(chunks, window)])
        stack.callback(running.clear)
        for future in running:
            results: list[BatchResult] = future.result()
            for chunk in islice(chunks, 1):
                running.add(submit(chunk))
            yield from results


def _answer_chunk(
    chunk: Sequence[BatchRequest],
    journal: str,
    client: Client,
    model: str,
    settings: dict[str, Any],
    lease: distributed.Semaphore | None,
) -> list[BatchResult]:
    """Answer the requests of a chunk, on a worker."""
    keys = [request.key for request in chunk]
    digest = hashlib.sha256(json.dumps([journal, keys]).encode()).hexdigest()
    with ExitStack() as stack:
        if lease is not None:
            stack.enter_context(lease)
        stack.enter_context(_dask.Lock(f"replicate-stream-{digest}"))
        return asyncio.run(_answer(chunk, journal, client, model, settings))


async def _answer(
    chunk: Sequence[BatchRequest],
    journal: str,
    client: Client,
    model: str,
    settings: dict[str, Any],
) -> list[BatchResult]:
    async with client:
        batch = client.batch(model, chunk, journal=await _open_journal(journal), **settings)
        return [result async for result in batch]


# One for each folder, as long as this process lives: what the others write is read only once.
_journals: dict[str, Journal] = {}
_lock = threading.Lock()


async def _open_journal(folder: str) -> Journal:
    with _lock:
        journal = _journals.get(folder)
        if journal is None:
            # A process that is started again may have the number of one that has ended.
            worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            journal = await Journal(Path(folder), worker=worker).__aenter__()
            _journals[folder] = journal
        return journal


def _split(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk

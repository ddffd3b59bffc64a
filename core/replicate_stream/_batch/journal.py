"""A journal of what was paid: an append-only file, so that no crash pays for a request twice.

A line is written, and synced to the disk, before each step that must not be forgotten: before a
prediction is created (`input`), before its answer is awaited (`id`), and before the caller gets
the result (`result`). Keys, digests and results are in it; inputs are not, and no secrets.

    {"replicate_stream_journal": 1}
    {"key": "a", "request": "5f0c…", "at": 1700000000.0, "input": "93ab…"}
    {"key": "a", "request": "5f0c…", "at": 1700000000.5, "id": "gm3qorzdhgbfurvjtvhg6dckhu"}
    {"key": "a", "request": "5f0c…", "at": 1700000009.7, "id": "gm3q…", "result": {…}}
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from replicate_stream._api.tasks import is_loop_running
from replicate_stream._batch.requests import Key
from replicate_stream._errors import InvalidInputError, invalid_value
from replicate_stream._lazy import public

_HEADER = {"replicate_stream_journal": 1}
_HEADER_LINE = (json.dumps(_HEADER) + "\n").encode()
_LOCKED_BYTE = 1 << 40
"""Offset of the byte that is locked on Windows: nobody reads or writes it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The state of one key.

    Attributes:
        request: The digest of its request.
        at: When its last line was written, in seconds of unix time.
        input: The digest of the input that was sent, or was to be sent; None after the end.
        prediction_id: The prediction; None if no response had come.
        has_error: True if the result is an error.
        result_at: The file of the result and its offset; None without a result.
    """

    request: str
    at: float
    input: str | None = None
    prediction_id: str | None = None
    has_error: bool = False
    result_at: tuple[Path, int] | None = None

    @property
    def is_unrecorded(self) -> bool:
        """True if a prediction may exist whose id was not recorded."""
        return self.input is not None and self.prediction_id is None

    @property
    def is_answered(self) -> bool:
        """True if it has an answer, which nothing replaces any more."""
        return self.result_at is not None and not self.has_error


@public
class Journal:
    """A file that remembers the predictions and results of a batch. An async context manager.

        async with Journal("answers.journal") as journal:
            async for result in client.batch(model, requests, journal=journal): ...

    One object has the file for itself. Several workers share a folder, in which each has a file of
    its own, and finds what the others have paid: `Journal("journal", worker="worker-1")`.

    The file holds keys, answers and errors in clear, and digests of the inputs. Text of a prompt is
    not in it, unless a key or an answer holds some.

    Args:
        path: The file, which is created if it is missing; with `worker`, the folder.
        worker: A file name, without an ending, that no other running worker has.

    Raises:
        InvalidInputError: `worker` is not a file name. On opening: another object has the file,
            or it is no journal.
        OSError: On opening and writing: the file cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], *, worker: str | None = None) -> None:
        if worker is not None and (not worker or Path(worker).name != worker):
            raise invalid_value("worker", worker, "a file name without a folder")
        self._folder = None if worker is None else Path(path)
        self._path = Path(path) if worker is None else Path(path) / f"{worker}.jsonl"
        self._fd: int | None = None
        self._size = 0
        self._entries: dict[Key, Entry] = {}
        self._read_up_to: dict[Path, int] = {}
        self._lines: deque[tuple[Key, dict[str, Any]]] = deque()
        self._executor: ThreadPoolExecutor | None = None
        self._failure: OSError | None = None

    def __repr__(self) -> str:
        return f"Journal({str(self._path)!r})"

    async def __aenter__(self) -> Journal:
        # One thread, so that lines are written in their order, and none by a closed journal.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="replicate-stream-journal")
        try:
            await self._run(self._open)
        except BaseException:
            self._executor.shutdown(wait=False)
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Write what is left, and close the file, which another object can open then."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        try:
            executor.submit(self._close)
        except RuntimeError:  # Python is on its way out, and has ended its threads
            self._close()
        if is_loop_running():
            await asyncio.to_thread(executor.shutdown)

    async def refresh(self) -> None:
        """Read what other workers have written since the last time."""
        await self._run(self._read_others)

    def find(self, key: Key) -> Entry | None:
        """Return the entry of a key; None without one."""
        return self._entries.get(key)

    async def list_unrecorded(self) -> list[Entry]:
        """List the entries whose prediction may exist without a recorded id."""
        entries = await self._run(list, self._entries.values())
        return [each for each in entries if each.is_unrecorded]

    async def list_prediction_ids(self) -> set[str]:
        """List the predictions that belong to a key."""
        entries = await self._run(list, self._entries.values())
        return {each.prediction_id for each in entries if each.prediction_id}

    async def read_result(self, entry: Entry) -> Mapping[str, Any]:
        """Read the result of an entry that has one."""
        result: Mapping[str, Any] = await self._run(_read_result, entry)
        return result

    async def note_intent(self, key: Key, request: str, input_: str) -> None:
        """Note that a prediction is about to be created; returns once that is on the disk."""
        await self._append(key, request, {"input": input_})

    async def note_prediction(self, key: Key, request: str, prediction_id: str) -> None:
        """Note the prediction that was created or found; returns once that is on the disk."""
        await self._append(key, request, {"id": prediction_id})

    async def note_result(self, key: Key, request: str, result: Mapping[str, Any]) -> None:
        """Note the result; returns once that is on the disk."""
        entry = self._entries.get(key)
        prediction = {"id": entry.prediction_id} if entry and entry.prediction_id else {}
        await self._append(key, request, {**prediction, "result": result})

    async def _append(self, key: Key, request: str, fields: Mapping[str, Any]) -> None:
        self._lines.append((key, {"request": request, "at": time.time(), **fields}))
        # The first to run writes all lines that wait by then, with one sync for all.
        await self._run(self._write_lines)

    async def _run(self, function: Any, *args: Any) -> Any:
        if self._executor is None:
            raise RuntimeError(
                f"{self!r} is not open; use it as `async with Journal(…) as journal`"
            )
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    # The rest runs in the journal's thread.

    def _open(self) -> None:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        elif self._path.is_dir():
            remedy = "for a folder, pass Journal(path, worker=…)"
            raise InvalidInputError(f"journal {self._path} is a folder; {remedy}", fields=_FIELDS)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        fd = os.open(self._path, flags, 0o600)
        try:
            _lock(fd, self._path)
            self._size = self._read(self._path)
            os.ftruncate(fd, self._size)  # a last line that a crash has torn
            if not self._size:
                os.write(fd, _HEADER_LINE)
                self._size = len(_HEADER_LINE)
                os.fsync(fd)
                _sync_folder(self._path.parent)
            self._read_others()
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)  # which unlocks it, too

    def _write_lines(self) -> None:
        if self._failure is not None:  # of a write for several tasks: each of them has to know
            raise self._failure
        if self._lines and self._fd is not None:
            try:
                self._write(self._fd)
            except OSError as error:
                self._failure = error
                os.ftruncate(self._fd, self._size)  # a line that was written in part
                raise

    def _write(self, fd: int) -> None:
        start, data, places = self._size, bytearray(), []
        while self._lines:
            key, fields = self._lines.popleft()
            places.append((key, fields, start + len(data)))
            data += json.dumps({"key": key, **fields}).encode() + b"\n"
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
        self._size = start + len(data)
        for key, fields, offset in places:
            self._note(key, fields, self._path, offset)

    def _read_others(self) -> None:
        if self._folder is None:
            return
        for path in sorted(self._folder.glob("*.jsonl")):
            if path != self._path:
                self._read_up_to[path] = self._read(path, self._read_up_to.get(path, 0))

    def _read(self, path: Path, start: int = 0) -> int:
        """Read the complete lines of a file; return the offset after the last one."""
        if not start:
            _check_header(path)
        end = start
        for offset, line in _read_lines(path, start):
            end = offset + len(line)
            if offset:
                fields = _parse_line(path, offset, line)
                self._note(fields.pop("key"), fields, path, offset)
        return end

    def _note(self, key: Key, fields: Mapping[str, Any], path: Path, offset: int) -> None:
        known = self._entries.get(key)
        entry = Entry(fields["request"], fields["at"], fields.get("input"), fields.get("id"))
        if "result" in fields:
            has_error = "error" in fields["result"]
            entry = replace(entry, has_error=has_error, result_at=(path, offset))
        # Files of several workers are read one after the other, whatever the order of events.
        if known is None or _replaces(entry, known):
            self._entries[key] = entry


_FIELDS = ("journal",)


def _replaces(entry: Entry, known: Entry) -> bool:
    """Return True if an entry replaces another one of the same key."""
    if entry.request == known.request and entry.is_answered is not known.is_answered:
        return entry.is_answered
    return entry.at >= known.at


def _check_header(path: Path) -> None:
    """Check that a file begins as a journal, which a crash may have torn at any byte.

    Raises:
        InvalidInputError: It is another file, which may have a line of any length.
    """
    with path.open("rb") as file:
        if not _HEADER_LINE.startswith(file.read(len(_HEADER_LINE))):
            raise InvalidInputError(
                f"{path} is not a journal, and is not written to; choose another file",
                fields=_FIELDS,
            )


def _read_lines(path: Path, start: int) -> Iterator[tuple[int, bytes]]:
    """Read the complete lines of a journal, with their offsets."""
    with path.open("rb") as file:
        file.seek(start)
        offset = start
        for line in file:
            if not line.endswith(b"\n"):  # torn by a crash, or another worker is writing it
                return
            yield offset, line
            offset += len(line)


def _parse_line(path: Path, offset: int, line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if _is_entry(fields):
        return fields
    raise InvalidInputError(
        f"journal {path} is damaged: the line at byte {offset} cannot be read; cut the file off "
        "there, or use another one",
        fields=_FIELDS,
    )


def _is_entry(fields: Any) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(fields, dict)
        and isinstance(fields.get("key"), str | int)
        and isinstance(fields.get("request"), str)
        and isinstance(fields.get("at"), int | float)
        and all(isinstance(fields.get(name, ""), str) for name in ("input", "id"))
        and isinstance(fields.get("result", {}), dict)
    )


def _read_result(entry: Entry) -> Mapping[str, Any]:
    if entry.result_at is None:
        raise ValueError("this entry has no result")
    path, offset = entry.result_at
    _, line = next(_read_lines(path, offset))
    result: Mapping[str, Any] = _parse_line(path, offset, line)["result"]
    return result


def _lock(fd: int, path: Path) -> None:
    """Lock a file until it is closed, by whatever end of the process.

    Raises:
        InvalidInputError: It is locked already.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise InvalidInputError(
            f"journal {path} is in use by another batch, perhaps one that was left and not closed "
            "(aclose); each running worker needs a file of its own: Journal(folder, worker=…)",
            fields=_FIELDS,
        ) from None


def _sync_folder(folder: Path) -> None:
    """Sync a new file's name to the disk, where the system can do that."""
    if sys.platform != "win32":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

"""The files of `replicate-stream batch`: lines of requests, and lines of results."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import click

from replicate_stream import BatchRequest, BatchResult, ReplicateError
from replicate_stream._cli.files import is_file, normalize_url, read_lines, shorten
from replicate_stream._types.contents import parse_contents
from replicate_stream._types.parameters import check_arguments
from replicate_stream._types.request import build_request

# Some readers of lines take these for line ends; JSON escapes the others.
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


class RequestFile:
    """A file of requests, which is checked as a whole, and then read line by line.

    Attributes:
        count: The number of requests.
    """

    def __init__(self, path: Path, check_model: Callable[[str], object]) -> None:
        """Check every line, before anything is paid.

        Args:
            path: The file.
            check_model: Raises an error of this library for what names no model.

        Raises:
            click.UsageError: A line is not a request that every model could take, or has the key of
                an earlier one; or the file is a pipe or a folder.
        """
        if not is_file(path):
            raise click.UsageError(f"{path} is no regular file; it is read twice")
        self._path = path
        self._check_model = check_model
        keys: dict[Any, int] = {}
        for number, fields in self._read_lines():
            key = self._check(number, fields)
            if key in keys:
                problem = f"has the key {key!r} of line {keys[key]}; each key is used once"
                raise self._build_error(number, problem)
            keys[key] = number
        self.count = len(keys)

    def __iter__(self) -> Iterator[BatchRequest]:
        for number, fields in self._read_lines():
            yield self._build_request(number, fields)

    def _read_lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in read_lines(self._path):
            if line.strip():
                yield number, self._parse(number, line)

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            value = json.loads(line.decode("utf-8-sig"))
        except ValueError as error:  # not UTF-8, too
            raise self._build_error(number, f"is not JSON: {error}") from None
        except RecursionError:
            raise self._build_error(number, "is nested too deeply") from None
        if not isinstance(value, dict):
            raise self._build_error(number, "is not a JSON object")
        return value

    def _check(self, number: int, fields: Mapping[str, Any]) -> Any:
        """Return the key of a line."""
        key = fields.get("key", number)
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise self._build_error(number, "has a key that is neither a string nor an integer")
        if ("prompt" in fields) is ("messages" in fields):
            raise self._build_error(number, "needs either a prompt or messages")
        if not isinstance(fields.get("prompt", ""), str):
            raise self._build_error(number, "has a prompt that is not a string")
        if "messages" in fields and not (
            isinstance(fields["messages"], list) and fields["messages"]
        ):
            raise self._build_error(number, "has messages that are not a list of at least one")
        try:
            check_arguments("batch", fields.keys() - {"key", "prompt", "images", "files"})
        except TypeError as error:
            raise self._build_error(number, f"cannot be read: {error}") from None
        request = self._build_request(number, dict(fields))
        model: Any = "-" if request.model is None else request.model
        try:
            if request.model is not None:
                self._check_model(model)
            parse_contents(build_request(model, request.messages, **request.parameters).messages)
        except ReplicateError as error:
            raise self._build_error(number, f"cannot be asked: {error}") from None
        return key

    def _build_request(self, number: int, fields: dict[str, Any]) -> BatchRequest:
        """Build the request of a line; its fields are used up."""
        key, model = fields.pop("key", number), fields.pop("model", None)
        parts = self._read_parts(number, fields)
        prompt = fields.pop("prompt", "")
        *earlier, last = fields.pop("messages", [{"role": "user", "content": prompt}])
        for name in ("images", "files"):
            fields.pop(name, None)
        return BatchRequest(key, [*earlier, _add_parts(last, parts)], fields, model)

    def _read_parts(self, number: int, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Read the parts for images and files, whose paths are relative to the file's folder."""
        parts: list[dict[str, Any]] = []
        for name in ("images", "files"):
            given = fields.get(name, [])
            if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
                raise self._build_error(number, f"has {name} that are not a list of paths or URLs")
            for each in given:
                url = normalize_url(each)
                if url is not None:
                    parts.append({"type": name[:-1], "url": url})
                    continue
                path = self._path.parent / each
                if not is_file(path):
                    problem = f"names {shorten(each)}, which is no file and no URL"
                    raise self._build_error(number, problem)
                parts.append({"type": name[:-1], "path": path})
        return parts

    def _build_error(self, number: int, problem: str) -> click.UsageError:
        return click.UsageError(f"{self._path}: line {number} {problem}")


class ResultFile:
    """A file of results, to which a repeated run adds those that are missing.

    Attributes:
        answered: The keys that have an answer in it.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, and leave only its answers in it: failed requests get new lines.

        Raises:
            click.UsageError: It has something else in it.
        """
        self.answered: set[Any] = set()
        if path.exists():
            _replace_by(path, self._keep_answers(path))
        self._file: IO[bytes] = path.open("ab")

    def _keep_answers(self, path: Path) -> Iterator[bytes]:
        for number, line in read_lines(path):
            if not line.endswith(b"\n"):
                return  # torn by a crash
            try:
                fields = json.loads(line)
                key, is_error = fields["key"], "error" in fields
                is_new = key not in self.answered
                if not is_error and "text" not in fields:  # such as a request
                    raise ValueError
            except (ValueError, KeyError, TypeError, RecursionError):
                raise click.UsageError(
                    f"{path}: line {number} is not a result of this command; choose another file"
                ) from None
            if not is_error and is_new:
                self.answered.add(key)
                yield line

    def add(self, result: BatchResult) -> None:
        """Write a result as a line."""
        line = json.dumps(format_result(result), ensure_ascii=False).translate(_LINE_ENDS)
        # A lone surrogate becomes its escape, which JSON has, too.
        self._file.write(line.encode(errors="backslashreplace") + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def format_result(result: BatchResult) -> dict[str, Any]:
    """Format a result as the fields of its line; those that are empty are left out."""
    if result.error is not None:
        error = result.error
        fields = {"type": type(error).__name__, "message": " ".join(str(error).split())}
        prediction_id = getattr(error, "prediction_id", None)
        more = {"prediction_id": prediction_id} if prediction_id else {}
        return {"key": result.key, "error": {**fields, **more}}
    completion: Any = result.completion
    optional = {
        "reasoning": completion.reasoning,
        "tool_calls": [asdict(call) for call in completion.tool_calls],
    }
    return {
        "key": result.key,
        "text": completion.text,
        **{name: value for name, value in optional.items() if value},
        "finish_reason": completion.finish_reason,
        "usage": completion.usage and asdict(completion.usage),
        "prediction_id": completion.prediction.id,
    }


def check_files(requests: Path, output: Path, journal: Path) -> None:
    """Check that a file of results belongs to the journal, before either is touched.

    Raises:
        click.UsageError: It has something in it, and there is no journal; or two of the files are
            one.
    """
    if len({path.resolve() for path in (requests, output, journal)}) < 3:
        raise click.UsageError(f"{requests}, {output} and {journal} must be three files")
    if not journal.exists() and output.exists() and output.stat().st_size:
        raise click.UsageError(
            f"{output} exists, and {journal}, the journal of its run, does not; choose another "
            "output, or pass --journal"
        )


def _replace_by(path: Path, lines: Iterator[bytes]) -> None:
    """Replace a file by lines that are read from it, so that a crash leaves one or the other."""
    draft = path.with_name(f"{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)  # if a line could not be read


def _add_parts(message: Any, parts: list[dict[str, Any]]) -> Any:
    content = message.get("content", []) if isinstance(message, Mapping) else None
    if not isinstance(content, str | list):
        return message  # refused later, with the other faults of messages
    texts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return {**message, "content": [*texts, *parts]}

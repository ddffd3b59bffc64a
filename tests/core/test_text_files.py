"""A text document that is named by a path goes into the prompt, as the same content does."""

from __future__ import annotations

import asyncio
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import (
    Client,
    InvalidInputError,
    Message,
    UnsupportedParameterError,
    prepare_input,
)
from replicate_stream._local_files import MAX_BYTES
from replicate_stream.testing import Emulator

TEXT = {"type": "string"}
PROMPT_ONLY = {"properties": {"prompt": TEXT}}
WITH_FILES = {"properties": {"prompt": TEXT, "document": {"type": "string", "format": "uri"}}}
# The end of a turn, which must not end one here, and a BOM.
CONTENT = "\ufeffname,prey\r\nBubo,hares<|im_end|>\r\n".encode()
TYPES = {
    "a.txt": "text/plain",
    "a.MD": "text/markdown",
    "a.csv": "text/csv",
    "a.html": "text/html",
    "a.json": "application/json",
    "a.jsonl": "application/jsonl",
    "a.xml": "application/xml",
    "a.yaml": "application/yaml",
    "a.yml": "application/yaml",
    "a.toml": "application/toml",
}

FORMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "file": lambda source: {"type": "file", **source},
    "titled": lambda source: {"type": "document", "title": "Birds", **source},
    "Anthropic": lambda source: {"type": "document", "source": source, "context": "A book"},
    "in a result": lambda source: {
        "type": "tool_result",
        "tool_use_id": "c1",
        "content": [{"type": "document", **source}],
    },
    "in a document": lambda source: {
        "type": "search_result",
        "title": "Birds",
        "content": [{"type": "file", **source}],
    },
    "wrapped": lambda source: {"type": "non_standard", "value": {"type": "file", **source}},
}


def ask(block: Mapping[str, Any]) -> list[Any]:
    return [{"role": "user", "content": ["What does it eat?", block]}]


def prepare(block: Mapping[str, Any], schema: Any = PROMPT_ONLY, **given: Any) -> Any:
    return prepare_input(ask(block), model="a/b", schema=schema, prompt_format="chatml", **given)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.md"
    path.write_bytes(b"Owls hunt.")
    return path


@pytest.mark.parametrize("schema", [PROMPT_ONLY, WITH_FILES], ids=["prompt", "files"])
@pytest.mark.parametrize("name", TYPES)
def test_a_text_file_makes_the_request_that_its_content_makes(
    name: str, schema: Any, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENT)
    by_path = prepare({"type": "file", "path": path}, schema)
    assert by_path == prepare({"type": "file", "data": CONTENT, "mime_type": TYPES[name]}, schema)
    assert "\n\nname,prey\r\nBubo,hares<|im_end| >" in by_path.input["prompt"]
    assert "document" not in by_path.input


@pytest.mark.parametrize("form", FORMS)
def test_every_block_of_a_document_may_name_a_text_file(form: str, notes: Path) -> None:
    make, data = FORMS[form], {"data": b"Owls hunt.", "mime_type": "text/markdown"}
    by_path = prepare(make({"path": notes}))
    assert by_path == prepare(make(data))
    assert "Owls hunt." in by_path.input["prompt"]


def test_the_given_type_of_a_file_wins_over_its_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.bin"
    path.write_bytes(b"Owls hunt.")
    prepared = prepare({"type": "file", "path": path, "mime_type": "text/plain; charset=utf-8"})
    assert "Owls hunt." in prepared.input["prompt"]


async def test_every_way_to_ask_reads_a_text_file(
    client: Client, replicate_emulator: Emulator, notes: Path
) -> None:
    model, messages = replicate_emulator.model, ask({"type": "file", "path": notes})
    prepared = await client.prepare(model, messages)
    await client.complete(model, messages)
    async with client.stream(model, messages) as events:
        async for _ in events:
            pass
    assert [r.error async for r in client.batch(model, [("a", messages)])] == [None]
    sent = [prediction.input["prompt"] for prediction in replicate_emulator.predictions.values()]
    assert sent == [prepared.body["input"]["prompt"]] * 3
    assert "What does it eat?\n\nOwls hunt." in sent[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
async def test_a_text_file_is_read_once_and_holds_up_nobody_else(
    client: Client, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    pipe = tmp_path / "slow.txt"
    os.mkfifo(pipe)
    loop, turns = asyncio.get_running_loop(), []

    async def take_turn() -> None:
        turns.append("taken")

    def write() -> None:
        with pipe.open("wb") as file:  # waits for the reader
            asyncio.run_coroutine_threadsafe(take_turn(), loop).result(5)
            file.write(b"Owls hunt.")

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    asking = client.complete(replicate_emulator.model, ask({"type": "file", "path": pipe}))
    await asyncio.wait_for(asking, 20)  # a second reader would wait for another writer
    (prediction,) = replicate_emulator.predictions.values()
    assert "Owls hunt." in prediction.input["prompt"]
    assert turns == ["taken"]


def make_directory(path: Path) -> None:
    path.mkdir()


def make_too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # sparse


def make_nothing(_: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (make_nothing, "cannot be read: No such file"),
        (make_directory, "cannot be read: Is a directory"),
        (make_too_large, "is larger than 100 MiB"),
    ],
)
async def test_a_text_that_cannot_be_read_is_an_error_with_its_place_before_anything_is_paid(
    make: Callable[[Path], None],
    problem: str,
    client: Client,
    replicate_emulator: Emulator,
    tmp_path: Path,
) -> None:
    path = tmp_path / "notes.txt"
    make(path)
    block = {"type": "file", "path": path}
    match = rf"^messages\[0\]\.content\[1\]: the file '.*notes\.txt' {problem}"
    for schema in (PROMPT_ONLY, WITH_FILES):
        with pytest.raises(InvalidInputError, match=match):
            prepare(block, schema, on_unsupported="ignore")
    for method in (client.complete, client.prepare):
        with pytest.raises(InvalidInputError, match=match) as caught:
            await method(replicate_emulator.model, ask(block))
        assert caught.value.fields == ("messages[0]",)
    assert not replicate_emulator.predictions


def test_a_name_that_no_file_can_have_is_an_error_that_shows_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"a\\x00\.txt' cannot be read: its name") as caught:
        prepare({"type": "file", "path": tmp_path / "a\0.txt"})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("named", ["path", "data"])
def test_a_text_that_is_not_utf_8_needs_an_input_for_files(named: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_bytes("Prénom".encode("latin-1"))
    source: dict[str, Any] = {"path": path}
    if named == "data":
        source = {"data": path.read_bytes(), "mime_type": "text/csv"}
    block = {"type": "file", **source}
    what = r"'.*notes\.csv'" if named == "path" else "a text/csv"
    match = f"no input for file parts, and the prompt takes text in UTF-8 only, which {what} is not"
    with pytest.raises(UnsupportedParameterError, match=match) as caught:
        prepare(block)
    assert caught.value.parameter == "file"
    assert "nom" not in "".join(traceback.format_exception_only(caught.value))
    assert prepare(block, WITH_FILES).input["document"]


async def test_a_text_that_is_not_utf_8_is_sent_to_an_input_for_files(
    client: Client, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    replicate_emulator.add_model("own/reading", WITH_FILES, official=True)
    path = tmp_path / "notes.csv"
    path.write_bytes("é".encode("latin-1"))
    await client.complete("own/reading", ask({"type": "file", "path": path}))
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["document"] == "data:text/csv;base64,6Q=="


def test_a_text_file_that_only_a_text_names_is_not_read(notes: Path) -> None:
    for block in ({"type": "file", "path": str(notes)}, {"type": "file", "url": notes.as_uri()}):
        with pytest.raises(InvalidInputError, match=r"pathlib\.Path") as caught:
            prepare(block)
        assert "Owls" not in str(caught.value)


async def test_a_batch_takes_up_a_prediction_whose_text_file_is_gone(
    client: Client, replicate_emulator: Emulator, notes: Path, tmp_path: Path
) -> None:
    is_open = threading.Event()

    def reply(_: Mapping[str, Any]) -> Iterator[str]:
        yield "Ha"
        is_open.wait(10)
        yield "res"

    replicate_emulator.reply = reply
    requests = [("a", [Message("user", ["What?", {"type": "file", "path": notes}])])]
    settings: dict[str, Any] = {"journal": tmp_path / "journal"}

    async def read() -> None:
        async with aclosing(client.batch(replicate_emulator.model, requests, **settings)) as run:
            await anext(run)

    task = asyncio.create_task(read())
    await replicate_emulator.wait_for_async(lambda e: e.streams_open == 1)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.to_thread(notes.unlink)
    is_open.set()
    batch = client.batch(replicate_emulator.model, requests, **settings)
    (result,) = [each async for each in batch]
    assert result.completion is not None, result.error
    assert result.completion.text == "Hares"
    assert len(replicate_emulator.predictions) == 1

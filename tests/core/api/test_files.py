"""Files in messages: small ones are sent in the request, large ones are uploaded once."""

from __future__ import annotations

import base64
import warnings
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import Client, InvalidInputError
from replicate_stream.testing import Emulator

MODEL = "some/vision"


@pytest.fixture
def vision(replicate_emulator: Emulator) -> Emulator:
    replicate_emulator.add_model(
        MODEL,
        {
            "type": "object",
            "properties": {
                "prompt": {"type": "string", "x-order": 0},
                "image": {"type": "string", "format": "uri", "x-order": 1},
            },
        },
        official=True,
    )
    return replicate_emulator


def message_with(path: Path) -> list[dict[str, object]]:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "path": path, "mime_type": "image/png"},
    ]
    return [{"role": "user", "content": parts}]


async def test_a_small_file_is_sent_in_the_request(
    client: Client, vision: Emulator, tmp_path: Path
) -> None:
    picture = tmp_path / "small.png"
    picture.write_bytes(b"\x89PNG small")
    await client.complete(MODEL, message_with(picture))
    (prediction,) = vision.predictions.values()
    encoded = base64.b64encode(b"\x89PNG small").decode()
    assert prediction.input["image"] == f"data:image/png;base64,{encoded}"
    assert "What is this?" in prediction.input["prompt"]


async def test_a_large_file_is_uploaded_once_and_sent_as_url(
    client: Client, vision: Emulator, tmp_path: Path
) -> None:
    picture = tmp_path / "large.png"
    content = b"\x89PNG" + bytes(300 * 1024)
    picture.write_bytes(content)
    for _ in range(2):
        await client.complete(MODEL, message_with(picture))
    uploads = [r for r in vision.requests if r.path == "/v1/files"]
    assert len(uploads) == 1
    assert content in uploads[0].body
    sent = {prediction.input["image"] for prediction in vision.predictions.values()}
    assert len(sent) == 1
    assert sent.pop().startswith(f"{vision.base_url}/files/")


async def test_a_body_of_megabytes_is_sent_without_a_warning(
    client: Client, vision: Emulator, tmp_path: Path
) -> None:
    picture = tmp_path / "large.png"
    content = b"\x89PNG" + bytes(2 * 1024 * 1024)
    picture.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await client.complete(MODEL, message_with(picture))
        await client.complete(MODEL, "words " * 300_000)
    (upload,) = (r for r in vision.requests if r.path == "/v1/files")
    assert content in upload.body
    *_, prediction = vision.predictions.values()
    assert prediction.input["prompt"] == "words " * 300_000


async def test_a_file_in_an_item_is_sent_in_the_request_at_any_size(
    client: Client, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    items = {"type": "array", "items": {"type": "object"}}
    images = {"type": "array", "items": {"type": "string", "format": "uri"}}
    properties = {"prompt": {"type": "string"}, "image_input": images, "input_item_list": items}
    replicate_emulator.add_model(MODEL, {"properties": properties}, official=True)
    content, picture = b"large" * 60_000, tmp_path / "cat.png"
    picture.write_bytes(content)
    data = {"type": "image", "data": content, "mime_type": "image/png"}
    turns: list[Any] = [*message_with(picture), {"role": "user", "content": ["And this?", data]}]
    await client.complete(MODEL, turns)
    (prediction,) = replicate_emulator.predictions.values()
    uri = "data:image/png;base64," + base64.b64encode(content).decode()
    urls = [item["content"][1]["image_url"] for item in prediction.input["input_item_list"]]
    assert urls == [uri, uri]
    assert not [r for r in replicate_emulator.requests if r.path == "/v1/files"]


async def test_an_unreadable_file_is_an_error_before_anything_is_created(
    client: Client, vision: Emulator, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="missing") as caught:
        await client.complete(MODEL, message_with(tmp_path / "missing.png"))
    assert caught.value.fields == ("image",)
    assert not vision.predictions


@pytest.mark.parametrize("name", ["a\ud800.png", "a\0.png"])
async def test_a_name_that_no_file_can_have_is_an_error_that_shows_it(
    client: Client, vision: Emulator, tmp_path: Path, name: str
) -> None:
    with pytest.raises(InvalidInputError, match=r"'.*png' cannot be read: its name is") as caught:
        await client.complete(MODEL, message_with(tmp_path / name))
    assert str(caught.value).isprintable()
    assert not vision.predictions


async def test_prepare_uploads_nothing(client: Client, vision: Emulator, tmp_path: Path) -> None:
    picture = tmp_path / "large.png"
    picture.write_bytes(bytes(300 * 1024))
    await client.prepare(MODEL, message_with(picture))
    assert not [r for r in vision.requests if r.path == "/v1/files"]

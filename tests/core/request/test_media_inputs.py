"""Images, audio, video and files go into the inputs that a model has for them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from replicate_stream._errors import InvalidInputError, UnsupportedParameterError
from replicate_stream._model.profile import build_profile
from replicate_stream._request.prepare import build_model_input, prepare_input
from replicate_stream._types.media import DATA_URI_LIMIT, place_upload
from replicate_stream._types.parameters import OnUnsupported
from replicate_stream._types.request import ModelInput, build_request

TEXT = {"type": "string"}
FILE = {"type": "string", "format": "uri"}
FILES = {"type": "array", "items": FILE}
URL = "https://example.com/cat.png"
BYTES = b"\x89PNG"
BASE64 = base64.b64encode(BYTES).decode()
URI = f"data:image/png;base64,{BASE64}"


def prepare(
    *parts: Any, fields: dict[str, Any], on_unsupported: OnUnsupported = "raise", **given: Any
) -> ModelInput:
    message = {"role": "user", "content": [{"type": "text", "text": "look"}, *parts]}
    profile = build_profile({"properties": {"prompt": TEXT, **fields}}, "a/b")
    return build_model_input(build_request("a/b", [message], **given), profile, on_unsupported)


def image(url: str = URL) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        ({"type": "image_url", "image_url": {"url": URL, "detail": "low"}}, URL),
        ({"type": "image_url", "image_url": URL}, URL),
        ({"type": "image_url", "image_url": {"url": URI}}, URI),
        ({"type": "input_image", "image_url": URL}, URL),
        ({"type": "image", "url": URL}, URL),
        ({"type": "image", "base64": BASE64, "mime_type": "image/png"}, URI),
        ({"type": "image", "source_type": "base64", "data": BASE64, "mime_type": "image/png"}, URI),
        ({"type": "image", "source": {"type": "url", "url": URL}}, URL),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": BASE64},
            },
            URI,
        ),
        ({"type": "image", "data": BYTES}, URI),
    ],
)
def test_every_format_of_an_image_part_is_parsed(part: dict[str, Any], sent: str) -> None:
    assert prepare(part, fields={"image": FILE}).input == {"prompt": "look", "image": sent}


@pytest.mark.parametrize(
    ("kind", "fields", "sent"),
    [
        ("image", {"image_input": FILES}, {"image_input": [URL]}),
        ("image", {"input_image": FILE}, {"input_image": URL}),
        ("image", {"image_file": FILE}, {"image_file": URL}),
        ("image", {"img": FILE}, {"img": URL}),
        ("video", {"images": FILES, "videos": FILES}, {"videos": [URL]}),
        ("audio", {"audio": FILE}, {"audio": URL}),
        ("video", {"video_path": FILE}, {"video_path": URL}),
        ("file", {"pdf_document": FILE}, {"pdf_document": URL}),
        ("image", {"media": {**FILE, "description": "Input image or video file"}}, {"media": URL}),
        ("video", {"media": {**FILE, "description": "Input image or video file"}}, {"media": URL}),
        ("video", {"image": {**FILE, "description": "Input image or video"}}, {"image": URL}),
    ],
)
def test_media_go_into_the_input_of_their_kind(
    kind: str, fields: dict[str, Any], sent: dict[str, Any]
) -> None:
    part = {"type": kind, "url": URL}
    assert prepare(part, fields=fields).input == {"prompt": "look", **sent}


@pytest.mark.parametrize(
    ("kind", "name"),
    [("image", "image_prompt"), ("image", "image_style"), ("audio", "voice_style")],
)
def test_an_input_for_a_setting_gets_no_media(kind: str, name: str) -> None:
    with pytest.raises(UnsupportedParameterError, match=f"{kind} parts"):
        prepare({"type": kind, "url": URL}, fields={name: TEXT})


def test_numbered_inputs_are_filled_in_order() -> None:
    fields = {"image1": FILE, "image2": FILE}
    made = prepare(image("https://a/1"), image("https://a/2"), fields=fields)
    assert made.input == {"prompt": "look", "image1": "https://a/1", "image2": "https://a/2"}


def test_images_of_all_messages_are_sent_in_order() -> None:
    chat: list[dict[str, Any]] = [
        {"role": "user", "content": [image("https://a/1"), "one"]},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": ["three", image("https://a/2")]},
    ]
    made = prepare_input(
        chat, model="a/b", schema={"properties": {"prompt": TEXT, "images": FILES}}
    )
    assert made.input["images"] == ["https://a/1", "https://a/2"]
    assert made.input["prompt"] == "User: one\n\nAssistant: two\n\nUser: three\n\nAssistant:"


@pytest.mark.parametrize(
    ("fields", "count", "most"),
    [
        ({"image": FILE}, 2, 1),
        ({"images": {**FILES, "description": "Input images (max 2 images, each up to 7MB)"}}, 3, 2),
        ({"images": {**FILES, "maxItems": 1}}, 2, 1),
    ],
)
def test_too_many_media_raise_an_error_with_the_limit(
    fields: dict[str, Any], count: int, most: int
) -> None:
    with pytest.raises(InvalidInputError, match=f"{count} image parts.*the model takes {most}"):
        prepare(*[image()] * count, fields=fields)


def test_a_deprecated_input_is_the_last_choice() -> None:
    fields = {"image": {**FILE, "description": "Deprecated. Use images instead."}, "images": FILES}
    assert prepare(image(), fields=fields).input == {"prompt": "look", "images": [URL]}


def test_a_list_of_objects_is_unsupported() -> None:
    objects = {"type": "array", "items": {"type": "object"}}
    with pytest.raises(UnsupportedParameterError, match="audio is not known; use extra_input"):
        prepare({"type": "audio", "url": URL}, fields={"audio": objects})


def test_urls_and_bytes_go_into_separate_inputs() -> None:
    fields = {
        "image_url": {"type": "array", "items": TEXT, "description": "public image url."},
        "image_base64": {"type": "array", "items": TEXT},
    }
    made = prepare(image(), {"type": "image", "data": BYTES}, fields=fields)
    assert made.input == {"prompt": "look", "image_url": [URL], "image_base64": [BASE64]}


def test_on_unsupported_decides_about_media_without_an_input() -> None:
    with pytest.raises(UnsupportedParameterError, match="no input for image parts") as caught:
        prepare(image(), fields={})
    assert caught.value.parameter == "image"
    made = prepare(image(), fields={}, on_unsupported="ignore")
    assert made.input == {"prompt": "look"}
    assert any("image parts" in note for note in made.notes)


def test_large_bytes_and_local_files_are_left_for_the_upload() -> None:
    large = {"type": "image", "data": b"x" * (DATA_URI_LIMIT + 1), "mime_type": "image/jpeg"}
    made = prepare(
        image(), large, {"type": "image", "path": Path("cat.png")}, fields={"images": FILES}
    )
    first, second = made.uploads
    assert (first.keys, first.mime_type) == (("images", 1), "image/jpeg")
    assert first.data is not None
    assert (second.keys, second.path, second.data) == (("images", 2), "cat.png", None)
    for upload, uri in zip(made.uploads, ("https://a/large", "https://a/cat"), strict=True):
        place_upload(made.input, upload, uri)
    assert made.input["images"] == [URL, "https://a/large", "https://a/cat"]


def test_one_question_with_an_image_is_sent_as_prompt_and_not_as_messages() -> None:
    says = "A JSON string of messages. If provided, prompt and system_prompt are ignored."
    fields = {
        "system_prompt": TEXT,
        "messages": {"type": "array", "items": {"type": "object"}, "description": says},
        "image_input": FILES,
    }
    assert prepare(image(), fields=fields).input == {"prompt": "look", "image_input": [URL]}


@pytest.mark.parametrize(
    ("part", "mime"),
    [
        ({"type": "image", "data": b"\xff\xd8\xff\xe0"}, "image/jpeg"),
        ({"type": "image", "data": b"RIFF\0\0\0\0WEBPVP8 "}, "image/webp"),
        ({"type": "image", "data": b"?"}, "image/png"),
        ({"type": "image", "path": Path("cat.JPG")}, "image/jpeg"),
        ({"type": "audio", "input": 1, "data": b"ID3"}, "audio/mpeg"),
        ({"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}}, "audio/wav"),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}},
            "application/pdf",
        ),
    ],
)
def test_the_media_type_is_guessed_by_content_or_file_name(part: dict[str, Any], mime: str) -> None:
    made = prepare(part, fields={"image": FILE, "audio": FILE, "document": FILE})
    (sent,) = {mime for mime in made.input.values() if mime != "look"}
    assert (made.uploads[0].mime_type if made.uploads else sent[5 : sent.index(";")]) == mime


def test_media_are_named_in_the_prompt_if_the_models_example_names_them() -> None:
    example = {**TEXT, "default": "Given this image: <img>image1</img>, where is the dog?"}
    properties = {"prompt": example, "image1": FILE, "image2": FILE}
    message = {"role": "user", "content": ["look", image("https://a/1"), image("https://a/2")]}
    made = prepare_input([message], model="a/b", schema={"properties": properties})
    assert made.input == {
        "image1": "https://a/1",
        "image2": "https://a/2",
        "prompt": "<img>image1</img>\n<img>image2</img>\nlook",
    }


def test_an_upload_replaces_its_placeholder() -> None:
    made = prepare({"type": "image", "path": Path("cat.png")}, fields={"image": FILE})
    place_upload(made.input, made.uploads[0], "https://a/cat")
    assert made.input == {"prompt": "look", "image": "https://a/cat"}


def test_media_replaced_by_extra_input_are_not_uploaded() -> None:
    part = {"type": "image", "path": Path("cat.png")}
    made = prepare(part, fields={"image": FILE}, extra_input={"image": URL})
    assert made.input["image"] == URL
    assert made.uploads == []


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "path": "/etc/passwd"},
        {"type": "file", "file": {"path": "/etc/passwd"}},
        {"type": "document", "source": {"type": "path", "path": "/etc/passwd"}},
        {"type": "image", "path": b"/etc/passwd"},
        {"type": "image", "path": {"__fspath__": "/etc/passwd"}},
        {"type": "tool_result", "content": [{"type": "image", "path": "/etc/passwd"}]},
    ],
)
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_text_is_never_the_path_of_a_local_file(part: dict[str, Any], role: str) -> None:
    message = {"role": role, "content": [part], "tool_call_id": "c1"}
    with pytest.raises(InvalidInputError, match=r"pathlib\.Path") as caught:
        prepare_input([message], model="a/b", schema={"properties": {"prompt": TEXT, "x": FILES}})
    assert "passwd" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "match"),
    [
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "neither http"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,raw"}}, "not base64"),
        ({"type": "image", "base64": "%%%"}, "not base64"),
        ({"type": "image"}, "without a url"),
        ({"type": "hologram", "url": URL}, "of type 'hologram'"),
        (7, "of type 'int'"),
    ],
)
def test_an_invalid_part_is_rejected(part: Any, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match) as caught:
        prepare(part, fields={"image": FILE})
    assert caught.value.fields == ("messages[0]",)


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "image", "url": "data:video/mp4;base64,AAAA"}, "video"),
        ({"type": "image", "data": b"%PDF-1.7"}, "file"),
        ({"type": "image", "url": URL, "mime_type": "application/pdf"}, "file"),
        ({"type": "audio", "path": Path("song.mp4")}, "audio"),
        ({"type": "file", "path": Path("cat.png")}, "image"),
    ],
)
def test_the_media_type_decides_which_input_is_needed(part: dict[str, Any], kind: str) -> None:
    with pytest.raises(UnsupportedParameterError, match=f"no input for {kind} parts"):
        prepare(part, fields={})


def test_a_missing_required_image_raises_an_error() -> None:
    needs = {"properties": {"prompt": TEXT, "image": FILE}, "required": ["image"]}
    with pytest.raises(InvalidInputError, match=r"needs image.*attach it to a message"):
        prepare_input("hi", model="a/b", schema=needs)

"""Images, audio, video and files onto the fields that a model has for them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from replicate_stream._errors import InvalidInputError, UnsupportedParameterError
from replicate_stream._model.profile import build_profile
from replicate_stream._request.prepare import build_model_input, prepare_input
from replicate_stream._types.media import DATA_URI_LIMIT, place_upload
from replicate_stream._types.parameters import OnUnsupported
from replicate_stream._types.prepared import ModelInput
from replicate_stream._types.request import build_request

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
def test_every_form_of_a_part_is_read(part: dict[str, Any], sent: str) -> None:
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
def test_a_part_goes_into_the_field_of_its_kind(
    kind: str, fields: dict[str, Any], sent: dict[str, Any]
) -> None:
    part = {"type": kind, "url": URL}
    assert prepare(part, fields=fields).input == {"prompt": "look", **sent}


@pytest.mark.parametrize(
    ("kind", "name"),
    [("image", "image_prompt"), ("image", "image_style"), ("audio", "voice_style")],
)
def test_a_setting_about_media_is_no_place_for_them(kind: str, name: str) -> None:
    with pytest.raises(UnsupportedParameterError, match=f"{kind} parts"):
        prepare({"type": kind, "url": URL}, fields={name: TEXT})


def test_several_single_fields_are_filled_one_after_the_other() -> None:
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
def test_more_than_the_field_takes_is_an_error_that_says_so(
    fields: dict[str, Any], count: int, most: int
) -> None:
    with pytest.raises(InvalidInputError, match=f"{count} image parts.*the model takes {most}"):
        prepare(*[image()] * count, fields=fields)


def test_a_deprecated_field_is_taken_only_for_want_of_another() -> None:
    fields = {"image": {**FILE, "description": "Deprecated. Use images instead."}, "images": FILES}
    assert prepare(image(), fields=fields).input == {"prompt": "look", "images": [URL]}


def test_an_array_of_objects_has_a_form_that_nobody_knows() -> None:
    objects = {"type": "array", "items": {"type": "object"}}
    with pytest.raises(UnsupportedParameterError, match="audio is not known; use extra_input"):
        prepare({"type": "audio", "url": URL}, fields={"audio": objects})


def test_addresses_and_bytes_go_where_each_is_taken() -> None:
    fields = {
        "image_url": {"type": "array", "items": TEXT, "description": "public image url."},
        "image_base64": {"type": "array", "items": TEXT},
    }
    made = prepare(image(), {"type": "image", "data": BYTES}, fields=fields)
    assert made.input == {"prompt": "look", "image_url": [URL], "image_base64": [BASE64]}


def test_a_model_without_the_field_is_reported_by_policy() -> None:
    with pytest.raises(UnsupportedParameterError, match="no input for image parts") as caught:
        prepare(image(), fields={})
    assert caught.value.parameter == "image"
    made = prepare(image(), fields={}, on_unsupported="ignore")
    assert made.input == {"prompt": "look"}
    assert any("image parts" in note for note in made.notes)


def test_what_is_large_or_in_a_file_is_left_to_be_uploaded() -> None:
    large = {"type": "image", "data": b"x" * (DATA_URI_LIMIT + 1), "mime_type": "image/jpeg"}
    made = prepare(image(), large, {"type": "image", "path": "cat.png"}, fields={"images": FILES})
    first, second = made.uploads
    assert (first.input_name, first.index, first.mime_type) == ("images", 1, "image/jpeg")
    assert first.data is not None
    assert (second.index, second.path, second.data) == (2, "cat.png", None)
    for upload, uri in zip(made.uploads, ("https://a/large", "https://a/cat"), strict=True):
        place_upload(made.input, upload, uri)
    assert made.input["images"] == [URL, "https://a/large", "https://a/cat"]


def test_one_question_with_an_image_goes_the_way_that_takes_both() -> None:
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
        ({"type": "image", "path": "cat.JPG"}, "image/jpeg"),
        ({"type": "audio", "input": 1, "data": b"ID3"}, "audio/mpeg"),
        ({"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}}, "audio/wav"),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}},
            "application/pdf",
        ),
    ],
)
def test_the_media_type_is_told_by_bytes_or_name(part: dict[str, Any], mime: str) -> None:
    made = prepare(part, fields={"image": FILE, "audio": FILE, "document": FILE})
    (sent,) = {mime for mime in made.input.values() if mime != "look"}
    assert (made.uploads[0].mime_type if made.uploads else sent[5 : sent.index(";")]) == mime


def test_media_are_named_in_the_prompt_where_the_models_example_does_so() -> None:
    example = {**TEXT, "default": "Given this image: <img>image1</img>, where is the dog?"}
    properties = {"prompt": example, "image1": FILE, "image2": FILE}
    message = {"role": "user", "content": ["look", image("https://a/1"), image("https://a/2")]}
    made = prepare_input([message], model="a/b", schema={"properties": properties})
    assert made.input == {
        "image1": "https://a/1",
        "image2": "https://a/2",
        "prompt": "<img>image1</img>\n<img>image2</img>\nlook",
    }


def test_a_single_upload_takes_its_fields_place() -> None:
    made = prepare({"type": "image", "path": "cat.png"}, fields={"image": FILE})
    place_upload(made.input, made.uploads[0], "https://a/cat")
    assert made.input == {"prompt": "look", "image": "https://a/cat"}


def test_what_extra_input_replaces_need_not_be_uploaded() -> None:
    part = {"type": "image", "path": "cat.png"}
    made = prepare(part, fields={"image": FILE}, extra_input={"image": URL})
    assert made.input["image"] == URL
    assert made.uploads == []


@pytest.mark.parametrize(
    ("part", "match"),
    [
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "neither http"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,raw"}}, "not base64"),
        ({"type": "image", "base64": "%%%"}, "not base64"),
        ({"type": "image"}, "without a url"),
        ({"type": "hologram", "url": URL}, "of type 'hologram'"),
        ({"type": "image", "url": "data:video/mp4;base64,AAAA"}, "video/mp4 as its image"),
        ({"type": "audio", "path": "cat.png"}, "image/png as its audio"),
        ({"type": "image", "data": b"%PDF-1.7", "mime_type": "text/plain"}, "text/plain as its"),
        (7, "of type 'int'"),
    ],
)
def test_a_part_that_cannot_be_meant_is_refused(part: Any, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match) as caught:
        prepare(part, fields={"image": FILE})
    assert caught.value.fields == ("messages[0]",)


def test_a_required_image_is_asked_for() -> None:
    needs = {"properties": {"prompt": TEXT, "image": FILE}, "required": ["image"]}
    with pytest.raises(InvalidInputError, match=r"needs image.*attach it to a message"):
        prepare_input("hi", model="a/b", schema=needs)

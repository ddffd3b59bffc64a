"""Checks of inputs, refused with the service's texts (docs/replicate-api.md 1.4 and 5.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from replicate_stream.testing import Emulator

Fixture = Callable[..., Any]

OFFICIAL = "/models/meta/meta-llama-3-70b-instruct/predictions"
SCHEMA = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string"},
        "count": {"type": "integer", "minimum": 1, "maximum": 4},
        "share": {"type": "number", "nullable": True},
        "format": {"allOf": [{"$ref": "#/components/schemas/format"}], "default": "png"},
        "image": {"type": "string", "format": "uri"},
    },
}
COMPONENTS = {"format": {"enum": ["jpg", "png"], "type": "string"}}


@pytest.mark.parametrize(
    ("input_", "type_", "field", "description"),
    [
        ({}, "required", "input", "prompt is required"),
        ({"prompt": 5}, "invalid_type", "input.prompt", "Expected: string, given: integer"),
        ({"count": "5"}, "invalid_type", "input.count", "Expected: integer, given: string"),
        ({"share": "5"}, "invalid_type", "input.share", "Expected: number, given: string"),
        ({"count": None}, "invalid_type", "input.count", "Expected: integer, given: null"),
        ({"count": 5}, "number_lte", "input.count", "Must be less than or equal to 4"),
        ({"count": 0}, "number_gte", "input.count", "Must be greater than or equal to 1"),
        (
            {"format": "gif"},
            "enum",
            "input.format",
            'format must be one of the following: "jpg", "png"',
        ),
        ({"image": "cat.png"}, "format", "input.image", "Does not match format 'uri'"),
    ],
)
def test_an_invalid_input_is_refused(
    input_: dict[str, Any],
    type_: str,
    field: str,
    description: str,
    send: Fixture,
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.add_model("a/b", SCHEMA, official=True, components=COMPONENTS)
    sent = input_ if type_ == "required" else {"prompt": "Hi", **input_}
    reply = send("POST", "/models/a/b/predictions", {"input": sent})
    assert (reply.status, reply.json["title"]) == (422, "Input validation failed")
    [invalid] = reply.json["invalid_fields"]
    assert (invalid["type"], invalid["field"]) == (type_, field)
    assert description in invalid["description"]
    assert description in reply.json["detail"]


@pytest.mark.parametrize(
    "input_",
    [
        {"no_such_field": 1},
        {"count": 4, "share": None, "format": "jpg"},
        {"image": "https://example.com/cat.png"},
        {"image": "data:image/png;base64,AAAA"},
    ],
)
def test_a_valid_input_is_accepted_and_unknown_fields_are_ignored(
    input_: dict[str, Any], send: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("a/b", SCHEMA, official=True, components=COMPONENTS)
    sent = {"prompt": "Hi", **input_}
    reply = send("POST", "/models/a/b/predictions", {"input": sent})
    assert reply.status == 201, reply.body
    assert reply.json["input"] == sent


def test_all_invalid_fields_are_listed_at_once(send: Fixture) -> None:
    reply = send("POST", OFFICIAL, {"input": {"top_p": 7, "top_k": "x"}})
    fields = {invalid["field"] for invalid in reply.json["invalid_fields"]}
    assert fields == {"input", "input.top_p", "input.top_k"}
    assert reply.json["detail"].count("\n") == 3


DEEP = b'{"input": {"prompt": "Hi", "u": ' + b"[" * 5000 + b"]" * 5000 + b"}}"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"5", b'"\\ud800"', b"\xff\xfe", b'{"input": null}', b"[" * 100_000),
        *(b'{"input": {"prompt": "a\xffb"}}', b'{"\\ud800": 1, "input": {}}', DEEP),
        b'{"input": {"prompt": "Hi", "max_tokens": "\\ud800"}}',
        b'{"input": {"prompt": "Hi", "max_tokens": ' + b"9" * 5000 + b"}}",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_that_cannot_be_read_is_refused(
    send: Fixture, replicate_emulator: Emulator, body: bytes
) -> None:
    path = f"/models/{replicate_emulator.model}/predictions"
    reply = send("POST", path, body)
    assert reply.status == 422
    assert reply.json["status"] == 422


@pytest.mark.parametrize("extra", [{"\ud800": 1}, {"u": ["\ud800"]}, {}])
def test_a_lone_surrogate_of_a_client_is_answered(
    send: Fixture, replicate_emulator: Emulator, extra: dict[str, Any]
) -> None:
    path = f"/models/{replicate_emulator.model}/predictions"
    body = {"input": {"prompt": "a\ud800b", **extra}, "stream": True}
    reply = send("POST", path, body, headers={"Prefer": "wait"})
    assert (reply.status, reply.json["status"]) == (201, "processing")
    assert "".join(reply.json["output"]).startswith("You asked: a?b")


@pytest.mark.parametrize("header", ["9" * 5000, "999999999h", "\xb2s"])
def test_an_endless_deadline_is_refused(
    send: Fixture, replicate_emulator: Emulator, header: str
) -> None:
    path = f"/models/{replicate_emulator.model}/predictions"
    reply = send("POST", path, {"input": {"prompt": "Hi"}}, headers={"Cancel-After": header})
    assert reply.status == 422

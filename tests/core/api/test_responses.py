"""Error responses of all known shapes become errors with their fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from html import escape
from typing import Any
from urllib.parse import quote

import pytest

from replicate_stream import (
    InvalidInputError,
    ModelNotFoundError,
    RateLimitError,
    ResponseError,
)
from replicate_stream._api.responses import Response, parse_json_object, to_response_error
from replicate_stream._secrets import Headers, Redactor

ACTION = "POST /models/meta/llama/predictions"


def build_error(status: int, body: Any, **headers: str) -> ResponseError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return to_response_error(Response(status, headers, raw), ACTION)


def test_the_error_for_a_bad_token_has_title_and_detail_and_a_hint() -> None:
    error = build_error(
        401,
        {
            "title": "Unauthenticated",
            "detail": "You did not pass a valid authentication token",
            "status": 401,
        },
    )
    assert (error.status, error.title) == (401, "Unauthenticated")
    assert error.detail == "You did not pass a valid authentication token"
    assert str(error) == (
        "POST /models/meta/llama/predictions: 401 Unauthorized: Unauthenticated: You did not pass "
        "a valid authentication token (check the API token: REPLICATE_API_TOKEN or api_key=)"
    )


@pytest.mark.parametrize(
    "body",
    [
        {"detail": "The requested resource could not be found.", "status": 404},
        {"detail": "Not found."},
        {"status": 404, "title": "Not found", "detail": "This model is an official model and …"},
        "just a string",
        b"<html><body>404</body></html>",
        b"",
    ],
)
def test_a_404_with_any_body_is_model_not_found(body: Any) -> None:
    error = build_error(404, body)
    assert isinstance(error, ModelNotFoundError)
    assert error.status == 404
    assert "Model not found" in str(error)


def test_the_422_for_a_wrong_version_is_model_not_found() -> None:
    error = build_error(
        422,
        {
            "title": "Invalid version or not permitted",
            "detail": "The specified version does not exist (or perhaps you don't have …)",
            "status": 422,
        },
    )
    assert isinstance(error, ModelNotFoundError)
    assert error.status == 422


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"type": "required", "field": "input", "description": "prompt is required"}, "prompt"),
        ({"type": "number_lte", "field": "input.top_k", "description": "Must be …"}, "top_k"),
        (
            {
                "type": "additional_property_not_allowed",
                "field": "",
                "description": "Additional property signal is not allowed",
            },
            "signal",
        ),
    ],
)
def test_the_422_for_an_input_names_its_fields(entry: dict[str, str], field: str) -> None:
    error = build_error(
        422, {"title": "Input validation failed", "detail": "- …\n", "invalid_fields": [entry]}
    )
    assert isinstance(error, InvalidInputError)
    assert error.fields == (field,)


def test_the_422_of_cog_names_its_fields() -> None:
    detail = [{"loc": ["body", "input", "max_tokens"], "msg": "…", "type": "value_error"}]
    error = build_error(422, {"detail": detail})
    assert isinstance(error, InvalidInputError)
    assert error.fields == ("max_tokens",)


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"detail": "Request was throttled. Your rate limit resets in ~30s."}, {}, 30.0),
        ({"detail": "… resets in ~5s.", "status": 429, "retry_after": 4}, {}, 4.0),
        ({"detail": "Request was throttled. Expected available in 1 second."}, {}, 1.0),
        ({"detail": "…", "retry_after": 9}, {"Retry-After": "2"}, 2.0),
        ({"detail": "…", "retry_after": 9}, {"retry-after": "soon"}, 9.0),
        ({"detail": "slow down"}, {}, None),
        (b"<html>busy</html>", {}, None),
    ],
)
def test_retry_after_is_parsed_from_header_body_or_text(
    body: Any, headers: dict[str, str], seconds: float | None
) -> None:
    error = build_error(429, body, **headers)
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds


def test_retry_after_may_be_a_date() -> None:
    soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=40), usegmt=True)
    error = build_error(503, {}, **{"Retry-After": soon})
    assert error.retry_after is not None
    assert 35 < error.retry_after <= 40


def test_the_detail_of_an_html_page_is_its_text() -> None:
    page = b"<html><style>x{}</style><h1>502</h1><p>Bad  gateway</p>" + b"z" * 5000
    error = build_error(502, page)
    assert error.detail is not None
    assert error.detail.startswith("502 Bad gateway zzz")
    assert len(error.detail) < 400


def test_the_402_names_the_billing_page() -> None:
    error = build_error(402, {"title": "Insufficient credit", "detail": "…", "status": 402})
    assert "https://replicate.com/account/billing" in str(error)


@pytest.mark.parametrize("body", [b"[]", b"null", b"<html>", b'"text"'])
def test_a_successful_response_must_be_a_json_object(body: bytes) -> None:
    with pytest.raises(ResponseError, match="not a JSON object"):
        parse_json_object(Response(200, {}, body), ACTION)


SPECIAL = """fake"&'>\\key"""


@pytest.mark.parametrize("write", [str, escape, json.dumps, quote])
def test_a_secret_is_redacted_however_a_server_escapes_it(write: Callable[[str], str]) -> None:
    redactor = Redactor()
    redactor.add(Headers({"X-Key": SPECIAL}))
    body = f"invalid key {write(SPECIAL)} given".encode()
    error = to_response_error(Response(401, {}, body, redactor), ACTION)
    assert "key [redacted] given" in str(error).replace('"', "")


def test_short_secrets_that_stand_in_data_by_chance_leave_it_as_it_is() -> None:
    redactor = Redactor()
    redactor.add(Headers({"X-Api-Key": "acme", "X-Session-Mode": "fail", "X-Auth": "prompt"}))
    schema: dict[str, Any] = {"openapi_schema": {"properties": {"prompt": {}}}}
    record = {
        "id": "x4acme7",
        "status": "failed",
        "model": "acme/text",
        "urls": {"get": "https://acme/predictions/x4acme7"},
        "latest_version": schema,
        "results": [{"id": "acme1", "input": {"prompt": "acme"}}],
        "next": "https://acme/?cursor=fail",
        "input": {"prompt": "acme"},
        "output": ["acme"],
    }
    body = json.dumps({**record, "error": "a fail of acme"}).encode()
    parsed = parse_json_object(Response(200, {}, body, redactor), ACTION)
    assert parsed == {**record, "error": "a [redacted] of [redacted]"}


def test_an_input_is_compared_with_what_was_sent_and_is_not_redacted() -> None:
    redactor = Redactor()
    redactor.add(Headers({"Authorization": "Bearer r8_fake_fake_fake"}))
    record = {"input": {"prompt": "What is r8_fake_fake_fake?"}}
    body = json.dumps({**record, "results": [{**record, "id": "r8_fake_fake_fake"}]}).encode()
    parsed = parse_json_object(Response(200, {}, body, redactor), ACTION)
    assert parsed == {**record, "results": [{**record, "id": "[redacted]"}]}


def test_a_url_with_a_secret_is_left_out_because_a_part_of_it_leads_elsewhere() -> None:
    redactor = Redactor()
    redactor.add(Headers({"X-Key": "fake+secret/long"}))
    urls = {
        "get": "https://a/b",
        "web": "https://a/fake%2Bsecret%2Flong",
        "cancel": "//FAKE+SECRET/LONG",
    }
    body = json.dumps({"urls": urls}).encode()
    parsed = parse_json_object(Response(200, {}, body, redactor), ACTION)
    assert parsed == {"urls": {"get": "https://a/b"}}


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "p1", "input": {"prompt": "a secret plan"}, "status": "star',
        b'\xef\xbb\xbf {"output": ["a secret plan"',
        b'["a secret plan"]',
        b'"a secret plan',
        b'event: output\ndata: {"chunk": "a secret plan"}\n\n',
        b": hi\n\ndata: a secret plan\n\n",
        b"[" * 5000 + b"a secret plan",
    ],
)
def test_damaged_data_are_not_quoted_because_they_may_hold_a_prompt_or_an_answer(
    body: bytes,
) -> None:
    with pytest.raises(ResponseError, match=rf"\({len(body)} bytes of data") as caught:
        parse_json_object(Response(200, {}, body), ACTION)
    assert "secret" not in str(caught.value)
    assert caught.value.detail is None

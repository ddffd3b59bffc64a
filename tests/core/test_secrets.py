"""Secrets stand in nothing that is stored or shown."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from replicate_stream import Client, secret_headers
from replicate_stream.adapters import without_secret_inputs, without_secrets
from replicate_stream.testing import Emulator

SECRET = "r8_fake_secret"
NAMES = [
    "Authorization", "Proxy-Authorization", "X-Api-Key", "apikey", "X-Auth-Token", "Cookie",
    "Helicone-Auth", "Ocp-Apim-Subscription-Key", "CF-Access-Client-Secret", "Private-Token",
    "X-Amz-Signature", "x_password", "X-Session-Id", "X-Goog-Iap-Jwt-Assertion", "X-Credentials",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_header_with_the_name_of_a_secret_is_not_stored(name: str) -> None:
    headers = {name: "plain", "x-team": "blue"}
    assert without_secrets(headers=headers)[1] == {"x-team": "blue"}
    assert b"plain" not in pickle.dumps(Client("r8_fake", headers=headers))


@pytest.mark.parametrize(
    "value", [f"Bearer {SECRET}", "Basic dXNlcjpmYWtl", SECRET, "sk-fake", "eyJmYWtlIjoxfQ.e30.x"]
)
def test_a_header_with_the_form_of_a_secret_is_not_stored(value: str) -> None:
    assert without_secrets(headers={"X-Forward": value, "a": "b"})[1] == {"a": "b"}


def test_callers_add_names_of_their_own() -> None:
    headers = {"X-Door": "open sesame"}
    assert without_secrets(headers=headers)[1] == headers
    secret_headers.add("X-Door")
    try:
        assert without_secrets(headers=headers)[1] == {}
    finally:
        secret_headers.discard("X-Door")


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("http://user:fake@host:1/a@b", "http://host:1/a@b"),
        ("user:fake@host:1", "host:1"),
        ("http://host:1/a@b", "http://host:1/a@b"),
        ("http://user:fake@[::1", "http://[::1"),
        (None, None),
    ],
)
def test_a_url_is_stored_without_its_password(url: Any, stored: Any) -> None:
    assert without_secrets(url)[0] == stored


@pytest.mark.parametrize(
    "name", ["openai_api_key", "apiKey", "hf_token", "access-key", "password", "client_secret"]
)
def test_an_input_with_the_name_or_the_form_of_a_secret_is_not_stored(name: str) -> None:
    kept = {"max_tokens": 5, "stop_token": "</s>", "prompt": "sort by key", "key": "C minor chord"}
    secrets = {name: "plain_fake_secret", "x": SECRET, "y": "hf_fake"}
    nested = {"other": {**secrets, "top_k": 1}, "list": [secrets, SECRET, "a", {"b": [secrets]}]}
    inputs = {**secrets, **kept, **nested}
    assert without_secret_inputs(inputs, model="acme/unknown", get_client=Client) == {
        **kept,
        "other": {"top_k": 1},
        "list": [{}, "a", {"b": [{}]}],
    }


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True},
        {"type": "string", "format": "password"},
        {"type": "string", "x-cog-secret": True},
        {"type": "array", "items": {"type": "string", "format": "password"}},
    ],
)
async def test_an_input_that_the_schema_declares_secret_is_not_stored(
    replicate_emulator: Emulator, spec: dict[str, Any]
) -> None:
    properties = {"prompt": {"type": "string"}, "handle": spec, "mood": {"type": "string"}}
    replicate_emulator.add_model("acme/vault", {"properties": properties}, official=True)
    inputs = {"handle": ["xyz"] if spec["type"] == "array" else "xyz", "mood": "calm"}
    async with Client() as client:
        await client.prepare("acme/vault", "Hi", extra_input=inputs)
        kept = without_secret_inputs(inputs, model="acme/vault", get_client=lambda: client)
    assert kept == {"mood": "calm"}
    assert without_secret_inputs(inputs, model="no model", get_client=Client) == inputs

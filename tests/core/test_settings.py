"""Connection settings: base URLs, tokens, proxies, and invalid values."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest

from replicate_stream import Client, InvalidInputError, MissingAuthError
from replicate_stream._settings import Settings, origin, read_settings

TOKEN = "r8_FAKE_TOKEN_FOR_TESTS"


class Hidden:
    def get_secret_value(self) -> str:
        return TOKEN


async def return_token() -> str:
    return TOKEN


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://api.replicate.com", "https://api.replicate.com/v1"),
        ("https://api.replicate.com/v1", "https://api.replicate.com/v1"),
        ("https://api.replicate.com/v1/", "https://api.replicate.com/v1"),
        ("https://gateway.example/replicate", "https://gateway.example/replicate/v1"),
        ("http://127.0.0.1:8123", "http://127.0.0.1:8123/v1"),
        ("http://[::1]:8123/v1", "http://[::1]:8123/v1"),
        ("https://replicate.com/api/models/", "https://replicate.com/api"),
        (" https://replicate.com/api ", "https://replicate.com/api"),
    ],
)
def test_a_base_url_is_accepted_with_and_without_v1(given: str, used: str) -> None:
    assert read_settings(TOKEN, base_url=given).base_url == used


@pytest.mark.parametrize(
    "url",
    [
        "api.replicate.com",
        "ftp://x.example",
        "https://",
        "",
        "https://u:p@host.example",
        "u:p@host",
    ],
)
def test_the_error_for_an_invalid_base_url_hides_it(url: str) -> None:
    with pytest.raises(InvalidInputError, match="base_url") as caught:
        read_settings(base_url=url or "nonsense")
    assert "u:p" not in str(caught.value)


def test_plain_http_to_another_host_warns_once() -> None:
    with pytest.warns(UserWarning, match="unencrypted") as seen:
        Client(TOKEN, base_url="http://replicate.internal.example/v1")
    assert len(seen) == 1
    assert seen[0].filename == __file__


def test_plain_http_on_this_machine_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for host in ("localhost:1", "127.0.0.1:1", "[::1]:1"):
            Client(TOKEN, base_url=f"http://{host}")


async def test_the_base_url_and_the_token_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", TOKEN)
    monkeypatch.setenv("REPLICATE_BASE_URL", "https://gateway.example")
    settings = read_settings()
    assert settings.base_url == "https://gateway.example/v1"
    token = await settings.fetch_token()
    assert token is not None
    assert token.get_secret_value() == TOKEN


def test_without_a_token_the_base_url_is_the_websites(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    monkeypatch.delenv("REPLICATE_BASE_URL", raising=False)
    assert read_settings(requires_auth=False).base_url == "https://replicate.com/api"
    assert read_settings(TOKEN, requires_auth=False).base_url == "https://api.replicate.com/v1"
    assert read_settings().base_url == "https://api.replicate.com/v1"


@pytest.mark.parametrize(
    "key", [TOKEN, f"  {TOKEN}\n", Hidden(), lambda: TOKEN, return_token, Hidden]
)
async def test_a_token_may_be_a_string_a_secret_or_a_function(key: Any) -> None:
    token = await read_settings(key).fetch_token()
    assert token is not None
    assert token.get_secret_value() == TOKEN


async def test_the_error_for_a_function_that_returns_no_token_names_its_type() -> None:
    with pytest.raises(InvalidInputError, match="api_key is of type int"):
        await read_settings(lambda: 7).fetch_token()  # type: ignore[arg-type]  # the point


class NumberInside:
    def get_secret_value(self) -> Any:
        return 7


def test_a_secret_that_holds_no_string_is_an_error_before_any_request() -> None:
    with pytest.raises(InvalidInputError, match="api_key is of type int"):
        Client(NumberInside())


async def test_a_missing_token_is_an_error_if_one_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    with pytest.raises(MissingAuthError):
        await read_settings().fetch_token()
    with pytest.raises(MissingAuthError):
        await read_settings("").fetch_token()
    assert await read_settings(requires_auth=False).fetch_token() is None
    given = read_settings(headers={"authorization": "Bearer of a gateway"})
    assert await given.fetch_token() is None


@pytest.mark.parametrize("key", ["r8_\nX-Evil: 1", "r8_é", "r8_ two"])
async def test_the_error_for_an_invalid_token_hides_it(key: str) -> None:
    with pytest.raises(InvalidInputError, match="api_key") as caught:
        await read_settings(key).fetch_token()
    assert "r8_" not in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("timeout", 0),
        ("timeout", -1),
        ("deadline", 0),
        ("max_retries", -1),
        ("proxy", "socks5://x:1"),
        ("proxy", "x:1"),
        ("proxy", "http://x:99999"),
        ("proxy", "http://[x"),
        ("base_url", "http://x:99999"),
        ("base_url", "https://[x"),
        ("proxy", 7),
        ("base_url", b"https://x"),
        ("timeout", "5"),
        ("timeout", True),
        ("timeout", float("nan")),
        ("deadline", float("inf")),
        ("max_retries", None),
        ("max_retries", "2"),
        ("api_key", 7),
        ("api_key", b"r8_fake"),
        ("headers", "X-Team: blue"),
        ("headers", [("X-Team", "blue")]),
        ("on_unsupported", "shout"),
    ],
)
def test_the_error_for_an_argument_out_of_range_names_it(argument: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=argument) as caught:
        Client(**{"api_key": TOKEN, argument: value})
    assert caught.value.fields == (argument,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("X-Door", f"sesame{bad}")
            for bad in ("\n", "\r\nX: 1", "\0", "\x7f", "é", "ж", "\ud800")
        ),
        *(("X-Door", bad) for bad in (7, None, b"sesame", ["sesame"], True)),
        *((bad, "sesame") for bad in ("X-Door: sesame", "X-Door\n", "X-Door ", "X-Doorж")),
        ("Content-Length", "3"),
        ("transfer-encoding", "chunked"),
    ],
)
def test_the_error_for_a_header_that_cannot_be_sent_names_it_and_hides_its_value(
    name: str, value: Any
) -> None:
    with pytest.raises(
        InvalidInputError, match=re.split(r"[^\w-]", name, flags=re.ASCII)[0]
    ) as caught:
        Client(TOKEN, headers={"X-Team": "blue", name: value})
    assert caught.value.fields == ("headers",)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("name", ["", ":", 7, None])
def test_a_header_needs_a_name(name: Any) -> None:
    with pytest.raises(InvalidInputError, match="headers has an invalid name"):
        Client(TOKEN, headers={name: "sesame"})


def test_reprs_hide_the_token_and_the_proxys_password() -> None:
    settings = read_settings(
        TOKEN, proxy="http://user:hunter2@proxy.example:8080", headers={"X-Key": "hunter3"}
    )
    client = Client(TOKEN, proxy="http://user:hunter2@proxy.example:8080")
    for shown in (repr(settings), repr(client), str(client)):
        assert TOKEN not in shown
        assert "hunter" not in shown


def test_the_environments_proxies_are_used_and_no_proxy_is_respected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "internal.example,127.0.0.1")
    settings = read_settings(TOKEN)
    assert settings.proxy_for("https://api.replicate.com/v1") == "http://proxy.example:3128"
    assert settings.proxy_for("https://a.internal.example/v1") is None
    assert settings.proxy_for("http://127.0.0.1:80/v1") is None
    assert settings.proxy_for("http://plain.example/") is None


@pytest.mark.parametrize("value", ["proxy.example:3128", " http://proxy.example:3128 "])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_may_be_without_a_scheme(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    proxy = read_settings(TOKEN).proxy_for("https://api.replicate.com/v1")
    assert proxy == "http://proxy.example:3128"
    monkeypatch.setenv(name, "user:pw@proxy.example:3128")
    proxy = read_settings(TOKEN).proxy_for("https://api.replicate.com/v1")
    assert proxy == "http://user:pw@proxy.example:3128"


UNUSABLE = ["socks5://u:r8_fake@x:1", "socks5h://x:1", "ftp://x", "http://x:99999", "x:0", "x:port"]


@pytest.mark.parametrize("value", UNUSABLE)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_error_for_an_unusable_proxy_of_the_environment_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInputError, match=name) as caught:
        Client(TOKEN)
    assert caught.value.fields == (name,)
    assert "r8_fake" not in str(caught.value)
    monkeypatch.setenv("NO_PROXY", "replicate.com")
    Client(TOKEN)
    monkeypatch.delenv("NO_PROXY")
    Client(TOKEN, proxy="http://proxy.example:3128")


def test_an_explicit_proxy_is_used_for_all_requests() -> None:
    settings = read_settings(TOKEN, proxy="http://proxy.example:3128")
    for url in ("https://api.replicate.com/v1", "http://127.0.0.1:1/", "https://x.replicate.net/"):
        assert settings.proxy_for(url) == "http://proxy.example:3128"


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin("https://a.example/x?y") == ("https", "a.example", 443)
    assert origin("https://a.example/") != origin("http://a.example/")
    assert origin("http://a.example:80/") == origin("http://a.example/")
    assert Settings("https://a.example/v1").max_retries == 2

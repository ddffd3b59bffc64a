"""Connection settings: address, token, proxies, time limits. Only here the environment is read."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeAlias, TypeGuard, get_args, runtime_checkable
from urllib.parse import urlsplit

from replicate_stream._errors import InvalidInputError, MissingAuthError, invalid_value, wrong_type
from replicate_stream._secrets import Headers, Token, hide, hide_headers, without_secrets
from replicate_stream._warnings import warn_caller

TOKEN_VARIABLE = "REPLICATE_API_TOKEN"  # noqa: S105 - the variable's name, not a token
BASE_URL_VARIABLE = "REPLICATE_BASE_URL"
DIALECT_VARIABLE = "REPLICATE_DIALECT"
DEFAULT_BASE_URL = "https://api.replicate.com/v1"
_BASE_URL_FORMS = {True: "https://host or https://host/v1", False: "http://host:port"}
KEYLESS_BASE_URL = "https://replicate.com/api"
"""The base URL without a token, if none is required: the API behind the website's playground."""

Dialect: TypeAlias = Literal["replicate", "cog"]
"""The API that is spoken: Replicate's, or that of a container of Cog."""


@runtime_checkable
class Secret(Protocol):
    """A value that hides itself in its `repr`, such as pydantic's `SecretStr`."""

    def get_secret_value(self) -> str:
        """Return the value."""
        raise NotImplementedError


KeySource: TypeAlias = "Callable[[], str | Secret] | Callable[[], Awaitable[str]]"
ApiKey: TypeAlias = "str | Secret | KeySource | None"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a client's connections, as `read_settings` returns them.

    Attributes:
        base_url: The API's base URL, without a slash at its end.
        api_key: The token, or a function that returns it for each request; None for no token.
        proxies: Proxy URLs by scheme, and under `no` the hosts without proxy; may hold passwords.
        timeout: The longest wait for the next data, in seconds; None for no limit.
        deadline: The longest duration of a prediction, in seconds; None for no limit.
        headers: Further headers of requests to the API.
        max_retries: The number of times that a failed request is repeated, if that is safe.
        requires_auth: True if a missing token is an error.
        dialect: The API that is spoken.
    """

    base_url: str
    # Out of the `repr`: these hold secrets.
    api_key: ApiKey = field(default=None, repr=False)
    proxies: Mapping[str, Token] = field(default_factory=dict, repr=False)
    timeout: float | None = 180.0
    deadline: float | None = None
    headers: Headers = field(default_factory=Headers, repr=False)
    max_retries: int = 2
    requires_auth: bool = True
    dialect: Dialect = "replicate"

    def __post_init__(self) -> None:
        for name in ("timeout", "deadline", "max_retries"):
            value: Any = getattr(self, name)
            if value is None and name != "max_retries":
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise wrong_type(name, value, "a number")
            if name == "max_retries" and not 0 <= value < math.inf:
                raise invalid_value(name, value, "0 or more")
            if name != "max_retries" and not 0 < value < math.inf:
                raise invalid_value(name, value, "more than 0 seconds, or None")

    @property
    def lacks_token(self) -> bool:
        """True if a token is required, and there is neither one nor a function that returns it."""
        return self.requires_auth and not self.api_key and "authorization" not in self.headers

    async def fetch_token(self) -> Token | None:
        """Return the token, from the function if there is one; None without a token.

        Raises:
            MissingAuthError: A token is required and missing.
            InvalidInputError: It is not a string, or has characters that a header cannot hold.
        """
        key: Any = self.api_key
        if callable(key):
            key = await _call(key)
        if key is not None and not isinstance(key, Token):
            raise wrong_type("api_key", key, "a str, or a function that returns one")
        if key:
            if not key.is_valid:
                raise InvalidInputError(
                    "api_key has characters that no token has (spaces, line breaks or non-ASCII)",
                    fields=("api_key",),
                )
            return key
        if self.requires_auth and "authorization" not in self.headers:
            raise MissingAuthError
        return None

    def without_secrets(self) -> Settings:
        """Copy the settings for a pickle: without passwords and without a literal token."""
        proxies = {
            scheme: Token(without_secrets(proxy.get_secret_value())[0] or "")
            for scheme, proxy in self.proxies.items()
        }
        return replace(
            self,
            api_key=self.api_key if callable(self.api_key) else None,
            headers=Headers(without_secrets(headers=self.headers)[1] or {}),
            proxies=proxies,
        )

    def with_environment_token(self) -> Settings:
        """Copy the settings with the environment's token, unless they have or need none."""
        if self.api_key is not None or self.dialect == "cog":
            return self
        return replace(self, api_key=hide(os.environ.get(TOKEN_VARIABLE) or None))

    def proxy_for(self, url: str) -> str | None:
        """Return the URL of the proxy for a request; None for a direct connection.

        Raises:
            InvalidInputError: The environment names a proxy that cannot be used.
        """
        if not self.proxies:
            return None
        parts = urlsplit(url)
        host = parts.hostname or ""
        no_proxy = self.proxies.get("no")
        if no_proxy and _is_bypassed(host, parts.port, no_proxy.get_secret_value()):
            return None
        kind = parts.scheme if parts.scheme in self.proxies else "all"
        proxy = self.proxies.get(kind)
        # To anything but an HTTP proxy, aiohttp would send the request with its token in the clear.
        if proxy is not None and not is_readable(proxy.get_secret_value()):
            raise _build_proxy_error(kind, proxy)
        return None if proxy is None else proxy.get_secret_value()


def read_settings(
    api_key: ApiKey = None,
    *,
    base_url: Any = None,
    proxy: Any = None,
    headers: Any = None,
    requires_auth: bool = True,
    dialect: Dialect | None = None,
    **limits: Any,
) -> Settings:
    """Validate the settings, and take the missing ones from the environment.

    The arguments are those of `Client`; `limits` are `timeout`, `deadline` and `max_retries`.

    Raises:
        InvalidInputError: Names an argument of a wrong type or out of its range.
    """
    api_key, base_url, proxy = _unwrap(hide(api_key)), hide(base_url), hide(proxy)
    headers = hide_headers(headers)
    _check_types(api_key, base_url, proxy, headers)
    dialect = _read_dialect(dialect)
    base_url = base_url or hide(os.environ.get(BASE_URL_VARIABLE))
    if dialect == "cog":
        # Adapters take a token from the environment, which a container must not get.
        api_key, requires_auth = None, False
        if not base_url:
            raise InvalidInputError(
                "base_url is missing: dialect='cog' needs the address of a container, such as "
                f"http://localhost:5000; pass it, or set {BASE_URL_VARIABLE}",
                fields=("base_url",),
            )
    elif api_key is None:
        api_key = hide(os.environ.get(TOKEN_VARIABLE) or None)
    if not base_url:
        base_url = hide(DEFAULT_BASE_URL if api_key or requires_auth else KEYLESS_BASE_URL)
    if proxy and not is_readable(proxy.get_secret_value()):
        message = "proxy must be of the form http://host:port, with a port from 1 to 65535"
        raise InvalidInputError(message, fields=("proxy",))
    settings = Settings(
        base_url=_normalize_base_url(base_url, has_version=dialect == "replicate"),
        api_key=api_key,
        proxies={"all": proxy} if proxy else _read_environment_proxies(),
        headers=headers or Headers(),
        requires_auth=requires_auth,
        dialect=dialect,
        **limits,
    )
    settings.proxy_for(settings.base_url)  # which refuses one that cannot be used
    return settings


async def _call(function: Callable[[], Any]) -> Any:
    """Return the token that a function returns, be it async or not."""
    key = hide(function())
    if inspect.isawaitable(key):
        key = hide(await key)
    return _unwrap(key)


def _unwrap(key: Any) -> Any:
    """Return what a secret holds, and anything else as it is."""
    # The protocol comes last: for one, `isinstance` looks every member up. A class of secrets is a
    # function that returns one.
    if isinstance(key, Token) or callable(key) or not isinstance(key, Secret):
        return key
    return hide(key.get_secret_value())


def _read_dialect(dialect: Any) -> Dialect:
    name = "dialect"
    if dialect is None:
        name, dialect = DIALECT_VARIABLE, os.environ.get(DIALECT_VARIABLE) or "replicate"
    if dialect not in get_args(Dialect):
        raise invalid_value(name, dialect, "'replicate' or 'cog'")
    known: Dialect = dialect
    return known


def _check_types(api_key: Any, base_url: Any, proxy: Any, headers: Any) -> None:
    if not (api_key is None or isinstance(api_key, Secret) or callable(api_key)):
        expected = "a str, a secret with get_secret_value(), or a function that returns one"
        raise wrong_type("api_key", api_key, expected)
    for name, url in (("base_url", base_url), ("proxy", proxy)):
        if not (url is None or isinstance(url, Token)):
            raise wrong_type(name, url, "a str")
    if headers is None:
        return
    if not isinstance(headers, Headers):
        raise wrong_type("headers", headers, "a mapping of names to values")
    if problem := headers.find_problem():
        raise InvalidInputError(problem, fields=("headers",))


def _normalize_base_url(base_url: Token, *, has_version: bool) -> str:
    """Convert a base URL to the form without a slash at its end, and with `/v1` if it has one.

    Both spellings are in use: Replicate's Python client 1.x wants it without `/v1`, 2.0 with it
    (docs/replicate-api.md 1.1). `https://replicate.com/api` stays, and so loses its `/models`.

    Raises:
        InvalidInputError: It is not an http or https URL, or it holds credentials.
    """
    if not is_readable(base_url.get_secret_value()):
        raise InvalidInputError(
            f"base_url must be of the form {_BASE_URL_FORMS[has_version]}", fields=("base_url",)
        )
    if _has_user_info(base_url.get_secret_value()):
        raise InvalidInputError(
            "base_url holds a user name or password; pass them in headers=", fields=("base_url",)
        )
    parts = urlsplit(base_url.get_secret_value())
    if not has_version:  # nor is a token sent
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        warn_caller(
            f"base_url is plain http on {parts.hostname}: the API token travels unencrypted",
            UserWarning,
        )
    path = parts.path.rstrip("/")
    keyless = urlsplit(KEYLESS_BASE_URL)
    if parts.hostname == keyless.hostname and path in {keyless.path, f"{keyless.path}/models"}:
        path = keyless.path
    elif not path.endswith("/v1"):
        path += "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


def cut_path(url: str) -> str:
    """Return the part of a URL before its path: its scheme, its host and what is between them.

    Predictions have URLs of their own on few hosts. What follows from the host alone is remembered
    by this part: parsing a URL costs 45,000 instructions, a hundredth of a short answer.
    """
    end = url.find("/", url.find("//") + 2)
    return url if end < 0 else url[:end]


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL. The token is only sent to the origin of the API.

    With credentials, which aiohttp sends in the place of the token, it is another origin.
    """
    return _parse_origin(cut_path(url))


@lru_cache(maxsize=64)
def _parse_origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    default_port = 443 if parts.scheme == "https" else 80
    host = parts.netloc if "@" in parts.netloc else parts.hostname or ""
    return parts.scheme, host, parts.port or default_port


def is_readable(url: str | None) -> TypeGuard[str]:
    """Whether a URL is one of http or https that can be parsed."""
    return url is not None and _is_readable(cut_path(url))


@lru_cache(maxsize=64)
def _is_readable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address, or a port out of range
        return False


def _has_user_info(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.username or parts.password)


def _read_environment_proxies() -> dict[str, Token]:
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    import urllib.request  # as slow as importing the rest of the core, and rarely needed

    found = urllib.request.getproxies_environment()
    proxies = {k: found[k].strip() for k in ("http", "https", "all", "no") if found.get(k)}
    # curl, requests and httpx too take `host:port` for an HTTP proxy.
    return {k: Token(v if k == "no" or "://" in v else f"http://{v}") for k, v in proxies.items()}


def _build_proxy_error(kind: str, proxy: Token) -> InvalidInputError:
    names = [name for name in os.environ if name.lower() == f"{kind}_proxy"]
    name = max(names, default=f"{kind.upper()}_PROXY")  # lower case wins, as in curl
    scheme = proxy.get_secret_value().partition("://")[0]
    return InvalidInputError(
        f"{name} names a proxy ({scheme}://…) that cannot be used: it must be of the form "
        "http://host:port, with a port from 1 to 65535; change it, or pass proxy=",
        fields=(name,),
    )


def _is_bypassed(host: str, port: int | None, no_proxy: str) -> bool:
    import urllib.request  # as above

    host_and_port = f"{host}:{port}" if port else host
    # typeshed does not declare the second argument of this documented-by-use function
    bypass: Callable[..., object] = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]
    return bool(bypass(host_and_port, {"no": no_proxy}))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    import ipaddress  # slower to import than this module, and rarely needed

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

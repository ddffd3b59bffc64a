"""Where the service is, who asks, and how long to wait. The environment is read once, here."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias, runtime_checkable
from urllib.parse import urlsplit, urlunsplit

from replicate_stream._errors import InvalidInputError, MissingAuthError, invalid_value, wrong_type
from replicate_stream._warnings import warn_caller

TOKEN_VARIABLE = "REPLICATE_API_TOKEN"  # noqa: S105 - the variable's name, not a token
BASE_URL_VARIABLE = "REPLICATE_BASE_URL"
DEFAULT_BASE_URL = "https://api.replicate.com/v1"
KEYLESS_BASE_URL = "https://replicate.com/api"
"""The base for requests without a token, where none is required (product.md section 2)."""
_SECRET_HEADERS = {"authorization", "proxy-authorization"}


@runtime_checkable
class Secret(Protocol):
    """A value that shows itself only when asked, such as pydantic's `SecretStr`."""

    def get_secret_value(self) -> str:
        """Return the value."""
        raise NotImplementedError


KeySource: TypeAlias = "Callable[[], str | Secret] | Callable[[], Awaitable[str]]"
ApiKey: TypeAlias = "str | Secret | KeySource | None"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about the way to the service. Made by `read_settings`.

    Attributes:
        base_url: The API's address, without a slash at its end.
        api_key: The token, or a function that gives it for each request; None if there is none.
        proxies: Proxy addresses by scheme, `no` for hosts that need none; may hold passwords.
        timeout: The longest silence, in seconds; None for no bound.
        deadline: The longest that a prediction may take in all, in seconds.
        headers: Further headers of requests to the API.
        max_retries: How often a request that may be repeated is repeated.
        requires_auth: Whether a missing token is an error.
    """

    base_url: str
    api_key: ApiKey = field(default=None, repr=False)
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = 180.0
    deadline: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_retries: int = 2
    requires_auth: bool = True

    async def authorization(self) -> str | None:
        """The `Authorization` header's value, None if no token is given and none is required.

        Raises:
            MissingAuthError: A token is required and there is none.
        """
        key = self.api_key
        if callable(key):
            given = key()
            key = await given if inspect.isawaitable(given) else given
        if isinstance(key, Secret):
            key = key.get_secret_value()
        key = (key or "").strip()
        if key:
            if not key.isascii() or not key.isprintable() or " " in key:
                raise InvalidInputError(
                    "api_key has characters that no token has (spaces, line breaks or non-ASCII)",
                    fields=("api_key",),
                )
            return f"Bearer {key}"
        given_by_header = any(name.lower() == "authorization" for name in self.headers)
        if self.requires_auth and not given_by_header:
            raise MissingAuthError
        return None

    def without_secrets(self) -> Settings:
        """The same for a pickle: without a token, unless a function gives it, and passwords."""
        proxies = {
            scheme: without_secrets(proxy)[0] or "" for scheme, proxy in self.proxies.items()
        }
        return replace(
            self,
            api_key=self.api_key if callable(self.api_key) else None,
            headers=without_secrets(headers=self.headers)[1] or {},
            proxies=proxies,
        )

    def with_environments_token(self) -> Settings:
        """The same with the environment's token where there is none."""
        if self.api_key is not None:
            return self
        return replace(self, api_key=os.environ.get(TOKEN_VARIABLE) or None)

    def proxy_for(self, url: str) -> str | None:
        """The proxy to reach a URL through, None for a direct connection."""
        if not self.proxies:
            return None
        parts = urlsplit(url)
        host = parts.hostname or ""
        if "no" in self.proxies and _is_bypassed(host, parts.port, self.proxies["no"]):
            return None
        return self.proxies.get(parts.scheme) or self.proxies.get("all")


def read_settings(
    api_key: ApiKey = None,
    *,
    base_url: str | None = None,
    proxy: str | None = None,
    timeout: float | None = 180.0,
    deadline: float | None = None,
    headers: Mapping[str, str] | None = None,
    max_retries: int = 2,
    requires_auth: bool = True,
) -> Settings:
    """Fill in what was not given from the environment, and check everything.

    Raises:
        InvalidInputError: A value is out of its range; it names the argument.
    """
    if api_key is None:
        api_key = os.environ.get(TOKEN_VARIABLE) or None
    elif not isinstance(api_key, (str, Secret)) and not callable(api_key):
        raise wrong_type(
            "api_key",
            api_key,
            "a str, a secret with get_secret_value(), or a function that returns one",
        )
    base_url = base_url or os.environ.get(BASE_URL_VARIABLE)
    if not base_url:
        base_url = DEFAULT_BASE_URL if api_key or requires_auth else KEYLESS_BASE_URL
    for name, seconds in (("timeout", timeout), ("deadline", deadline)):
        if seconds is not None and seconds <= 0:
            raise invalid_value(name, seconds, "more than 0 seconds, or None")
    if max_retries < 0:
        raise invalid_value("max_retries", max_retries, "0 or more")
    return Settings(
        base_url=normalize_base_url(base_url),
        api_key=api_key,
        proxies={"all": _checked_proxy(proxy)} if proxy else _environment_proxies(),
        timeout=timeout,
        deadline=deadline,
        headers=dict(headers or {}),
        max_retries=max_retries,
        requires_auth=requires_auth,
    )


def without_secrets(
    proxy: str | None = None, headers: Mapping[str, str] | None = None
) -> tuple[str | None, dict[str, str] | None]:
    """A proxy's address without its password, and headers without those that authorize.

    For what is written down, such as a pickle.
    """
    if proxy is not None and "@" in proxy:
        parts = urlsplit(proxy)
        proxy = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if headers is not None:
        headers = {k: v for k, v in headers.items() if k.lower() not in _SECRET_HEADERS}
    return proxy, headers


def normalize_base_url(url: str) -> str:
    """A base URL as the library uses it: with `/v1`, without a slash at its end.

    Both spellings are in use: the Python client 1.x wants it without `/v1`, 2.0 with it
    (replicate-api.md 1.1). `https://replicate.com/api`, with or without `/models`, stays as it is.

    Raises:
        InvalidInputError: Not an http or https URL.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInputError(
            "base_url needs the form https://host or https://host/v1", fields=("base_url",)
        )
    if parts.username or parts.password:
        raise InvalidInputError(
            "base_url holds a user name or password; give them in headers=", fields=("base_url",)
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
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


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what may see a token, and what may not."""
    parts = urlsplit(url)
    default_port = 443 if parts.scheme == "https" else 80
    return parts.scheme, parts.hostname or "", parts.port or default_port


def _checked_proxy(proxy: str) -> str:
    if urlsplit(proxy).scheme not in {"http", "https"} or not urlsplit(proxy).hostname:
        raise InvalidInputError("proxy needs the form http://host:port", fields=("proxy",))
    return proxy


def _environment_proxies() -> dict[str, str]:
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    import urllib.request  # costs as much as the rest of the core, and few need it

    found = urllib.request.getproxies_environment()
    return {k: v for k, v in found.items() if k in {"http", "https", "all", "no"} and v}


def _is_bypassed(host: str, port: int | None, no_proxy: str) -> bool:
    import urllib.request

    host_and_port = f"{host}:{port}" if port else host
    # typeshed does not declare the second argument of this documented-by-use function
    bypass: Callable[..., object] = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]
    return bool(bypass(host_and_port, {"no": no_proxy}))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    import ipaddress  # costs more than this module, and few addresses get here

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

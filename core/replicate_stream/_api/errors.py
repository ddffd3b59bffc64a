"""Exceptions of aiohttp as errors of this library.

The messages are written here, because aiohttp's own can hold the stream's URL or a proxy's
password, and some of its exceptions carry the whole request, with the API token. aiohttp is
imported within functions, so that importing the core is cheap.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from replicate_stream._errors import (
    ReplicateConnectionError,
    ReplicateError,
    ReplicateTimeoutError,
    ResponseError,
)

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT = 30.0
"""Longest time for making a connection, in seconds."""
RESPONSE = "the reply"
"""`ReplicateTimeoutError.waited_for` of a request without a response."""
_CHECK_URLS = (
    "check whether base_url and proxy (or HTTPS_PROXY) name the right scheme, host and port"
)


@cache
def get_connection_errors() -> tuple[type[Exception], ...]:
    """The exceptions that a request, or a read of its response, raises if the connection fails."""
    import aiohttp

    # aiohttp passes on the UnicodeError of a host name that DNS cannot hold.
    return (aiohttp.ClientError, asyncio.TimeoutError, OSError, UnicodeError)


def describe_request(method: str, url: str) -> str:
    """Method and path of a request, for messages. Host and query are left out."""
    return f"{method} {urlsplit(url).path}"


def to_replicate_error(
    error: BaseException, request: str, timeout: float | None = None
) -> ReplicateError:
    """Convert an exception out of `get_connection_errors`.

    Args:
        error: The exception.
        request: The request, e.g. `GET /models/meta/llama`.
        timeout: The time-out of the request, in seconds.
    """
    import aiohttp

    if isinstance(error, aiohttp.ClientHttpProxyError):
        return ReplicateConnectionError(
            f"{request}: the proxy refused the connection with status {error.status}; check "
            "proxy= or HTTPS_PROXY",
            is_sent=False,
        )
    if isinstance(error, aiohttp.ClientResponseError):
        # Its status is aiohttp's own, which no server has sent.
        return ReplicateConnectionError(f"{request}: the response is not valid HTTP; {_CHECK_URLS}")
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, UnicodeError)):
        return ResponseError(f"{request}: the URL cannot be requested; check base_url")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ReplicateConnectionError(
            f"{request}: no connection within {CONNECT_TIMEOUT:g} s", is_sent=False
        )
    if isinstance(error, asyncio.TimeoutError):
        seconds = timeout or 0.0
        return ReplicateTimeoutError(
            f"{request}: no response within {seconds:g} s; a larger timeout= waits longer",
            waited_for=RESPONSE,
            seconds=seconds,
        )
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ReplicateConnectionError(
            f"{request}: the TLS certificate of {error.host}:{error.port} is not trusted"
            f"{_get_certificate_problem(error)}; if an authority of your own has issued it, "
            "SSL_CERT_FILE names the file of its certificate",
            is_sent=False,
        )
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return ReplicateConnectionError(
            f"{request}: no TLS connection to {error.host}:{error.port}; check whether base_url "
            "and proxy (or HTTPS_PROXY) must begin with http:// there",
            is_sent=False,
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = f" ({error.strerror})" if isinstance(error.strerror, str) else ""
        place = f"{error.host}:{error.port}{reason}"
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            place = f"the proxy {place}; check proxy= or HTTPS_PROXY"
        return ReplicateConnectionError(f"{request}: no connection to {place}", is_sent=False)
    return ReplicateConnectionError(
        f"{request}: the connection broke before the response was complete "
        f"({type(error).__name__}); if it always does, {_CHECK_URLS}"
    )


def _get_certificate_problem(error: aiohttp.ClientConnectorCertificateError) -> str:
    reason = getattr(error.certificate_error, "verify_message", "")  # OpenSSL's own
    return f" ({reason})" if reason else ""

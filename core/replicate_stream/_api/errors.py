"""What aiohttp raises, as errors of ours.

The texts are ours too: aiohttp's own may hold a stream's URL or a proxy's password, and some of
its errors carry the whole request, token included.
"""

from __future__ import annotations

import asyncio
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
"""The longest that making a connection may take, in seconds."""


class NotSentError(ReplicateConnectionError):
    """The connection was never made, so the request cannot have arrived."""


def to_error(error: BaseException, doing: str, within: float | None = None) -> ReplicateError:
    """An aiohttp error, a time-out or an OS error as one of ours.

    Its text is ours: aiohttp's own may hold a stream's URL or a proxy's password.

    Args:
        error: What was raised.
        doing: What was being done, e.g. `GET /models/meta/llama`.
        within: The seconds after which it counted as too long.
    """
    import aiohttp

    if isinstance(error, aiohttp.ClientHttpProxyError):
        return NotSentError(f"{doing}: the proxy refused with status {error.status}")
    if isinstance(error, aiohttp.ClientResponseError):
        return ResponseError(f"{doing}: {type(error).__name__}", status=error.status or None)
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
        return ResponseError(f"{doing}: not a URL that can be fetched")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return NotSentError(f"{doing}: no connection within {CONNECT_TIMEOUT:g} s")
    if isinstance(error, asyncio.TimeoutError):
        seconds = within or 0.0
        return ReplicateTimeoutError(
            f"{doing}: no reply within {seconds:g} s", waited_for="the reply", seconds=seconds
        )
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError)):
        return ReplicateConnectionError(
            f"{doing}: the server's TLS certificate or handshake was not accepted"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return NotSentError(f"{doing}: no connection to {error.host}:{error.port}{_why(error)}")
    return ReplicateConnectionError(
        f"{doing}: the connection broke before the reply was there ({type(error).__name__})"
    )


def _why(error: aiohttp.ClientConnectorError) -> str:
    return f" ({error.strerror})" if isinstance(error.strerror, str) else ""


def chainable(error: BaseException) -> BaseException | None:
    """The error to chain, unless it carries the request and with it the token."""
    return None if hasattr(error, "request_info") else error


def path_of(path: str) -> str:
    """A request's path for messages: hosts and queries need not show."""
    return urlsplit(path).path

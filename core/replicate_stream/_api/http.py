"""HTTP requests: which are repeated, where the token goes, and which errors responses become.

The requests that cost money have a module of their own: `creation`.

aiohttp is imported within functions, so that importing the core is cheap; `Sessions.get` has loaded
it in a thread by then.
"""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from replicate_stream._api.dial_ahead import Dial
from replicate_stream._api.errors import (
    CONNECT_TIMEOUT,
    describe_request,
    get_connection_errors,
    to_replicate_error,
)
from replicate_stream._api.rate_limit import MAX_RETRY_DELAY
from replicate_stream._api.read_timeout import read_within
from replicate_stream._api.responses import MAX_RESPONSE_BYTES, Response, to_response_error
from replicate_stream._api.sessions import Sessions
from replicate_stream._errors import (
    InvalidInputError,
    ReplicateConnectionError,
    ReplicateError,
    ResponseError,
)
from replicate_stream._frozen import fill_slots
from replicate_stream._logging import log
from replicate_stream._secrets import Headers, Redactor, Token
from replicate_stream._settings import Settings, cut_path, is_readable, origin

if TYPE_CHECKING:
    import aiohttp


GRACE_PERIOD = 5.0
"""Longest wait for the response to a request whose caller was cancelled, in seconds."""
_ACCEPT_JSON = {"Accept": "application/json"}
_LARGE_BODY = 1024 * 1024  # bytes, as aiohttp counts
_MAX_REDIRECTS = 5
_MAX_BUILT_HEADERS = 8
_REDIRECTS = {301, 302, 303, 307, 308}
_KEEPS_METHOD = {307, 308}
_TRANSIENT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


@fill_slots
@dataclass(frozen=True, slots=True)
class StreamResponse:
    """The response of a stream, whose body is read as it arrives.

    Attributes:
        is_event_stream: False if it is anything else, such as an error.
        is_refused: True if the server will not send the stream on a further request either.
        content: The body. Its `readany` returns what has arrived, at least one byte, and nothing at
            the end; it raises an `aiohttp.ClientError` if the connection broke.
    """

    is_event_stream: bool
    is_refused: bool
    content: aiohttp.StreamReader
    _response: aiohttp.ClientResponse

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    async def read_whole(self, redactor: Redactor) -> Response:
        """Read the body to its end, as that of any other response.

        Raises:
            aiohttp.ClientError: The connection broke.
        """
        return await _read_response(self._response, redactor)

    def close(self) -> None:
        """Release the connection for reuse if the body has ended, or else close it."""
        with suppress(RuntimeError):  # the loop is closed, and what waits for the body cannot wake
            if self.content.at_eof():
                self._response.release()
            else:
                self._response.close()


class Http:
    """Requests to the API and to the stream hosts, in any number of event loops."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.redactor = Redactor(settings.proxies.values())
        self._origin = origin(settings.base_url)
        self._start = f"{cut_path(settings.base_url)}/"
        self._built_headers: dict[tuple[tuple[str, str], ...], tuple[Token | None, Headers]] = {}
        # A proxy that is not tunnelled through may close its connection after a response without
        # announcing it. A POST that is under way then is lost, and must not be repeated.
        is_plain = urlsplit(settings.base_url).scheme == "http"
        self._has_plain_proxy = is_plain and settings.proxy_for(settings.base_url) is not None
        key = settings.base_url, frozenset(settings.proxies.items())
        self._sessions = Sessions(self, key, force_close=self._has_plain_proxy)

    async def request(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        accepted: Collection[int] = (),
    ) -> Response:
        """Send a request to the API, and repeat it after connection errors, 429 and 5xx.

        Args:
            method: `GET`, `QUERY`, or a `POST` that may be repeated.
            path: A path below the base URL, or a URL.
            data: The body.
            headers: Further headers.
            retries: Number of repetitions; None for the settings' `max_retries`.
            timeout: Seconds for each attempt; None for the settings' `timeout`.
            accepted: Further statuses that are returned.

        Returns:
            A response with a status below 400, or an accepted one.

        Raises:
            ResponseError: The API refused the request, and the last repetition too.
            ReplicateConnectionError, ReplicateTimeoutError: No connection, or no response in time.
        """
        retries = self.settings.max_retries if retries is None else retries
        attempt = 0
        while True:
            try:
                response = await self.send(
                    method, path, data, await self.build_headers(headers), timeout
                )
            except ReplicateConnectionError as failure:
                if attempt >= retries:
                    raise
                delay, reason = compute_backoff(attempt), str(failure)
            else:
                if response.is_success or response.status in accepted:
                    return response
                error = to_response_error(
                    response, describe_request(method, path), self.settings.dialect
                )
                is_refused = response.status == HTTPStatus.TOO_MANY_REQUESTS
                is_failed = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
                seconds = self.get_retry_delay(error, attempt) if is_refused or is_failed else None
                if seconds is None or attempt >= retries:
                    raise error
                delay, reason = seconds, str(error)
            attempt += 1
            log.info("repeated in %.1f s: %s", delay, reason)
            await asyncio.sleep(delay)

    def dial_ahead(self, token_hash: bytes) -> Dial | None:
        """Start to open a connection to the host of the token's last stream, if one is known.

        Not through a proxy: how aiohttp finds such a connection again depends on further headers.
        """
        host = self._sessions.get_stream_host(token_hash)
        if host is None or host.origin is None or self._has_plain_proxy:
            return None
        with suppress(InvalidInputError):  # of a proxy, which the stream's own request raises
            if self.settings.proxy_for(host.origin) is None:
                return host.dial()
        return None

    def note_stream(self, token_hash: bytes, url: str | None) -> None:
        """Note the stream's URL of a prediction that was created: its host is the next one's."""
        host = self._sessions.get_stream_host(token_hash)
        if host is not None:
            host.note(url)

    async def open_stream(
        self, url: str, last_event_id: str | None, dial: Dial | None = None
    ) -> StreamResponse:
        """Connect to an event stream.

        No token is sent: the stream is on another host, and its URL is itself the secret
        (docs/replicate-api.md 3.1).

        Args:
            url: The stream's URL.
            last_event_id: The event to resume after; None to start with the first.
            dial: A connection to the stream's host.

        Raises:
            aiohttp.ClientError, TimeoutError: No connection, or none in time.
        """
        if dial is not None:
            await dial.use()
        session = await self._sessions.get()
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        response = await session.get(
            url,
            headers=headers,
            proxy=self.settings.proxy_for(url),
            timeout=_get_client_timeout(),
        )
        return _build_stream_response(response)

    async def open_response(
        self, method: str, path: str, data: bytes, headers: Headers, timeout: float | None
    ) -> StreamResponse:
        """Send a request to the API once, and return its response before its body has come.

        Redirects are not followed. The arguments and errors are those of `send`.
        """
        session = await self._sessions.get()
        opening = session.request(
            method,
            self.settings.base_url + path,
            data=_open_body(data),
            headers=dict(headers.items()),
            proxy=self.settings.proxy_for(self.settings.base_url),
            timeout=_get_client_timeout(),
            allow_redirects=False,
        )
        try:
            response = await read_within(opening, timeout)
        except get_connection_errors() as error:
            failure = to_replicate_error(error, describe_request(method, path), timeout)
        else:
            self.redactor.add(headers)
            return _build_stream_response(response)
        raise failure  # as in `send`

    def choose_url(self, url: str | None, path: str) -> str:
        """Return a record's URL if the token may be sent there, or else the documented path."""
        # Nearly all begin so; comparing origins costs 5,000 instructions more.
        if url is not None and url.startswith(self._start):
            return url
        if is_readable(url) and origin(url) == self._origin:
            return url
        return path

    async def aclose(self) -> None:
        """Close the running loop's connections, unless other clients share them."""
        await self._sessions.aclose()

    def get_retry_delay(self, error: ResponseError, attempt: int) -> float | None:
        """Return the seconds to wait before a repetition.

        Returns:
            None if the service asks for more than the settings' `timeout`, for which the caller
            does not wait; the error has `retry_after`.
        """
        retry_after, timeout = error.retry_after, self.settings.timeout
        if retry_after is None:
            return compute_backoff(attempt)
        if timeout is not None and retry_after > timeout:
            return None
        return min(retry_after, MAX_RETRY_DELAY) + random.uniform(0, 0.1)

    async def build_headers(self, headers: Mapping[str, str] | None) -> Headers:
        """Build the headers of a request to the API, with the token.

        Args:
            headers: Further headers.

        Raises:
            ReplicateError: The token is missing, or a header cannot hold it.
        """
        token = await self.settings.fetch_token()
        further = tuple(headers.items()) if headers else ()
        # Most requests have the headers of an earlier one, which cost 20,000 instructions, and the
        # hash of their token as much again.
        known_token, built = self._built_headers.get(further, (None, None))
        if built is None or known_token != token:
            own = {"Authorization": token} if token else {}
            built = Headers(_ACCEPT_JSON, self.settings.headers, headers or {}, own)
            if len(self._built_headers) >= _MAX_BUILT_HEADERS:
                self._built_headers.clear()
            self._built_headers[further] = token, built
        return built

    async def send(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: Headers,
        timeout: float | None = None,
    ) -> Response:
        """Send a request once.

        Args:
            method: `GET`, `QUERY` or `POST`.
            path: A path below the base URL, or a URL.
            data: The body.
            headers: All headers, as `build_headers` returns them.
            timeout: In seconds; None for the settings' `timeout`.

        Raises:
            ReplicateConnectionError, ReplicateTimeoutError: No connection, or no response in time.
            ResponseError: A redirect that is not followed.
        """
        session = await self._sessions.get()  # first: it imports aiohttp, which takes a while
        url = path if "://" in path else self.settings.base_url + path
        timeout = timeout or self.settings.timeout
        try:
            response = await read_within(self._fetch(session, method, url, data, headers), timeout)
        except get_connection_errors() as error:
            failure: ReplicateError = to_replicate_error(
                error, describe_request(method, path), timeout
            )
        except ResponseError as error:
            failure = error.with_traceback(None)
        else:
            return response
        finally:
            self.redactor.add(headers)
        # Raised out here, not chained: aiohttp's exceptions and frames hold the token. A redirect
        # may have named the path and the host in the message.
        raise self.redactor.redact_error(failure)

    async def _fetch(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        data: bytes | None,
        headers: Headers,
    ) -> Response:
        """Send a request. Redirects are followed here, lest the token go to another host."""
        requested_url = url
        for _ in range(_MAX_REDIRECTS + 1):
            async with session.request(
                method,
                url,
                data=_open_body(data),
                headers=dict(headers.items()),
                proxy=self.settings.proxy_for(url),
                timeout=_get_client_timeout(),
                allow_redirects=False,
            ) as response:
                status, target = response.status, response.headers.get("Location")
                if status not in _REDIRECTS or not target:
                    return await _read_response(response, self.redactor)
            if method == "POST" and status not in _KEEPS_METHOD:
                # To be repeated as a GET, which would create nothing. The caller rejects the empty
                # body.
                return Response(status, {}, b"")
            next_url = _join_url(url, target)
            if next_url is None:
                problem = "to a URL that cannot be read"
                raise _build_redirect_error(method, requested_url, problem, status)
            if origin(next_url) != origin(url):
                if method == "POST":
                    problem = "to another host; check base_url"
                    raise _build_redirect_error(method, requested_url, problem, status)
                headers = Headers(_ACCEPT_JSON)
            url = next_url
        problem = f"more than {_MAX_REDIRECTS} times"
        raise _build_redirect_error(method, requested_url, problem)


@cache  # one for each request would cost 5,000 instructions
def _get_client_timeout() -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)


def _build_stream_response(response: aiohttp.ClientResponse) -> StreamResponse:
    status, kind = response.status, response.content_type
    is_refused = status // 100 == 4 and status not in _TRANSIENT
    is_stream = status == 200 and kind == "text/event-stream"
    return StreamResponse(is_stream, is_refused, response.content, response)


def _build_redirect_error(
    method: str, url: str, problem: str, status: int | None = None
) -> ResponseError:
    request = describe_request(method, url)
    return ResponseError(f"{request} was redirected {problem}", status=status)


def _open_body(data: bytes | None) -> bytes | io.BytesIO | None:
    """Open large bytes as a file, which aiohttp sends in pieces; of bytes it warns."""
    return data if data is None or len(data) <= _LARGE_BODY else io.BytesIO(data)


def _join_url(base: str, target: str) -> str | None:
    try:
        url = urljoin(base, target)
    except ValueError:
        return None
    return url if is_readable(url) else None


async def _read_response(response: aiohttp.ClientResponse, redactor: Redactor) -> Response:
    """Read a body in pieces, so that one that is compressed cannot fill the memory."""
    pieces, size = [], 0
    while size <= MAX_RESPONSE_BYTES and (piece := await response.content.readany()):
        pieces.append(piece)
        size += len(piece)
    is_whole = size <= MAX_RESPONSE_BYTES
    body = b"".join(pieces if is_whole else pieces[:1])
    return Response(response.status, response.headers, body, redactor, is_whole=is_whole)


async def wait_shielded(task: asyncio.Task[Any]) -> None:
    """Wait for a task for at most `GRACE_PERIOD`, even in a scope that is cancelled already."""
    from anyio import CancelScope  # at first use: importing it costs more than this package

    with CancelScope(shield=True):
        await asyncio.wait({task}, timeout=GRACE_PERIOD)


def compute_backoff(attempt: int) -> float:
    """Return the seconds to wait before a repetition, if the service names none."""
    return float(min(0.5 * 2**attempt, 8.0)) * random.uniform(0.75, 1.0)

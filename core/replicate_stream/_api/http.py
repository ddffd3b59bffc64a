"""HTTP requests: which are repeated, where the token goes, and which errors responses become.

A request that costs money is repeated only if the first one cannot have arrived.

aiohttp is imported within functions, so that importing the core is cheap; `Sessions.get` has loaded
it in a thread by then.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from replicate_stream._api.errors import (
    CONNECT_TIMEOUT,
    describe_request,
    get_connection_errors,
    to_replicate_error,
)
from replicate_stream._api.read_timeout import read_within
from replicate_stream._api.responses import Response, to_response_error
from replicate_stream._api.sessions import Sessions, start_task
from replicate_stream._errors import (
    ReplicateConnectionError,
    ReplicateError,
    ReplicateTimeoutError,
    ResponseError,
)
from replicate_stream._secrets import Headers, Redactor
from replicate_stream._settings import Settings, is_readable, origin

if TYPE_CHECKING:
    import aiohttp

_log = logging.getLogger("replicate_stream")

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""Size of the largest response, when decompressed."""
MAX_RETRY_DELAY = 60.0
"""Longest wait between two attempts, in seconds, whatever the service asks for."""
GRACE_PERIOD = 5.0
"""Longest wait for the response to a request whose caller was cancelled, in seconds."""
_ACCEPT_JSON = {"Accept": "application/json"}
_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_KEEPS_METHOD = {307, 308}


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """The response of a stream, whose body is read as it arrives."""

    is_event_stream: bool
    _response: aiohttp.ClientResponse

    def read(self) -> Awaitable[bytes]:
        """Return what has arrived, at least one byte; nothing at the end.

        Raises:
            aiohttp.ClientError: When awaited, if the connection broke.
        """
        return self._response.content.readany()

    def close(self) -> None:
        """Release the connection for reuse if the body has ended, or else close it."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Http:
    """Requests to the API and to the stream hosts, in any number of event loops."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.redactor = Redactor()
        # A proxy that is not tunnelled through may close its connection after a response without
        # announcing it. A POST that is under way then is lost, and must not be repeated.
        is_plain = urlsplit(settings.base_url).scheme == "http"
        has_plain_proxy = is_plain and settings.proxy_for(settings.base_url) is not None
        self._sessions = Sessions(self, force_close=has_plain_proxy)
        self._queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._queues = weakref.WeakKeyDictionary()

    async def request(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        on_orphan: Callable[[Response], Awaitable[None]] | None = None,
        retries: int | None = None,
        timeout: float | None = None,
    ) -> Response:
        """Send a request to the API, and repeat it after connection errors, 429 and 5xx.

        Args:
            method: `GET`, or `POST`.
            path: A path below the base URL, or a URL.
            data: The body.
            headers: Further headers.
            on_orphan: Given for a request that costs money, which is repeated only if the first one
                cannot have arrived. Called with the response if the caller was cancelled before.
            retries: Number of repetitions; None for the settings' `max_retries`.
            timeout: Seconds for each attempt; None for the settings' `timeout`.

        Returns:
            A response with a status below 400.

        Raises:
            ResponseError: The API refused the request, and the last repetition too.
            ReplicateConnectionError, ReplicateTimeoutError: No connection, or no response in time.
        """
        is_paid = on_orphan is not None
        retries_left = self.settings.max_retries if retries is None else retries
        attempt = 0
        # asyncio's lock is fair: it wakes those who wait in their order.
        queue = self._queues.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with _QueueSlot(queue, self.settings.timeout) as slot:
            while True:
                if is_paid and slot.is_behind_others and not await slot.acquire():
                    raise self._build_queue_timeout_error(describe_request(method, path))
                sending = self._send(method, path, data, headers, timeout or self.settings.timeout)
                try:
                    response = await (
                        _finish_if_cancelled(sending, on_orphan) if on_orphan else sending
                    )
                except ReplicateConnectionError as error:
                    if retries_left <= 0 or (is_paid and error.is_sent):
                        raise
                    retry_at = time.monotonic() + _compute_backoff(attempt)
                else:
                    if response.status < HTTPStatus.BAD_REQUEST:
                        return response
                    refusal = to_response_error(response, describe_request(method, path))
                    delay = self._get_retry_delay(refusal, attempt, is_paid=is_paid)
                    if retries_left <= 0 or delay is None:
                        raise refusal
                    # Counted from here: the time in the queue is part of it.
                    retry_at = time.monotonic() + delay
                    is_rate_limited = response.status == HTTPStatus.TOO_MANY_REQUESTS
                    if is_paid and is_rate_limited and not await slot.acquire():
                        raise refusal
                retries_left -= 1
                attempt += 1
                await asyncio.sleep(max(0.0, retry_at - time.monotonic()))

    async def open_stream(self, url: str, last_event_id: str | None) -> StreamResponse:
        """Connect to an event stream.

        No token is sent: the stream is on another host, and its URL is itself the secret
        (docs/replicate-api.md 3.1).

        Args:
            url: The stream's URL.
            last_event_id: The event to resume after; None to start with the first.

        Raises:
            aiohttp.ClientError, TimeoutError: No connection, or none in time.
        """
        session = await self._sessions.get()
        import aiohttp

        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        response = await session.get(
            url,
            headers=headers,
            proxy=self.settings.proxy_for(url),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
        )
        is_stream = response.content_type == "text/event-stream"
        return StreamResponse(response.status == HTTPStatus.OK and is_stream, response)

    def choose_url(self, url: str | None, path: str) -> str:
        """Return a record's URL if the token may be sent there, or else the documented path."""
        if is_readable(url) and origin(url) == origin(self.settings.base_url):
            return url
        return path

    async def aclose(self) -> None:
        """Close the running loop's session; a later request opens a new one."""
        await self._sessions.aclose()

    def _build_queue_timeout_error(self, request: str) -> ReplicateTimeoutError:
        seconds = self.settings.timeout or 0.0
        return ReplicateTimeoutError(
            f"{request} was not sent: others waited for the rate limit for {seconds:g} s; send "
            "fewer requests at once, or set a larger timeout=",
            waited_for="its turn under the rate limit",
            seconds=seconds,
        )

    def _get_retry_delay(
        self, refusal: ResponseError, attempt: int, *, is_paid: bool
    ) -> float | None:
        """Return the seconds to wait before a repetition; None if there must be none."""
        status, retry_after = refusal.status or 0, refusal.retry_after
        if is_paid:
            # Other 5xx leave open whether the prediction was created before the server failed.
            is_turned_away = status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None
        else:
            is_turned_away = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if not is_turned_away and status != HTTPStatus.TOO_MANY_REQUESTS:
            return None
        if retry_after is None:
            return _compute_backoff(attempt)
        timeout = self.settings.timeout
        if timeout is not None and retry_after > timeout:
            return None  # the caller waits no longer than `timeout`; the error has `retry_after`
        return min(retry_after, MAX_RETRY_DELAY) + random.uniform(0, 0.1)

    async def _send(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str] | None,
        timeout: float | None,
    ) -> Response:
        """Send a request once."""
        await self._sessions.get()  # first: it imports aiohttp, which is no part of the wait
        request = describe_request(method, path)
        url = path if "://" in path else self.settings.base_url + path
        token = await self.settings.fetch_token()
        own = {"Authorization": token} if token else {}
        all_headers = Headers(_ACCEPT_JSON, self.settings.headers, headers or {}, own)
        self.redactor.add(all_headers)
        try:
            return await read_within(self._fetch(method, url, data, all_headers, request), timeout)
        except get_connection_errors() as error:
            failure = to_replicate_error(error, request, timeout)
        # Raised out here, not chained: aiohttp's exceptions and frames hold the token.
        raise failure

    async def _fetch(
        self, method: str, url: str, data: bytes | None, headers: Headers, request: str
    ) -> Response:
        """Send a request. Redirects are followed here, lest the token go to another host."""
        session = await self._sessions.get()
        import aiohttp

        for _ in range(_MAX_REDIRECTS + 1):
            async with session.request(
                method,
                url,
                data=data,
                headers=dict(headers.items()),
                proxy=self.settings.proxy_for(url),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
                allow_redirects=False,
            ) as response:
                status, target = response.status, response.headers.get("Location")
                if status not in _REDIRECTS or not target:
                    body = await _read_body(response, request)
                    return Response(status, dict(response.headers), body, self.redactor)
            if method == "POST" and status not in _KEEPS_METHOD:
                # To be repeated as a GET, which would create nothing. The caller rejects the empty
                # body.
                return Response(status, {}, b"")
            next_url = _join_url(url, target)
            if next_url is None:
                problem = f"{request} was redirected to a URL that cannot be read"
                raise ResponseError(problem, status=status)
            if origin(next_url) != origin(url):
                if method == "POST":
                    problem = f"{request} was redirected to another host; check base_url"
                    raise ResponseError(problem, status=status)
                headers = Headers(_ACCEPT_JSON)
            url = next_url
        raise ResponseError(f"{request} was redirected more than {_MAX_REDIRECTS} times")


def _join_url(base: str, target: str) -> str | None:
    try:
        url = urljoin(base, target)
    except ValueError:
        return None
    return url if is_readable(url) else None


async def _read_body(response: aiohttp.ClientResponse, request: str) -> bytes:
    """Read a body in pieces, so that one that is compressed cannot fill the memory."""
    pieces, size = [], 0
    while piece := await response.content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_RESPONSE_BYTES:
            raise ResponseError(
                f"{request}: the response is larger than {MAX_RESPONSE_BYTES} bytes",
                status=response.status,
            )
    return b"".join(pieces)


async def wait_shielded(task: asyncio.Task[Any]) -> None:
    """Wait for a task for at most `GRACE_PERIOD`, even in a scope that is cancelled already."""
    from anyio import CancelScope  # at first use: importing it costs more than this package

    with CancelScope(shield=True):
        await asyncio.wait({task}, timeout=GRACE_PERIOD)


async def _finish_if_cancelled(
    sending: Coroutine[Any, Any, Response], on_orphan: Callable[[Response], Awaitable[None]]
) -> Response:
    """Send a request. If the caller is cancelled meanwhile, its response still reaches `on_orphan`.

    The prediction may exist by then, and costs money until it is cancelled.
    """
    task = asyncio.ensure_future(sending)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await wait_shielded(start_task(_handle_orphan(task, on_orphan)))
        raise


async def _handle_orphan(
    task: asyncio.Task[Response], on_orphan: Callable[[Response], Awaitable[None]]
) -> None:
    try:
        await on_orphan(await task)
    except ReplicateError as error:
        # Nothing was created, or it cannot be known what was, and no caller is left to raise to.
        _log.debug("a request whose caller was cancelled: %s", error)


def _compute_backoff(attempt: int) -> float:
    return float(min(0.5 * 2**attempt, 8.0)) * random.uniform(0.75, 1.0)


class _QueueSlot:
    """The slot of one request in the queue for requests under a rate limit.

    If many requests are refused with 429 and all are repeated a second later, most are refused
    again, and some use up their retries. So they are repeated one at a time, in order, and new
    requests queue up behind them: each is sent a few times at most, however many there are.

    An async context manager, which leaves the queue. A request queues up only when it has to.

    Args:
        queue: The lock that the first in the queue holds.
        timeout: Longest wait for its turn, in seconds; None for no limit.
    """

    def __init__(self, queue: asyncio.Lock, timeout: float | None) -> None:
        self._queue = queue
        self._timeout = timeout
        self._is_first = False

    async def __aenter__(self) -> _QueueSlot:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._is_first:
            self._queue.release()

    @property
    def is_behind_others(self) -> bool:
        """Whether other requests are queued, and this one is not the first of them."""
        return not self._is_first and self._queue.locked()

    async def acquire(self) -> bool:
        """Queue up until it is this request's turn; return False if the time-out passed before."""
        from anyio import move_on_after  # at first use, which only a refused request is

        if not self._is_first:
            with move_on_after(self._timeout):
                await self._queue.acquire()
                self._is_first = True
        return self._is_first

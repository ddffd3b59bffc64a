"""Requests over HTTP: what is repeated and what is not, where the token goes, what an error is.

A request that costs money is repeated only where the first one cannot have arrived.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from replicate_stream._api.errors import (
    CONNECT_TIMEOUT,
    NotSentError,
    chainable,
    path_of,
    to_error,
)
from replicate_stream._api.rate_limit import RateLimitQueue
from replicate_stream._api.responses import Response, to_response_error
from replicate_stream._api.sessions import Sessions
from replicate_stream._errors import (
    InvalidInputError,
    ReplicateConnectionError,
    ReplicateError,
    ReplicateTimeoutError,
    ResponseError,
)
from replicate_stream._settings import Settings, origin

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
LONGEST_WAIT = 60.0
"""The longest wait between two attempts, in seconds, whatever the service asks for."""
GRACE = 5.0
"""How long to wait for the reply to a request whose caller is already gone, in seconds."""
_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_KEEPS_METHOD = {307, 308}


@dataclass(frozen=True, slots=True)
class Body:
    """The body of an event stream's reply, as it comes in."""

    is_event_stream: bool
    _response: aiohttp.ClientResponse

    def read(self) -> Awaitable[bytes]:
        """What has come, at least a byte; empty at the end.

        Raises:
            aiohttp.ClientError: When awaited, if the connection broke.
        """
        return self._response.content.readany()

    def close(self) -> None:
        """Let go of the connection, at once: one whose body has ended can be used again."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Http:
    """Requests to the API and to the stream hosts, in any number of event loops."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # A proxy that is not tunnelled through may hang up after a reply without having said so. A
        # POST that is on its way then is lost, and must not be repeated.
        is_seen = urlsplit(settings.base_url).scheme == "http"
        is_proxied = is_seen and settings.proxy_for(settings.base_url) is not None
        self._sessions = Sessions(self, is_reusing=not is_proxied)
        self._line = RateLimitQueue()

    async def get(
        self, path: str, *, retries: int | None = None, within: float | None = None
    ) -> Response:
        """GET from the API, repeated after connection errors, 429 and 5xx.

        Args:
            path: A path below the base URL, or a whole URL.
            retries: How often to repeat it; the settings' `max_retries` if None.
            within: Seconds for each attempt; the settings' `timeout` if None.
        """
        return await self._request("GET", path, retries=retries, within=within)

    async def cancel(self, path: str) -> Response:
        """POST without a body that may be repeated like a GET: a second cancel changes nothing."""
        return await self._request("POST", path, within=GRACE)

    async def create(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        headers: Mapping[str, str],
        late: Callable[[Response], Awaitable[None]],
    ) -> Response:
        """POST that costs money: repeated only where the first one cannot have arrived.

        Args:
            path: A path below the base URL.
            body: The JSON body.
            headers: Further headers.
            late: Gets the reply if the caller is cancelled while the request is under way.
        """
        try:
            data = json.dumps(body, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"the input cannot be written as JSON: {error}") from error
        to_send = {"Content-Type": "application/json", **headers}
        return await self._request("POST", path, data=data, headers=to_send, late=late)

    async def post(self, path: str, data: bytes, content_type: str) -> Response:
        """POST that may be repeated like a GET, because it costs nothing.

        Args:
            path: A path below the base URL.
            data: The body.
            content_type: Its media type.
        """
        headers = {"Content-Type": content_type}
        return await self._request("POST", path, data=data, headers=headers)

    async def open(self, url: str, last_event_id: str | None) -> Body:
        """Connect to an event stream. No token goes there: the URL itself is the secret.

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
        return Body(response.status == HTTPStatus.OK and is_stream, response)

    @property
    def broken(self) -> tuple[type[Exception], ...]:
        """What reading a stream can raise when its connection does not hold."""
        import aiohttp

        return (aiohttp.ClientError, asyncio.TimeoutError, OSError)

    async def aclose(self) -> None:
        """Close the running loop's session; a later request opens a new one."""
        await self._sessions.aclose()

    async def _request(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        late: Callable[[Response], Awaitable[None]] | None = None,
        retries: int | None = None,
        within: float | None = None,
    ) -> Response:
        left = self.settings.max_retries if retries is None else retries
        attempt = 0
        async with self._line.place(self.settings.timeout) as place:
            while True:
                if late and place.has_others_before and not await place.wait():
                    raise self._no_turn(f"{method} {path_of(path)}")
                sending = self._send(method, path, data, headers, within or self.settings.timeout)
                try:
                    reply = await (_outlive(sending, late) if late else sending)
                except ReplicateConnectionError as error:
                    if left <= 0 or (late and not isinstance(error, NotSentError)):
                        raise
                    due = time.monotonic() + _backoff(attempt)
                else:
                    if reply.status < HTTPStatus.BAD_REQUEST:
                        return reply
                    problem = to_response_error(reply, f"{method} {path_of(path)}")
                    asked = self._wait_asked_for(problem, attempt, is_paid=late is not None)
                    if left <= 0 or asked is None:
                        raise problem
                    due = time.monotonic() + asked
                    is_refused = reply.status == HTTPStatus.TOO_MANY_REQUESTS
                    if late and is_refused and not await place.wait():
                        raise problem
                left -= 1
                attempt += 1
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _no_turn(self, request: str) -> ReplicateTimeoutError:
        seconds = self.settings.timeout or 0.0
        return ReplicateTimeoutError(
            f"{request} was not sent: others waited for the rate limit for {seconds:g} s",
            waited_for="its turn under the rate limit",
            seconds=seconds,
        )

    def _wait_asked_for(
        self, problem: ResponseError, attempt: int, *, is_paid: bool
    ) -> float | None:
        """Seconds to wait before a repetition, None if the request must not be repeated."""
        status = problem.status or 0
        wait = problem.retry_after
        if is_paid:
            refused_unseen = status == HTTPStatus.SERVICE_UNAVAILABLE and wait is not None
            repeatable = status == HTTPStatus.TOO_MANY_REQUESTS or refused_unseen
        else:
            server_error = status >= HTTPStatus.INTERNAL_SERVER_ERROR
            repeatable = status == HTTPStatus.TOO_MANY_REQUESTS or server_error
        if not repeatable:
            return None
        if wait is None:
            return _backoff(attempt)
        patience = self.settings.timeout
        if patience is not None and wait > patience:
            return None  # the caller would sooner have the error, which says how long
        return min(wait, LONGEST_WAIT) + random.uniform(0, 0.1)

    async def _send(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str] | None,
        within: float | None,
    ) -> Response:
        """One attempt. Redirects are followed here, so that the token stays with its origin."""
        session = await self._sessions.get()
        import aiohttp
        from multidict import CIMultiDict

        url = path if "://" in path else self.settings.base_url + path
        to_send = CIMultiDict({"Accept": "application/json"})
        to_send.update(self.settings.headers)
        to_send.update(headers or {})
        if authorization := await self.settings.authorization():
            to_send["Authorization"] = authorization
        timeout = aiohttp.ClientTimeout(total=within, sock_connect=CONNECT_TIMEOUT)
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                async with session.request(
                    method,
                    url,
                    data=data,
                    headers=to_send,
                    proxy=self.settings.proxy_for(url),
                    timeout=timeout,
                    allow_redirects=False,
                ) as response:
                    target = response.headers.get("Location")
                    if response.status not in _REDIRECTS or not target:
                        return Response(
                            response.status, dict(response.headers), await response.read()
                        )
                    if method == "POST" and response.status not in _KEEPS_METHOD:
                        return Response(response.status, dict(response.headers), b"")
                    target = urljoin(url, target)
                    if origin(target) != origin(url):
                        if method == "POST":
                            raise ResponseError(
                                f"{method} {path_of(path)} was redirected to another host; "
                                "check base_url",
                                status=response.status,
                            )
                        to_send = CIMultiDict({"Accept": "application/json"})
                    url = target
        except ReplicateError:
            raise
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise to_error(error, f"{method} {path_of(path)}", within) from chainable(error)
        raise ResponseError(f"{method} {path_of(path)} was redirected too often")


async def _outlive(
    sending: Awaitable[Response], late: Callable[[Response], Awaitable[None]]
) -> Response:
    """Await a request; if the caller is cancelled meanwhile, still learn what came of it."""
    task = asyncio.ensure_future(sending)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        follow_up = asyncio.ensure_future(_hand_over(task, late))
        _following_up.add(follow_up)
        follow_up.add_done_callback(_following_up.discard)
        await outlast({follow_up})
        raise


async def outlast(tasks: set[asyncio.Future[T]]) -> None:
    """Wait for tasks for a moment, also in a scope that is cancelled already."""
    from anyio import CancelScope

    with CancelScope(shield=True):
        await asyncio.wait(tasks, timeout=GRACE)


_following_up: set[asyncio.Future[None]] = set()


async def _hand_over(
    task: asyncio.Future[Response], late: Callable[[Response], Awaitable[None]]
) -> None:
    try:
        reply = await task
    except ReplicateError:
        return  # nothing was created, or nobody can know what was
    await late(reply)


def _backoff(attempt: int) -> float:
    return float(min(0.5 * 2**attempt, 8.0)) * random.uniform(0.75, 1.0)

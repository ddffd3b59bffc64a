"""The request for one prediction of a container, which can be repeated as long as that runs.

The id is ours: the same `PUT /predictions/{id}` that creates a prediction opens another stream of
it while it runs (https://cog.run/http/), so that a creation whose response was lost is repeated.
Versions before 0.21 ignore that a stream is asked for, and models that do not stream refuse it;
both send the whole answer.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import uuid
from collections.abc import Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from replicate_stream._api.cancellation import Cancellation
from replicate_stream._api.cog.boot import is_booting
from replicate_stream._api.creation import encode_json
from replicate_stream._api.errors import (
    describe_request,
    get_connection_errors,
    to_replicate_error,
)
from replicate_stream._api.http import Http, StreamResponse, compute_backoff
from replicate_stream._api.rate_limit import Pace, Place, get_queue
from replicate_stream._api.read_timeout import read_within
from replicate_stream._api.responses import Response, decode_json, to_response_error
from replicate_stream._errors import (
    RateLimitError,
    ReplicateConnectionError,
    ReplicateTimeoutError,
    ResponseError,
)
from replicate_stream._secrets import Headers
from replicate_stream._types.prediction import Prediction

CREATE_PATH = "/predictions"
_NO_STREAM = {HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
_BUSY = {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}
_FAILED = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
ADDRESS = "base_url must be the container's own address, without /v1"
_MIN_HIDDEN = 8  # characters of an input that is removed from errors without quotation marks, too
# A container is asked again soon: unlike a service that counts requests, it does not mind.
_create_pace = partial(Pace, max_interval=0.1, max_backoff=1.0)


class CogRequest:
    """The request for one prediction.

    Args:
        http: Sends it.
        input_: The prediction's `input`.
        deadline_at: When it is not sent any more, in the running loop's time; None for no end.

    Attributes:
        prediction: The record of the prediction as it is created.
        seconds_left: Seconds until the deadline; infinite without one.
    """

    def __init__(self, http: Http, input_: Mapping[str, Any], deadline_at: float | None) -> None:
        self._http = http
        self._input = input_
        self._deadline_at = deadline_at
        self._clock = asyncio.get_running_loop().time
        self._cancellation: _CogCancellation | None = None
        token_hash = http.settings.headers.token_hash
        self._line = get_queue(http.settings.base_url, token_hash, _create_pace)
        self.renew()

    @property
    def seconds_left(self) -> float:
        """See the class."""
        return math.inf if self._deadline_at is None else self._deadline_at - self._clock()

    def renew(self) -> None:
        """Ask for another prediction from now on."""
        self.release()
        # As Cog's documentation recommends: 26 characters of base 32.
        new_id = base64.b32encode(uuid.uuid4().bytes).decode().lower().rstrip("=")
        self.prediction = Prediction(new_id, "starting")
        self._data = encode_json({"id": new_id, "input": self._input})
        self._ask_for_stream()

    async def send(self) -> StreamResponse | Response | None:
        """Send the request, and wait in line while the container is busy.

        Returns:
            The open stream, or the response with the whole answer; None if the model boots.

        Raises:
            InvalidInputError: The model does not take the input.
            RateLimitError: The container is busy, and asks for a wait until after the deadline.
            ReplicateTimeoutError: No response in time, or the deadline has passed.
            ReplicateConnectionError: No connection, after `max_retries` repetitions.
            ResponseError: The container refused otherwise, or its model can never run.
        """
        failures = 0
        headers = await self._http.build_headers({"Content-Type": "application/json"})
        with self._line.join() as place:
            while True:
                await self._wait_for_turn(place)
                try:
                    return await self._send_once(place, headers)
                except RateLimitError as busy:
                    place.refuse(busy)
                    if await is_booting(self._http):  # 409 of versions before 0.17
                        self._ask_for_stream()
                        return None
                    if 0 < self.seconds_left < (busy.retry_after or 0.0):
                        raise
                except (ReplicateConnectionError, ResponseError) as error:
                    if failures >= self._http.settings.max_retries or not self._may_repeat(error):
                        raise
                    delay = compute_backoff(failures)
                    failures += 1
                    await asyncio.sleep(min(delay, self.seconds_left))

    async def cancel(self) -> None:
        """Cancel the prediction, unless it has ended or never was."""
        if self._cancellation is not None:
            await self._cancellation.cancel()
            self._line.expect_room()

    def abandon(self) -> None:
        """Cancel without waiting, from code that cannot await."""
        if self._cancellation is not None:
            self._cancellation.abandon()

    def release(self) -> None:
        """End the duty to cancel the prediction, which has ended or was refused."""
        if self._cancellation is not None:
            self._cancellation.release()
            self._cancellation = None

    def end(self) -> None:
        """Note that the prediction has ended, so that there is room for another."""
        self.release()
        self._line.expect_room()

    def build_deadline_error(self, problem: str) -> ReplicateTimeoutError:
        """Build the error of a deadline that has passed."""
        seconds = self._http.settings.deadline or 0.0
        return ReplicateTimeoutError(
            f"prediction {self.prediction.id} {problem} within its deadline of {seconds:g} s",
            waited_for="the end of the answer",
            seconds=seconds,
            prediction_id=self.prediction.id,
        )

    def _ask_for_stream(self) -> None:
        self._method, self._path = "PUT", f"{CREATE_PATH}/{self.prediction.id}"

    def _ask_for_whole(self) -> None:
        self._method, self._path = "POST", CREATE_PATH

    async def _wait_for_turn(self, place: Place) -> None:
        try:
            await place.wait_for_turn(self._deadline_at)
        except asyncio.TimeoutError:
            problem = "was not let in, because the container is busy,"
            raise self.build_deadline_error(problem) from None

    async def _send_once(self, place: Place, headers: Headers) -> StreamResponse | Response | None:
        """Send the request, and tell the line whether there was room for it."""
        if self._cancellation is None:
            self._cancellation = _CogCancellation(self._http, self.prediction)
        try:
            response = await self._fetch(headers)
        except BaseException as error:
            place.leave()  # nothing is known of the room
            if isinstance(error, ReplicateConnectionError) and not error.is_sent:
                self.release()
            raise
        if response.status in _NO_STREAM and self._method == "PUT":
            self._ask_for_whole()
            return await self._send_once(place, headers)
        if response.status not in _BUSY:
            place.accept()
        if isinstance(response, StreamResponse) or response.status < HTTPStatus.MULTIPLE_CHOICES:
            return response
        self.release()
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE and await is_booting(self._http):
            self._ask_for_stream()  # a model that boots refuses streams, too
            return None
        raise self._build_refusal(response)

    async def _fetch(self, headers: Headers) -> StreamResponse | Response:
        """Send the request; return the open stream, or the response with its body."""
        if self._method == "PUT":
            headers = Headers(headers, {"Accept": "text/event-stream"})
        timeout = min(self.seconds_left, self._http.settings.timeout or math.inf)
        limit = None if timeout == math.inf else max(timeout, 0.01)
        try:
            response = await self._http.open_response(
                self._method, self._path, self._data, headers, limit
            )
            if response.is_event_stream:
                return response
            try:
                return await read_within(response.read_whole(self._http.redactor), limit)
            except get_connection_errors() as error:
                request = describe_request(self._method, self._path)
                failure = to_replicate_error(error, request, limit)
            finally:
                response.close()
        except ReplicateTimeoutError:
            if self.seconds_left > 0:
                raise
            raise self.build_deadline_error("had no response") from None
        raise failure

    def _build_refusal(self, response: Response) -> ResponseError:
        request = describe_request(self._method, self._path)
        error = to_response_error(_hide_input(response, self._input), request, "cog")
        if error.status in _BUSY:
            fields = {name: getattr(error, name) for name in ("title", "detail", "retry_after")}
            return RateLimitError(str(error), status=error.status, headers=error.headers, **fields)
        if response.is_success:
            return ResponseError(f"{request} was redirected; {ADDRESS}", status=response.status)
        if response.status == HTTPStatus.NOT_FOUND:
            error.args = (f"{error}; {ADDRESS}",)
        return error

    def _may_repeat(self, error: ReplicateConnectionError | ResponseError) -> bool:
        if isinstance(error, ReplicateConnectionError):
            return self._method == "PUT" or not error.is_sent
        return self._method == "PUT" and error.status in _FAILED


class _CogCancellation(Cancellation):
    """The duty to cancel a prediction of Cog, whose id may be forgotten by then."""

    _accepted = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)

    def _parse(self, response: Response) -> None:
        """Return None: the response is an empty object."""


def _find_texts(value: Any) -> Iterator[str]:
    """Find the texts in an input, those in messages and lists included."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _find_texts(each)


def _hide_input(response: Response, input_: Mapping[str, Any]) -> Response:
    """Remove the texts of an input from a refusal: Cog quotes a value that its schema forbids."""
    texts = list(_find_texts(input_))

    def hide(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: hide(each) for key, each in value.items()}
        if isinstance(value, list):
            return [hide(each) for each in value]
        if isinstance(value, str):
            for text in texts:
                value = value.replace(json.dumps(text, ensure_ascii=False), '"…"')
                if len(text) >= _MIN_HIDDEN:
                    value = value.replace(text, "…")
        return value

    body = decode_json(response.body)
    if body is None:  # no JSON
        data = hide(response.body.decode("utf-8", "replace")).encode()
    else:
        data = json.dumps(hide(body)).encode()
    return Response(response.status, response.headers, data, response.redactor)

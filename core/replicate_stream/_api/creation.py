"""Replicate's API, and the request that creates a prediction: it costs money, and may be refused.

The API knows no idempotency key (docs/replicate-api.md 4), so the request is repeated only if no
earlier one can have arrived. If its caller is cancelled, its response is still awaited: the
prediction may exist by then, and costs money until it is cancelled.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from replicate_stream._api.cancellation import Cancellation
from replicate_stream._api.dial_ahead import Dial
from replicate_stream._api.errors import RESPONSE, describe_request
from replicate_stream._api.files import Files
from replicate_stream._api.http import Http, compute_backoff, wait_shielded
from replicate_stream._api.models import Model, Models
from replicate_stream._api.prediction_run import PredictionRun
from replicate_stream._api.predictions import fetch_prediction, parse_response
from replicate_stream._api.rate_limit import Place, get_queue
from replicate_stream._api.read_timeout import read_within
from replicate_stream._api.responses import MAX_INPUT_BYTES, Response, to_response_error
from replicate_stream._api.tasks import mute_task, shield, start_task
from replicate_stream._errors import (
    InvalidInputError,
    ModelNotFoundError,
    RateLimitError,
    ReplicateConnectionError,
    ReplicateError,
    ReplicateTimeoutError,
    ResponseError,
)
from replicate_stream._logging import log
from replicate_stream._secrets import Headers
from replicate_stream._settings import Settings
from replicate_stream._types.prediction import Prediction

if TYPE_CHECKING:
    from replicate_stream._api.api import Reading, Run
    from replicate_stream._api.model_list import ModelList

_JSON = json.JSONEncoder(allow_nan=False)

MIN_CANCEL_AFTER = 5
"""Smallest `Cancel-After` that the API accepts, in seconds (https://api.replicate.com/openapi.json).

A shorter deadline is enforced by the client alone.
"""

# Between quotation marks, which are escaped in a text of the input. The first one also bounds the
# time: without it, each of many `http://` is the start of a search.
_CANCEL_URL = re.compile(rb'"(https?://[!#-[\]-~]+/predictions/(\w+)/cancel)"')

# The id of a record, before any field that holds objects or lists.
_CREATED_ID = re.compile(rb'\s*\{(?:[^{}\[\]]*?[,\s])?"id"\s*:\s*"(\w+)"')


class Recorder(Protocol):
    """Records a creation before it is sent, and the prediction before it is read.

    Attributes:
        cancel_after: Seconds after which the service is to cancel the prediction.
    """

    cancel_after: float

    async def note_intent(self, model_input: Mapping[str, Any], /) -> None:
        """Note that a prediction is about to be created with an input."""

    async def note_run(self, run: Run, /) -> None:
        """Note the prediction that was created."""


class ReplicateApi:
    """Replicate's own API; the methods and attributes are those of `Api`."""

    may_boot = False  # the service creates predictions of models that boot

    def __init__(self, settings: Settings) -> None:
        self.http = Http(settings)
        self.models = Models(self.http)
        self.files = Files(self.http)

    async def find_boot(self, model: str) -> None:
        """Return None: see `may_boot`."""

    async def create(
        self,
        model: Model,
        input_: dict[str, Any],
        reading: Reading,
        deadline_at: float | None,
        recorder: Recorder | None = None,
    ) -> PredictionRun:
        """Create a prediction, as `create_prediction` does."""
        if deadline_at is None:
            deadline_at = start_deadline(self.http.settings)
        prediction, dial = await create_prediction(
            self.http,
            self.models,
            model,
            input_,
            deadline_at,
            recorder,
            is_streamed=not reading.is_whole,
        )
        return self._read(prediction, reading, deadline_at, dial)

    async def fetch_prediction(self, prediction_id: str) -> Prediction:
        """Fetch the record of a prediction that was created before."""
        return await fetch_prediction(self.http, f"/predictions/{prediction_id}", prediction_id)

    async def find_predictions(
        self,
        wanted: Counter[str],
        created_after: float,
        *,
        digest_input: Callable[[Mapping[str, Any]], str],
        known_ids: Collection[str] = (),
    ) -> dict[str, list[str]]:
        """Find predictions by their input."""
        from replicate_stream._api.prediction_list import find_predictions

        return await find_predictions(
            self.http, wanted, created_after, digest_input=digest_input, known_ids=known_ids
        )

    def read(self, prediction: Prediction, reading: Reading) -> PredictionRun:
        """Take up a prediction that was created before."""
        return self._read(prediction, reading, start_deadline(self.http.settings))

    def list_models(
        self, query: str | None, is_listed: Callable[[Mapping[str, Any]], bool]
    ) -> ModelList:
        """Return what `Client.models` does."""
        from replicate_stream._api.model_list import ModelList

        return ModelList(self.http, query, is_listed)

    def _read(
        self,
        prediction: Prediction,
        reading: Reading,
        deadline_at: float | None,
        dial: Dial | None = None,
    ) -> PredictionRun:
        return PredictionRun(
            self.http,
            prediction,
            reading.extract_text,
            deadline_at,
            is_polled=reading.is_whole,
            is_verified=reading.is_verified,
            dial=dial,
        )


class CreatedPrediction(NamedTuple):
    """A prediction that was created.

    Attributes:
        prediction: The record.
        dial: The connection that was opened for its stream meanwhile; None for no connection.
    """

    prediction: Prediction
    dial: Dial | None


async def create_prediction(
    http: Http,
    models: Models,
    model: Model,
    input_: dict[str, Any],
    deadline_at: float | None,
    recorder: Recorder | None = None,
    *,
    is_streamed: bool = True,
) -> CreatedPrediction:
    """Create a prediction.

    If the caller is cancelled while the request is under way, the response is still awaited, and
    the prediction that it describes is cancelled.

    Args:
        http: Sends the request.
        models: Remembers whether the model is official, if the request shows it.
        model: The model to run.
        input_: The prediction's `input`.
        deadline_at: The deadline, in the running loop's time; None for no end.
        recorder: Records that the request is about to be sent, whenever it is; None for nobody.
        is_streamed: Whether its stream will be read.

    Raises:
        InvalidInputError: The input cannot be written as JSON, or is larger than `MAX_INPUT_BYTES`.
        ResponseError: The API refused, or its response has no prediction id.
        RateLimitError: The service asks for a wait until after the deadline.
        ReplicateTimeoutError: The deadline has passed, or no response came in time.
        ReplicateConnectionError: No connection, or it broke. Whether the prediction was created is
            unknown then, so the request is not repeated.
    """

    async def cancel_orphan(response: Response) -> None:
        await Cancellation(http, await _parse_creation(http, response)).cancel()

    while True:
        path, fields = model.endpoint
        data = encode_json({**fields, "input": input_})
        if len(data) > MAX_INPUT_BYTES:  # its response could not be read, after it was paid
            raise InvalidInputError(
                f"the input is {len(data)} bytes of JSON; at most {MAX_INPUT_BYTES} can be sent"
            )
        creation = Creation(http, path, data, deadline_at, cancel_orphan, is_streamed=is_streamed)
        if recorder is not None:
            creation.cancel_after = recorder.cancel_after
            creation.before_sending = partial(recorder.note_intent, input_)
        try:
            response = await creation.send()
        except ModelNotFoundError:
            # Some servers do not publish `is_official`. A community model answers 404 on an
            # official model's path, before anything is paid, and has to be run by version.
            community = model.as_community()
            if community is None:
                raise
            model = community
            models.remember(model)
        except ReplicateError as error:
            error.has_unknown_outcome = _is_outcome_unknown(error)
            raise
        else:
            try:
                prediction = await _parse_creation(http, response)
            except BaseException:
                creation.close_dial()
                raise
            dial = creation.hand_dial_over(prediction)
            return CreatedPrediction(prediction, dial)


def _explain_deadline(error: ReplicateError) -> None:
    """Add to the message why the request is not repeated."""
    problem = "the wait before another attempt would end after the deadline"
    error.args = (f"{error}; {problem}", *error.args[1:])


def start_deadline(settings: Settings) -> float | None:
    """Return the deadline of an answer that begins now, in the running loop's time."""
    if settings.deadline is None:
        return None
    return asyncio.get_running_loop().time() + settings.deadline


def _is_outcome_unknown(error: ReplicateError) -> bool:
    """Return True for the error of a request that was sent, and may have created a prediction."""
    if isinstance(error, ReplicateTimeoutError):
        return error.waited_for == RESPONSE
    if isinstance(error, ResponseError):
        is_failure = (error.status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR
        return is_failure and not _is_refused_for_now(error)
    return isinstance(error, ReplicateConnectionError) and error.is_sent


def _is_refused_for_now(error: ResponseError) -> bool:
    """Return True for a 503 that asks for a wait.

    Other 5xx leave open whether the prediction was created before the server failed.
    """
    return error.status == HTTPStatus.SERVICE_UNAVAILABLE and error.retry_after is not None


async def _parse_creation(http: Http, response: Response) -> Prediction:
    """Parse the response to a creation; cancel the prediction if it cannot be read."""
    try:
        return parse_response(response, "creating a prediction")
    except ResponseError as error:
        error.has_unknown_outcome = True
        created = _find_created(response)
        if created is not None:
            await Cancellation(http, created).cancel()
        raise


def _find_created(response: Response) -> Prediction | None:
    """Find what was created in a response that cannot be read, to cancel it."""
    redact = partial(response.redactor.redact, is_data=True)
    if match := _CANCEL_URL.search(response.body):
        urls = {"cancel": redact(match[1].decode())}
        return Prediction(redact(match[2].decode()), "starting", urls=urls)
    match = _CREATED_ID.match(response.body)  # the URLs are behind the input, which may be cut off
    return None if match is None else Prediction(redact(match[1].decode()), "starting")


def encode_json(body: dict[str, Any]) -> bytes:
    """Encode a body as JSON.

    Raises:
        InvalidInputError: It holds a value that JSON has no form for.
    """
    try:
        return _JSON.encode(body).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"the input cannot be written as JSON: {error}") from error


class Creation:
    """A request that creates a prediction.

    Attributes:
        cancel_after: Seconds after which the service is to cancel the prediction; None: `deadline`.
        before_sending: Awaited before each attempt.
    """

    def __init__(
        self,
        http: Http,
        path: str,
        data: bytes,
        deadline_at: float | None,
        on_orphan: Callable[[Response], Awaitable[None]],
        *,
        is_streamed: bool = True,
    ) -> None:
        """Prepare the request.

        Args:
            http: Sends it.
            path: The path below the base URL.
            data: The body.
            deadline_at: When it is not sent any more, in the running loop's time; None for no end.
            on_orphan: Called with the response if the caller was cancelled before it came.
            is_streamed: Whether to open a connection to the stream host meanwhile.
        """
        self._http = http
        self._settings = http.settings
        self._path = path
        self._data = data
        self._deadline_at = deadline_at
        self._on_orphan = on_orphan
        self.cancel_after: float | None = None
        self.before_sending: Callable[[], Awaitable[None]] | None = None
        self._is_streamed = is_streamed
        self._token_hash = b""
        self._dial: Dial | None = None

    async def send(self) -> Response:
        """Send the request once the rate limit lets it pass, however often it is refused before.

        After other failures it is repeated up to `max_retries` times before the deadline, if it
        cannot have arrived.

        Returns:
            A response with a status below 400.

        Raises:
            RateLimitError: The service asks for a wait until after the deadline.
            ReplicateTimeoutError: The deadline has passed, or no response came in time.
            ReplicateError: Any other failure.
        """
        try:
            return await self._send_in_turn()
        except asyncio.TimeoutError:
            raise self._build_timeout_error(
                "was not sent, because the rate limit held it back",
                waited_for="its turn under the rate limit",
            ) from None

    async def _send_in_turn(self) -> Response:
        failures = 0
        headers = await self._build_headers()
        self._token_hash = headers.token_hash
        with get_queue(self._settings.base_url, self._token_hash).join() as place:
            while True:
                if await place.wait_for_turn(self._deadline_at) or failures:
                    headers = await self._build_headers()  # its token may have expired
                try:
                    if self.before_sending is not None:
                        await self.before_sending()
                    return await self._send_once(place, headers)
                except RateLimitError as refusal:
                    # One that comes after the deadline is its time-out, at the next turn.
                    wait = refusal.retry_after or 0.0
                    if 0 < self._get_seconds_left() < wait:
                        _explain_deadline(refusal)
                        raise
                except (ReplicateConnectionError, ResponseError) as error:
                    delay = self._get_retry_delay(error, failures)
                    if delay is None or failures >= self._settings.max_retries:
                        raise
                    if delay >= self._get_seconds_left():
                        _explain_deadline(error)
                        raise
                    failures += 1
                    log.info("repeated in %.1f s: %s", delay, error)
                    await asyncio.sleep(delay)

    async def _build_headers(self) -> Headers:
        headers = {"Content-Type": "application/json"}
        seconds = self._get_seconds_left()
        if self.cancel_after is not None:
            seconds = min(seconds, self.cancel_after)
        if seconds < math.inf:
            headers["Cancel-After"] = f"{max(MIN_CANCEL_AFTER, math.ceil(seconds))}s"
        return await self._http.build_headers(headers)

    async def _send_once(self, place: Place, headers: Headers) -> Response:
        """Send the request, and tell the queue whether the rate limit let it pass."""
        try:
            response = await self._send_until_deadline(headers)
        except BaseException:
            self.close_dial()
            place.leave()  # nothing is known of the limit
            raise
        if response.is_success:
            place.accept()
            return response
        self.close_dial()
        error = to_response_error(response, describe_request("POST", self._path))
        if isinstance(error, RateLimitError):
            place.refuse(error)
        else:
            place.accept()
        raise error

    async def _send_until_deadline(self, headers: Headers) -> Response:
        if self._deadline_at is None:
            return await self._finish_if_cancelled(headers)
        seconds = self._get_seconds_left()
        try:
            if seconds > 0:
                return await read_within(self._finish_if_cancelled(headers), seconds)
        except asyncio.TimeoutError:
            pass
        raise self._build_timeout_error("had no response", waited_for=RESPONSE)

    async def _finish_if_cancelled(self, headers: Headers) -> Response:
        """Send the request. If the caller is cancelled meanwhile, `on_orphan` gets the response."""
        task = mute_task(asyncio.get_running_loop().create_task(self._send_and_dial(headers)))
        try:
            return await shield(task)
        except asyncio.CancelledError:
            self._is_streamed = False  # the task may not have begun
            self.close_dial()
            await wait_shielded(start_task(self._handle_orphan(task)))
            raise

    async def _send_and_dial(self, headers: Headers) -> Response:
        if self._is_streamed:
            # It begins when this task waits: behind the request, which nothing delays.
            self._dial = self._http.dial_ahead(self._token_hash)
        return await self._http.send("POST", self._path, self._data, headers)

    def close_dial(self) -> None:
        """Close the connection to the stream host."""
        if self._dial is not None:
            self._dial.close()
            self._dial = None

    def hand_dial_over(self, prediction: Prediction) -> Dial | None:
        """Return the connection to the host of a prediction's stream, and note that host.

        A connection to another host is closed.
        """
        url = prediction.urls.get("stream")
        if self._dial is None:
            self._http.note_stream(self._token_hash, url)
        else:
            self._dial.note_stream(url)
        return self._dial

    async def _handle_orphan(self, sending: asyncio.Task[Response]) -> None:
        try:
            await self._on_orphan(await sending)
        except ReplicateError as error:
            # Nothing was created, or it cannot be known what was, and no caller is left to raise
            # to.
            log.debug("a request whose caller was cancelled: %s", error)

    def _get_retry_delay(
        self, error: ReplicateConnectionError | ResponseError, failures: int
    ) -> float | None:
        """Return the seconds to wait before a repetition; None if there must be none."""
        if isinstance(error, ReplicateConnectionError):
            return None if error.is_sent else compute_backoff(failures)
        return self._http.get_retry_delay(error, failures) if _is_refused_for_now(error) else None

    def _get_seconds_left(self) -> float:
        if self._deadline_at is None:
            return math.inf
        return self._deadline_at - asyncio.get_running_loop().time()

    def _build_timeout_error(self, problem: str, waited_for: str) -> ReplicateTimeoutError:
        seconds = self._settings.deadline or 0.0
        request = describe_request("POST", self._path)
        return ReplicateTimeoutError(
            f"{request} {problem} within the deadline of {seconds:g} s; send fewer "
            "requests at once, or set a larger deadline=",
            waited_for=waited_for,
            seconds=seconds,
        )

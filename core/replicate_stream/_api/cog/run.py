"""Reading one prediction of a container to its end, whatever breaks on the way.

A stream names its outputs by index and ends with the event `completed`; only that shows the end of
the text. After a cut the same request replays all events, and the known ones are skipped. Once a
prediction has ended, Cog forgets its id, and the same request starts another one. So nothing is
sent after `completed`, and an answer is continued only by a stream that repeats what was delivered.

Cog cancels a prediction whose last reader's connection has closed. After a cut that it noticed, the
prediction therefore ends as `canceled`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from replicate_stream._api.cog.boot import CogBoot
from replicate_stream._api.cog.request import CogRequest
from replicate_stream._api.errors import get_connection_errors
from replicate_stream._api.http import Http, StreamResponse
from replicate_stream._api.prediction_run import MAX_RECONNECTS
from replicate_stream._api.predictions import parse_response, raise_for_status
from replicate_stream._api.read_timeout import ReadTimeout
from replicate_stream._api.responses import Response, decode_json
from replicate_stream._api.resume import DeliveredText
from replicate_stream._api.sse import Decoder, Event, EventTooLargeError, list_events
from replicate_stream._errors import (
    ReplicateConnectionError,
    ReplicateTimeoutError,
    ResponseError,
    StreamInterruptedError,
)
from replicate_stream._types.prediction import CANCELED, Prediction

if TYPE_CHECKING:
    from replicate_stream._api.api import Reading
    from replicate_stream._metering import Observation

MAX_IDLE = 600.0
"""Seconds without an event after which the time limits are checked, if not earlier."""


class CogRun:
    """The reading of one prediction; attributes and methods are those of `Run`.

    Args:
        http: Sends the requests.
        input_: The prediction's `input`.
        reading: How the answer is read. It is always verified: the record comes with the stream.
        deadline_at: The deadline, in the running loop's time; None for no end.
    """

    observation: Observation | None = None

    def __init__(
        self,
        http: Http,
        input_: Mapping[str, Any],
        reading: Reading,
        deadline_at: float | None,
    ) -> None:
        self._http = http
        self._request = CogRequest(http, input_, deadline_at)
        self.prediction: Prediction = self._request.prediction
        self._extract_text = reading.extract_text
        self._deadline_at = deadline_at
        self._is_whole = reading.is_whole
        self._clock = asyncio.get_running_loop().time
        timeout = http.settings.timeout
        idle_timeout = MAX_IDLE if timeout is None else min(timeout, MAX_IDLE)
        self._read_timeout = ReadTimeout(idle_timeout, deadline_at)
        self._response: StreamResponse | None = None
        self._final: Prediction | None = None  # the record of the prediction that has ended
        self._is_booting = False
        self._cuts = 0
        self._texts: list[str] = []  # delivered, by the index of their event
        self._has_gap = False
        self._problem: str | None = None  # why the rest of the stream is of no use

    async def open(self) -> None:
        """Create the prediction, or open its stream again. The errors are those of `send`.

        Afterwards the stream is open, or the answer is there, or the model boots.
        """
        response = await self._request.send()
        self._is_booting = response is None
        if response is None:
            return
        self.prediction = self._request.prediction.with_status("processing")
        self._read_timeout.last_event_at = self._clock()
        if isinstance(response, StreamResponse):
            self._response = response
        elif response.status == HTTPStatus.ACCEPTED:
            # It runs already, by a request whose response was lost, and cannot be asked for.
            raise self._build_interrupted_error("the response with the answer was lost")
        else:
            self._end(parse_response(response, "reading a prediction"))

    async def stream(self) -> AsyncGenerator[list[str], None]:
        """Stream the text in pieces as they arrive; an empty list if only the record has changed.

        Raises:
            PredictionFailedError, PredictionCanceledError: The prediction did not succeed.
            StreamInterruptedError: The stream broke, and cannot be continued.
            ReplicateTimeoutError: No token for `timeout` seconds, or the deadline has passed.
        """
        reconnects = 0
        while True:
            count, decoder = len(self._texts), Decoder()
            while self._response is not None and self._final is None:
                texts = await self._read_texts(self._response, decoder)
                if texts is None:
                    break
                yield texts
                if self._problem is not None:
                    # Here, where no variable holds what the container has sent.
                    raise self._build_interrupted_error(self._problem)
            self._close()
            if self._final is not None and not self._is_lost_before_text(self._final):
                break
            if not self._is_booting:
                reconnects = reconnects + 1 if len(self._texts) == count else 1
                await self._reconnect(reconnects)
            while self._is_booting:
                self.prediction = self._request.prediction
                async with aclosing(CogBoot(self._http, self._deadline_at).stream()) as checks:
                    async for _ in checks:
                        yield []
                await self.open()
                yield []
        self.prediction = self._final
        yield self._get_rest()

    async def cancel(self) -> None:
        """Close the connection, and cancel the prediction, unless it has ended."""
        self._close()
        await self._request.cancel()

    async def stop(self) -> None:
        """Cancel the prediction because the delivered text suffices."""
        await self.cancel()

    def leave_running(self) -> None:
        """Do nothing: a prediction of Cog does not outlive its reader."""

    def abandon(self) -> None:
        """Cancel without waiting, from code that cannot await."""
        self._close()
        self._request.abandon()

    def _close(self) -> None:
        self._read_timeout.stop()
        if self._response is not None:
            self._response.close()
            self._response = None

    async def _read_texts(self, response: StreamResponse, decoder: Decoder) -> list[str] | None:
        """Read what has arrived, which may be no text; return None if the body has ended."""
        chunk: bytes | None = None
        try:
            with self._read_timeout:
                chunk = await response.content.readany()
            if chunk is None:  # the read was interrupted
                self._check_timeouts()
                return []
            if not chunk:
                return None
            events = list_events(decoder.feed(chunk))
        except EventTooLargeError as error:
            raise self._build_interrupted_error(str(error)) from None
        except get_connection_errors():
            return None
        texts = self._add_events(events)
        if texts:  # keep-alives, logs and metrics are no tokens
            self._read_timeout.last_event_at = self._clock()
        return texts

    def _add_events(self, events: Sequence[Event]) -> list[str]:
        """Note events; return the new pieces of text, which precede a problem."""
        texts: list[str] = []
        for name, _, data in events:
            if self._problem is not None:
                break
            if name == "output":
                texts += self._add_output(decode_json(data))
            elif name == "completed":
                response = Response(HTTPStatus.OK, {}, data.encode(), self._http.redactor)
                try:
                    self._end(parse_response(response, "reading the event `completed`"))
                except ResponseError as error:
                    self._problem = str(error)
                break
            elif name == "error":  # events were dropped, as for a reader that is too slow
                body = self._http.redactor.redact(decode_json(data))
                problem = body.get("error") if isinstance(body, dict) else None
                self._problem = str(problem or "its stream reported an error")
        return texts

    def _end(self, final: Prediction) -> None:
        self._final = final
        self._request.end()

    def _add_output(self, body: Any) -> Iterator[str]:
        if self._is_whole or not isinstance(body, dict):
            return
        text = self._extract_text(body.get("chunk")) or ""
        index = body.get("index")
        if index == len(self._texts):
            self._texts.append(text)
            yield text
        elif not isinstance(index, int) or not 0 <= index < len(self._texts):
            self._has_gap = True  # `completed` brings what is missing
        elif self._texts[index] != text:
            self._problem = "the connection broke, and Cog ran it again, with another answer"

    def _is_lost_before_text(self, final: Prediction) -> bool:
        """Return True if a connection that broke before any text has cost the prediction.

        Another one is asked for then, as nothing is delivered twice.
        """
        retries = self._http.settings.max_retries
        is_lost = final.status in CANCELED and 0 < self._cuts <= retries and not self._texts
        if is_lost:
            self._final = None
            self._request.renew()
        return is_lost

    async def _reconnect(self, reconnects: int) -> None:
        """Send the request again after a cut, with a growing delay."""
        self._cuts += 1
        self._check_timeouts()
        if reconnects > MAX_RECONNECTS:
            raise self._build_interrupted_error("the connection broke again and again")
        if reconnects > 1:
            await asyncio.sleep(min(0.1 * 2**reconnects, 2.0) * random.uniform(0.75, 1.0))
        try:
            await self.open()
        except ReplicateConnectionError as error:
            raise self._build_interrupted_error(f"the connection broke: {error}") from None

    def _get_rest(self) -> list[str]:
        """Return the text of the final record that the stream did not bring.

        Raises:
            PredictionFailedError, PredictionCanceledError: The prediction did not succeed.
            StreamInterruptedError: The output does not continue the delivered text.
        """
        if self.prediction.status in CANCELED and self._cuts:
            problem = "the connection broke, and Cog canceled it, as it had no other reader"
            raise self._build_interrupted_error(problem)
        raise_for_status(self.prediction)
        output = self._extract_text(self.prediction.output)
        if output is None and not self._has_gap:
            return []  # nothing to compare
        delivered = DeliveredText()
        delivered.add_text("".join(self._texts))
        rest = None if output is None else delivered.get_remainder(output)
        if rest is None:
            raise self._build_interrupted_error(delivered.describe_difference(output or ""))
        return [rest] if rest else []

    def _check_timeouts(self) -> None:
        """Raise if no token came for `timeout` seconds, or the deadline has passed."""
        if self._request.seconds_left <= 0:
            raise self._request.build_deadline_error("did not end")
        timeout = self._http.settings.timeout
        if timeout is not None and self._read_timeout.idle_seconds >= timeout:
            waited_for = "the next token" if self._texts else "the first token"
            raise ReplicateTimeoutError(
                f"prediction {self.prediction.id} ({self.prediction.status}) sent nothing for "
                f"{timeout:g} s, waiting for {waited_for}; a larger timeout= waits longer",
                waited_for=waited_for,
                seconds=timeout,
                prediction_id=self.prediction.id,
            )

    def _build_interrupted_error(self, problem: str) -> StreamInterruptedError:
        length = sum(map(len, self._texts))
        return StreamInterruptedError(
            f"prediction {self.prediction.id}: {problem}; {length} characters of the answer were "
            "delivered",
            prediction_id=self.prediction.id,
            delivered=length,
        )

"""Reading one prediction to its end, whatever breaks on the way.

The stream's body ends when the connection closes, so a cut and an end look alike: only the `done`
event shows that the text has ended (docs/replicate-api.md 3.3). After any other end of the body the
record is fetched: if the prediction is terminal, the missing text is in its output; if not, the
stream is resumed. Events may be missing before a `done`, too, so the delivered text is compared
with every terminal record that is fetched.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeAlias

from replicate_stream._api.cancellation import Cancellation
from replicate_stream._api.dial_ahead import Dial
from replicate_stream._api.errors import get_connection_errors
from replicate_stream._api.http import Http, StreamResponse
from replicate_stream._api.predictions import (
    CHECK_TIMEOUT,
    build_stream_error,
    fetch_prediction,
    fetch_until_terminal,
    parse_done_reason,
    raise_for_status,
    refetch_prediction,
)
from replicate_stream._api.read_timeout import ReadTimeout
from replicate_stream._api.resume import DeliveredText
from replicate_stream._api.sse import Decoder, EventTooLargeError
from replicate_stream._api.watch import LOOK_INTERVAL
from replicate_stream._errors import (
    ModelNotFoundError,
    ReplicateTimeoutError,
    StreamInterruptedError,
)
from replicate_stream._logging import log
from replicate_stream._settings import cut_path, is_readable
from replicate_stream._types.prediction import CANCELED, SUCCEEDED, Prediction

if TYPE_CHECKING:
    from replicate_stream._metering import Observation


FIRST_CHECK_AFTER = LOOK_INTERVAL
"""Seconds without an event after which the record is fetched, to see the prediction's status."""
MAX_CHECK_INTERVAL = 15.0
"""Longest time between two such checks, and longest wait for a stream's response, in seconds."""
MAX_RECONNECTS = 5
"""Number of times in a row that a stream is reconnected without a new event. Then it is polled."""
UNANSWERED_COST = 2
"""Number of reconnects that a connection costs besides, if nobody answers it in time."""
FIRST_POLL_INTERVAL, MAX_POLL_INTERVAL = 0.02, 1.0
"""Shortest and longest time between two fetches of a polled record, in seconds."""

TextExtractor: TypeAlias = Callable[[Any], "str | None"]


def iterate_poll_intervals() -> Iterator[float]:
    """Yield the waits between the fetches of a record, which double.

    A short answer costs little time so, and a long one six requests more than the longest interval
    alone, of 3000 a minute (docs/replicate-api.md 1.5).
    """
    interval = FIRST_POLL_INTERVAL
    while True:
        yield interval
        interval = min(interval * 2, MAX_POLL_INTERVAL)


class PredictionRun:
    """The reading of one prediction.

    Attributes:
        prediction: The newest record.
        observation: See `Run`.
    """

    observation: Observation | None = None

    def __init__(
        self,
        http: Http,
        prediction: Prediction,
        extract_text: TextExtractor,
        deadline_at: float | None,
        *,
        is_polled: bool = False,
        is_verified: bool = True,
        dial: Dial | None = None,
    ) -> None:
        """Take charge of a prediction: from now on, it is cancelled unless it is read to its end.

        Args:
            http: Sends the requests.
            prediction: The record in the response to its creation.
            extract_text: Returns the text of a record's `output`, or None if it has none.
            deadline_at: The deadline, in the running loop's time.
            is_polled: Whether to read the output from the record instead of the stream, because it
                is not a concatenation of texts.
            is_verified: Whether to fetch the record after `done`, which has the metrics, and to
                compare the delivered text with it.
            dial: A connection to the stream's host.
        """
        self.prediction: Prediction = prediction
        self._http = http
        self._url = http.choose_url(prediction.urls.get("get"), f"/predictions/{prediction.id}")
        self._cancellation = Cancellation(http, prediction)
        self._extract_text = extract_text
        self._is_polled = is_polled
        self._is_verified = is_verified
        self._first_check_after = self._limit(FIRST_CHECK_AFTER)
        self._loop = asyncio.get_running_loop()
        self._read_timeout = ReadTimeout(self._first_check_after, deadline_at)
        self._delivered = DeliveredText()
        self._response: StreamResponse | None = None
        self._dial = dial

    def stream(self) -> AsyncGenerator[list[str], None]:
        """Stream the text in pieces as they arrive; an empty list if only the record has changed.

        Raises:
            PredictionFailedError, PredictionCanceledError: The prediction did not succeed.
            StreamInterruptedError: The stream broke, and the rest could not be fetched.
            ReplicateTimeoutError: No event for `timeout` seconds, or the `deadline` has passed.
        """
        url = self.prediction.urls.get("stream")
        if self._is_polled or self.prediction.is_terminal or not is_readable(url):
            return self._poll()
        # A stream below /v1/files/ has files, one URL an event (docs/replicate-api.md 2.7).
        is_files = url.startswith("/v1/files/", len(cut_path(url)))
        return self._poll() if is_files else self._read_stream(url)

    def leave_running(self) -> None:
        """Let the prediction run on, whatever becomes of this reading."""
        self._cancellation.release()

    async def cancel(self) -> None:
        """Cancel the prediction, unless it has ended, and keep the record in the response."""
        self.close()
        prediction = await self._cancellation.cancel()
        if prediction is not None:
            self.prediction = prediction

    async def stop(self) -> None:
        """Cancel the prediction because the delivered text suffices.

        Raises:
            StreamInterruptedError: The record in the response contradicts the delivered text.
        """
        await self.cancel()
        if self._is_verified:
            self._get_undelivered_text(is_partial=True)

    def abandon(self) -> None:
        """Cancel without waiting, from code that cannot await."""
        self.close()
        self._cancellation.abandon()

    def close(self) -> None:
        """Close the stream's connection."""
        self._read_timeout.stop()
        if self._dial is not None:
            self._dial.close()
            self._dial = None
        if self._response is not None:
            self._response.close()
            self._response = None

    # Each token comes through here: a coroutine around the read would cost 1,200 instructions, and
    # the context of the time-out 1,800.
    async def _read_stream(  # noqa: C901 - see above
        self, url: str
    ) -> AsyncGenerator[list[str], None]:
        reconnects, read_timeout, delivered = 0, self._read_timeout, self._delivered
        yield self._deliver_recorded_text()  # of a prediction that was created before
        while reconnects <= MAX_RECONNECTS:
            position = delivered.position
            decoder = Decoder(last_event_id=delivered.last_event_id)
            is_open = await self._connect(url)
            texts: list[str] | None = [] if is_open else None
            while texts is not None and delivered.end is None and self._response is not None:
                chunk: bytes | None = None
                if not texts:
                    self._check_deadline()  # what comes without a pause lets no read be interrupted
                if read_timeout.watch is None:
                    read_timeout.start()
                read_timeout.reader = asyncio.current_task(self._loop)
                try:
                    chunk = await self._response.content.readany()
                except get_connection_errors():
                    break
                except asyncio.CancelledError:
                    if not read_timeout.take_interruption():
                        raise
                finally:
                    read_timeout.reader = None
                texts = (
                    await self._check_idle_prediction()
                    if chunk is None
                    else self._decode(decoder, chunk)
                )
                if texts is not None:
                    yield texts
            chunk = None  # what raises below keeps no bytes of the server in its traceback
            delivered.last_event_id = decoder.last_event_id
            if self._is_stream_useless():
                break
            self.close()
            yield await self._end_connection()
            if self.prediction.is_terminal:
                return
            if self._is_held_back():
                break
            has_events = delivered.position > position
            reconnects = await self._wait_to_reconnect(
                reconnects, decoder.last_comment, is_open=is_open, has_events=has_events
            )
        self.close()
        # The API can be reached although the stream's host cannot, e.g. through a list of hosts.
        async with aclosing(self._poll()) as batches:
            async for texts in batches:
                yield texts

    async def _wait_to_reconnect(
        self, reconnects: int, comment: str | None, *, is_open: bool | None, has_events: bool
    ) -> int:
        """Wait before the stream is opened again, and return the number of reconnects in a row.

        Args:
            reconnects: Their number so far.
            comment: The last comment of the connection that has ended.
            is_open: What `_connect` has returned for it.
            has_events: Whether it brought new events.
        """
        # The comment `408: …` is the server's idle time-out, which a model reaches that boots or
        # thinks for 30 s. The connection did not break (docs/replicate-api.md 3.6).
        was_idle = (comment or "").startswith("408")
        reconnects = 1 if has_events or was_idle else reconnects + 1
        if is_open is None:
            reconnects += UNANSWERED_COST
        if reconnects <= MAX_RECONNECTS:
            cause = "was idle" if was_idle else "broke" if is_open else "could not be opened"
            log.info("prediction %s: its stream %s, and is opened again", self.prediction.id, cause)
            if reconnects > 1 or was_idle:
                await asyncio.sleep(min(0.1 * 2**reconnects, 2.0) * random.uniform(0.75, 1.0))
        return reconnects

    def _is_stream_useless(self) -> bool:
        """Return True if the text is to be had from the record only."""
        is_refused = self._response is not None and self._response.is_refused
        return is_refused or self._delivered.has_other_start

    async def _connect(self, url: str) -> bool | None:
        """Open the stream where it broke off.

        Returns:
            False if it cannot be read; None if there was no response in time.
        """
        read_timeout = self._read_timeout
        read_timeout.idle_timeout = self._limit(read_timeout.idle_seconds + MAX_CHECK_INTERVAL)
        try:
            with read_timeout:
                self._response = await self._http.open_stream(
                    url, self._delivered.last_event_id, self._dial
                )
                self._dial = None  # used, and with what it holds only a burden of each collection
        except get_connection_errors():
            return False
        finally:
            # The reads have a shorter time-out than this wait.
            read_timeout.idle_timeout = self._limit(read_timeout.idle_seconds + FIRST_CHECK_AFTER)
        if self._response is None:
            return None
        self._delivered.start_connection()
        return self._response.is_event_stream

    def _decode(self, decoder: Decoder, chunk: bytes) -> list[str] | None:
        """Return the new texts of a chunk, which may have none; None at the end of the body."""
        if not chunk:
            return None
        delivered = self._delivered
        try:
            texts = delivered.add_events(decoder.feed(chunk))
        except EventTooLargeError as error:
            raise self._build_interrupted_error(str(error)) from None
        if delivered.has_other_start:
            return None
        if texts:  # a server that sends nothing but `logs` is silent
            self._read_timeout.last_event_at = self._loop.time()
            self._read_timeout.idle_timeout = self._first_check_after
            # The stream is ahead of the record, which is not fetched while events come.
            if self.prediction.status == "starting":
                self.prediction = self.prediction.with_status("processing")
        return texts

    async def _check_idle_prediction(self) -> list[str] | None:
        """Fetch the record during a silence; return None if there is nothing more to wait for."""
        self._check_deadline()
        self.prediction = await refetch_prediction(
            self._http, self._url, self.prediction, timeout=CHECK_TIMEOUT
        )
        # After the record: the silence may be this machine's, if it slept.
        if self.prediction.is_terminal or self._is_held_back():
            return None
        interval = self._read_timeout.idle_timeout
        self._read_timeout.idle_timeout = self._limit(interval + min(interval, MAX_CHECK_INTERVAL))
        return []

    async def _end_connection(self) -> list[str]:
        """Find out whether the prediction has ended; return the text that is missing then."""
        if self._delivered.end is None:
            if not self.prediction.is_terminal:
                self.prediction = await refetch_prediction(self._http, self._url, self.prediction)
            return self._deliver_rest() if self.prediction.is_terminal else []
        self._cancellation.release()
        reason = self._http.redactor.redact(parse_done_reason(self._delivered.end.done_data))
        # A server that replays nothing to a further connection leaves a gap, too.
        was_cut = self._delivered.connection_count > 1
        if reason is not None or was_cut or self._is_verified:
            self.prediction = await fetch_until_terminal(self._http, self._url, self.prediction)
        # An unknown reason neither is a success nor contradicts a record that shows one.
        is_known = reason in {"error", "canceled"}
        if reason is not None and (is_known or not self.prediction.is_terminal):
            raise build_stream_error(
                self.prediction, reason, self._delivered.end.error_data, self._http.redactor
            )
        if self.prediction.is_terminal:
            return self._deliver_rest(is_output_needed=was_cut or reason is not None)
        if was_cut:
            raise self._build_interrupted_error("no record shows whether the text is complete")
        self.prediction = self.prediction.with_status(SUCCEEDED)
        if not self._is_verified:
            return []
        # A record that lags may have its output already (docs/replicate-api.md 2.3).
        return self._note_rest(self._get_undelivered_text(is_partial=True))

    async def _poll(self) -> AsyncGenerator[list[str], None]:
        intervals = iterate_poll_intervals()
        while not self.prediction.is_terminal:
            text = self._get_undelivered_text(is_partial=True)
            self._check_deadline()
            if text:
                self._delivered.add_text(text)
                yield [text]
                self._read_timeout.last_event_at = self._loop.time()  # the consumer has come back
            else:
                self._check_timeouts()
                yield []
            await asyncio.sleep(next(intervals))
            try:
                self.prediction = await fetch_prediction(self._http, self._url, self.prediction.id)
            except ModelNotFoundError:
                raise self._build_interrupted_error("its record is gone (404)") from None
        is_output_needed = self._delivered.length > 0 or self.prediction.data_removed
        yield self._deliver_rest(is_output_needed=is_output_needed)

    def _deliver_rest(self, *, is_output_needed: bool = True) -> list[str]:
        """Note and return the text of a terminal prediction that the stream did not bring.

        Args:
            is_output_needed: False if the stream itself shows the end of the text, so that a
                record without output, as after an hour, does not cast doubt on it.

        Raises:
            PredictionFailedError, PredictionCanceledError: The prediction did not succeed.
            StreamInterruptedError: The output does not continue the delivered text.
        """
        self._cancellation.release()
        self._raise_for_status()
        rest = self._get_undelivered_text()
        if rest is None and is_output_needed:
            raise self._build_interrupted_error("the record has no output any more")
        return self._note_rest(rest)

    def _deliver_recorded_text(self) -> list[str]:
        """Note and return the text that a record has before its stream is read.

        Without carriage returns, as the stream repeats it (docs/replicate-api.md 3.3).
        """
        return self._note_rest((self._get_undelivered_text() or "").replace("\r", ""))

    def _note_rest(self, rest: str | None) -> list[str]:
        if not rest:
            return []
        self._delivered.add_text(rest)
        return [rest]

    def _get_undelivered_text(self, *, is_partial: bool = False) -> str | None:
        """Return the record's output after the delivered text; None if it has no output.

        Args:
            is_partial: Whether the record may lag behind the stream.

        Raises:
            StreamInterruptedError: The output contradicts the delivered text.
        """
        text = self._extract_text(self.prediction.output)
        if text is None:
            return None
        if self._delivered.connection_count:
            # A stream cannot carry it: a line end, or nothing, arrives (docs/replicate-api.md 3.3).
            text = text.replace("\r", "")
        rest = self._delivered.get_remainder(text, is_partial=is_partial)
        if rest is None:
            raise self._build_interrupted_error(self._delivered.describe_difference(text))
        return rest

    def _limit(self, seconds: float) -> float:
        timeout = self._http.settings.timeout
        return seconds if timeout is None else min(seconds, timeout)

    def _raise_for_status(self) -> None:
        if self.prediction.status in CANCELED:
            # The service cancels at the deadline too. To the caller that is a time-out.
            self._check_deadline()
        raise_for_status(self.prediction)

    def _is_held_back(self) -> bool:
        """Return True if the stream was silent for `timeout` seconds, but the record has more text.

        A proxy may collect the stream, or its host may not be reached, e.g. through a firewall.

        Raises:
            ReplicateTimeoutError: The record has no more text either, or the deadline has passed.
        """
        if self._is_overdue and self._get_undelivered_text(is_partial=True):
            return True
        self._check_timeouts()
        return False

    @property
    def _is_overdue(self) -> bool:
        timeout = self._http.settings.timeout
        return timeout is not None and self._read_timeout.idle_seconds >= timeout

    def _check_timeouts(self) -> None:
        """Raise if no event came for `timeout` seconds, or the deadline has passed."""
        self._check_deadline()
        timeout = self._http.settings.timeout
        if timeout is not None and self._is_overdue:
            first = "the output" if self._is_polled else "the first token"
            waited_for = "the next token" if self._delivered.length else first
            problem = (
                f"sent nothing for {timeout:g} s, waiting for {waited_for}; a larger timeout= "
                "waits longer"
            )
            raise self._build_timeout_error(problem, waited_for, timeout)

    def _check_deadline(self) -> None:
        deadline = self._http.settings.deadline
        if deadline is not None and self._read_timeout.is_past_deadline:
            problem = f"did not end within its deadline of {deadline:g} s"
            raise self._build_timeout_error(problem, "the end of the answer", deadline)

    def _build_timeout_error(
        self, problem: str, waited_for: str, seconds: float
    ) -> ReplicateTimeoutError:
        prediction = self.prediction
        return ReplicateTimeoutError(
            f"prediction {prediction.id} ({prediction.status}) {problem}",
            waited_for=waited_for,
            seconds=seconds,
            prediction_id=prediction.id,
        )

    def _build_interrupted_error(self, problem: str) -> StreamInterruptedError:
        return StreamInterruptedError(
            f"prediction {self.prediction.id}: {problem}; {self._delivered.length} characters of "
            "the answer were delivered",
            prediction_id=self.prediction.id,
            delivered=self._delivered.length,
        )

"""The life of a prediction: read to its end, whatever breaks on the way.

The stream's body ends when the connection closes, so a cut and an end look alike: the end is the
`done` event and nothing else (replicate-api.md 3.3). After anything else the record is asked: if
the prediction is over, what is missing comes from its output; if not, the stream is taken up again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from replicate_stream._api.cancellation import Cancellation
from replicate_stream._api.http import Body, Http
from replicate_stream._api.prediction_errors import check_ended_well, failure_of, reason_of
from replicate_stream._api.read_timeout import ReadTimeout
from replicate_stream._api.responses import Response, json_object
from replicate_stream._api.resume import DeliveredText, Ending
from replicate_stream._api.sse import Decoder, EventTooLargeError
from replicate_stream._errors import (
    ReplicateError,
    ReplicateTimeoutError,
    ResponseError,
    StreamInterruptedError,
)
from replicate_stream._types.prediction import SUCCEEDED, Prediction, parse_prediction

FIRST_LOOK = 2.0
"""After how many silent seconds the record is asked what the prediction is doing."""
LONGEST_LOOK = 15.0
"""The longest silence between two such looks, and the longest wait for a stream's reply."""
LOOK_WITHIN = 3.0
"""How long a look may take: meanwhile tokens wait."""
MAX_CUTS = 5
"""How often in a row a stream may break off without having brought anything."""
POLL_FIRST, POLL_LONGEST = 0.25, 1.0
_LAG = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Waits before each look for a record that lags behind its stream."""

Batch: TypeAlias = "list[str] | Prediction"
"""Pieces of text, or the record where its status is another."""
TextOf: TypeAlias = Callable[[Any], "str | None"]


class PredictionRun:
    """One prediction, from its creation on. Made by `creation.start`.

    Attributes:
        prediction: The record as last seen.
    """

    def __init__(
        self,
        http: Http,
        prediction: Prediction,
        path: str,
        lease: Cancellation,
        text_of: TextOf,
        until: float | None,
        *,
        is_whole: bool = False,
    ) -> None:
        """Take a prediction over.

        Args:
            http: The way to the API.
            prediction: The record that its creation gave.
            path: Where to get the record again.
            lease: The duty to end it.
            text_of: Gives the text of a record's `output`, None if it has none.
            until: The deadline, in the running loop's time.
            is_whole: Whether the output is no text in pieces, and has to be read as a whole.
        """
        self.prediction = prediction
        self._http = http
        self._path = path
        self._lease = lease
        self._text_of = text_of
        self._is_whole = is_whole
        self._first_look = self._bounded(FIRST_LOOK)
        self._clock = asyncio.get_running_loop().time
        self._watch = ReadTimeout(self._first_look, until)
        self._heard = DeliveredText()
        self._body: Body | None = None
        self._ending: Ending | None = None

    def batches(self) -> AsyncGenerator[Batch, None]:
        """The text as it comes, in batches, and the record whenever its status changes.

        Raises:
            PredictionFailedError, PredictionCanceledError: The prediction did not end well.
            StreamInterruptedError: The stream broke and the rest could not be had.
            ReplicateTimeoutError: A silence longer than `timeout`, or the `deadline`.
        """
        url = self.prediction.urls.get("stream")
        # Behind /v1/files/ are files, one URL an event (replicate-api.md 2.7).
        is_files = urlsplit(url or "").path.startswith("/v1/files/")
        return self._poll() if not url or is_files or self._is_whole else self._stream(url)

    async def account(self) -> None:
        """After the text: get the final record, with what it cost.

        Never raises for want of an answer: the text is there.

        Raises:
            PredictionFailedError, PredictionCanceledError: The record contradicts its stream.
        """
        await self._catch_up()
        if self.prediction.is_terminal:
            self._check_ended_well()
        else:
            self.prediction = self.prediction.with_status(SUCCEEDED)

    async def cancel(self) -> None:
        """End the prediction at once, if it has not ended yet, and keep its last record."""
        self.close()
        canceled = await self._lease.cancel()
        if canceled is not None:
            self.prediction = canceled

    def abandon(self) -> None:
        """Cancel without waiting; for where nothing can be awaited."""
        self.close()
        self._lease.abandon()

    def close(self) -> None:
        """Let go of the connection."""
        self._watch.stop()
        if self._body is not None:
            self._body.close()
            self._body = None

    async def _stream(self, url: str) -> AsyncGenerator[Batch, None]:
        cuts = 0
        while True:
            status, events = self.prediction.status, self._heard.events
            decoder = Decoder()
            batch: Batch | None = [] if await self._connect(url) else None
            while batch is not None and self._ending is None:
                batch = await self._next(decoder)
                if batch:
                    yield batch
            self.close()
            if rest := await self._finish():
                yield rest
            if self.prediction.is_terminal:
                return
            if self.prediction.status != status:
                yield self.prediction
            # A server that says 408 was only idle: that is no cut (replicate-api.md 3.6).
            was_idle = (decoder.last_comment or "").startswith("408")
            cuts = cuts + 1 if self._heard.events == events and not was_idle else 1
            await self._pause(cuts, was_idle=was_idle)

    async def _pause(self, cuts: int, *, was_idle: bool) -> None:
        """Wait before the next connection; at once if the last one had brought something."""
        self._check_patience()
        if cuts > MAX_CUTS:
            raise self._interrupted(f"the stream broke off {cuts} times without bringing more")
        if cuts > 1 or was_idle:
            await asyncio.sleep(min(0.1 * 2**cuts, 2.0) * random.uniform(0.75, 1.0))

    async def _connect(self, url: str) -> bool:
        """Open the stream where it broke off; False if that gave nothing that can be read."""
        self._watch.patience = self._bounded(self._watch.silence() + LONGEST_LOOK)
        try:
            opening = self._http.open(url, self._heard.last_event_id)
            self._body = await self._watch.until_due(opening)
        except self._http.broken:
            return False
        finally:
            self._watch.stop()  # it was set for this wait, and wakes anew for the next
            self._watch.patience = self._bounded(self._watch.silence() + FIRST_LOOK)
        self._heard.reconnect()
        return self._body is not None and self._body.is_event_stream

    async def _next(self, decoder: Decoder) -> Batch | None:
        """What the next bytes bring, which may be nothing; None if reading on is of no use."""
        body, heard, watch = self._body, self._heard, self._watch
        if body is None:
            return None
        try:
            portion = await watch.until_due(body.read())
            if portion is None:
                return await self._look_into_silence()
            if not portion:
                return None
            events = decoder.feed(portion)
        except EventTooLargeError as error:
            raise self._interrupted(str(error)) from error
        except self._http.broken:
            return None
        if not events:
            return []
        watch.heard = self._clock()
        watch.patience = self._first_look
        texts, self._ending = heard.take(events)
        if texts and self.prediction.status == "starting":
            self.prediction = self.prediction.with_status("processing")
        heard.last_event_id = decoder.last_event_id or heard.last_event_id
        return texts

    async def _look_into_silence(self) -> Batch | None:
        self._check_patience()
        status = self.prediction.status
        await self._look(within=LOOK_WITHIN)
        if self.prediction.is_terminal:
            return None
        watch = self._watch
        watch.patience = self._bounded(watch.patience + min(watch.patience, LONGEST_LOOK))
        return self.prediction if self.prediction.status != status else []

    async def _finish(self) -> list[str]:
        """After a connection: if the prediction is over, how it ended and what did not come."""
        if self._ending is None:
            if not self.prediction.is_terminal:
                await self._look()
            return self._rest() if self.prediction.is_terminal else []
        self._lease.settle()
        reason = reason_of(self._ending.data)
        if reason is not None:
            await self._catch_up()
            raise failure_of(self.prediction, reason, self._ending.error)
        if self._heard.connections > 1:
            # A server that replays nothing leaves a hole that only the record can show.
            await self._catch_up()
            if not self.prediction.is_terminal:
                raise self._interrupted("whether all of it came could not be verified")
            return self._rest()
        if not self.prediction.is_terminal:
            self.prediction = self.prediction.with_status(SUCCEEDED)
        return []

    async def _poll(self) -> AsyncGenerator[Batch, None]:
        wait = POLL_FIRST
        status = self.prediction.status
        while True:
            if self.prediction.status != status:
                status = self.prediction.status
                if not self.prediction.is_terminal:
                    yield self.prediction
            if self.prediction.is_terminal:
                self._lease.settle()
                self._check_ended_well()
            if text := self._missing():
                self._watch.heard = self._clock()
                self._heard.add(text)
                yield [text]
            if self.prediction.is_terminal:
                return
            self._check_patience()
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, POLL_LONGEST)
            self._see(await self._http.get(self._path))

    async def _catch_up(self) -> None:
        """Get the record until it is terminal: for a moment it lags behind the stream."""
        failures = 0
        for wait in _LAG:
            if self.prediction.is_terminal and self.prediction.metrics:
                return
            await asyncio.sleep(wait)
            failures += not await self._look(within=LOOK_WITHIN)
            if failures > 1 or self.prediction.is_terminal:
                return

    async def _look(self, within: float | None = None) -> bool:
        """Ask for the record, once if it has to be `within` seconds; False if nobody answers."""
        try:
            self._see(
                await self._http.get(self._path, retries=0 if within else None, within=within)
            )
        except ReplicateError:
            return False
        return True

    def _see(self, reply: Response) -> None:
        doing = f"GET prediction {self.prediction.id}"
        try:
            self.prediction = parse_prediction(json_object(reply, doing))
        except ValueError as error:
            raise ResponseError(f"{doing}: {error}", status=reply.status) from error

    def _rest(self) -> list[str]:
        """Of a prediction that is over, the text that the stream did not bring.

        Raises:
            PredictionFailedError, PredictionCanceledError: It did not end well.
            StreamInterruptedError: Its output does not go on where the stream broke off.
        """
        self._lease.settle()
        self._check_ended_well()
        rest = self._missing()
        if rest is None:
            raise self._interrupted("the prediction's output is not to be had any more")
        self._heard.add(rest)
        return [rest] if rest else []

    def _missing(self) -> str | None:
        """What the record's output has beyond the delivered text; None if it has no output."""
        text = self._text_of(self.prediction.output)
        if text is None:
            return None
        if self._heard.connections:
            text = text.replace("\r\n", "\n")  # all that an event stream can carry
        rest = self._heard.rest_of(text)
        if rest is None:
            raise self._interrupted("the prediction's output does not go on where it broke off")
        return rest

    def _bounded(self, seconds: float) -> float:
        timeout = self._http.settings.timeout
        return seconds if timeout is None else min(seconds, timeout)

    def _check_ended_well(self) -> None:
        deadline = self._http.settings.deadline if self._watch.is_over() else None
        check_ended_well(self.prediction, missed_deadline=deadline)

    def _check_patience(self) -> None:
        """Raise if nothing has come for too long, or the deadline has passed."""
        settings, prediction = self._http.settings, self.prediction
        if settings.deadline is not None and self._watch.is_over():
            waited_for, seconds = "the end of the answer", settings.deadline
            text = f"did not end within its deadline of {seconds:g} s"
        elif settings.timeout is not None and self._watch.silence() >= settings.timeout:
            waited_for = "the next token" if self._heard.length else "the first token"
            seconds = settings.timeout
            text = f"brought nothing for {seconds:g} s while {waited_for} was waited for"
        else:
            return
        raise ReplicateTimeoutError(
            f"prediction {prediction.id} {text} (status: {prediction.status})",
            waited_for=waited_for,
            seconds=seconds,
            prediction_id=prediction.id,
        )

    def _interrupted(self, why: str) -> StreamInterruptedError:
        return StreamInterruptedError(
            f"prediction {self.prediction.id}: {why}; {self._heard.length} characters of the "
            "answer were delivered",
            prediction_id=self.prediction.id,
            delivered=self._heard.length,
        )

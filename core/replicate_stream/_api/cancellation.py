"""Whoever stops listening stops paying: the cancel request, sent once and sure to be sent.

Closing an event stream does not end its prediction (replicate-api.md 4), so it has to be asked for.
An `await` in a `finally` block is not enough: where an async generator is left to the garbage
collector and its loop ends, the block starts and its first `await` never comes back. So there are
two ways: in a task that is in control, a request on its own loop, over a connection that is already
open; and for what is merely dropped, a thread of its own, which needs no loop to live on.
"""

from __future__ import annotations

import asyncio
import logging
import threading

from replicate_stream._api.http import GRACE, Http, outlast
from replicate_stream._api.responses import json_object
from replicate_stream._errors import ReplicateError
from replicate_stream._types.prediction import Prediction, parse_prediction

_log = logging.getLogger("replicate_stream")
_under_way: set[asyncio.Task[Prediction | None]] = set()


class Cancellation:
    """The duty to end a prediction. Dropping it without `settle` cancels the prediction."""

    def __init__(self, http: Http, prediction_id: str, path: str) -> None:
        """Take the duty over.

        Args:
            http: The way to the API.
            prediction_id: The prediction, for messages.
            path: Where to post the cancel request: a path, or a URL of the API's own origin.
        """
        self._http = http
        self._id = prediction_id
        self._path = path
        self._lock = threading.Lock()
        self._is_open = True

    def settle(self) -> None:
        """The prediction has ended; there is nothing to cancel."""
        self._close()

    async def cancel(self) -> Prediction | None:
        """Cancel now and wait for the reply, at most for some seconds.

        The request goes on when this task is cancelled meanwhile. A failure is logged, not raised:
        whoever leaves has his own error to report.

        Returns:
            The prediction as the reply describes it; None if it was settled, or nobody answered.
        """
        if not self._close():
            return None
        task = asyncio.ensure_future(self._post_or_hand_over())
        _under_way.add(task)
        task.add_done_callback(_under_way.discard)
        await outlast({task})
        return task.result() if task.done() and not task.cancelled() else None

    def abandon(self) -> None:
        """Cancel without waiting, from wherever: a finalizer, another thread, a closing loop."""
        if self._close():
            self._hand_over()

    def __del__(self) -> None:
        self.abandon()

    def _close(self) -> bool:
        with self._lock:
            was_open, self._is_open = self._is_open, False
        return was_open

    async def _post_or_hand_over(self) -> Prediction | None:
        try:
            return await self._post()
        except asyncio.CancelledError:  # the loop is closing
            self._hand_over()
            raise

    def _hand_over(self) -> None:
        thread = threading.Thread(
            target=lambda: asyncio.run(self._post()), name="replicate-stream-cancel"
        )
        try:
            thread.start()  # not a daemon: the interpreter waits for it before it exits
        except RuntimeError:  # it is exiting already
            _log.warning("prediction %s could not be canceled: Python is shutting down", self._id)

    async def _post(self) -> Prediction | None:
        try:
            reply = await asyncio.wait_for(self._http.cancel(self._path), GRACE)
            return parse_prediction(json_object(reply, f"POST {self._path}"))
        except (ReplicateError, ValueError) as error:
            _log.warning("cancelling prediction %s: %s", self._id, error)
        except asyncio.TimeoutError:
            _log.warning("cancelling prediction %s: no reply within %g s", self._id, GRACE)
        return None

"""Cancelling a prediction once its reader has gone, exactly once and without fail.

Closing an event stream does not end its prediction (docs/replicate-api.md 4), so a cancel request
has to be sent. An `await` in a `finally` block is not enough: if an async generator is left to the
garbage collector and its loop ends, the block starts, and its first `await` never returns. So there
are three ways. A task that is in control sends the request on its own loop, over a connection that
is already open. A prediction that is dropped is cancelled from a new thread, with its own loop. An
exit hook cancels what is still open; no thread is started after it, for which Python 3.10 and 3.11
would wait forever.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Collection, Coroutine, Iterable
from typing import Any, ClassVar

from replicate_stream._api.errors import describe_request
from replicate_stream._api.http import GRACE_PERIOD, Http, wait_shielded
from replicate_stream._api.read_timeout import read_within
from replicate_stream._api.responses import Response, parse_json_object
from replicate_stream._api.tasks import is_loop_running, start_task
from replicate_stream._errors import ReplicateError
from replicate_stream._logging import log
from replicate_stream._types.prediction import Prediction, parse_prediction

MIN_RETRIES = 2
"""Least number of repetitions of a request to cancel: a prediction that runs on costs money."""


class Cancellation:
    """The duty to cancel a prediction. Collecting it before `release` cancels the prediction."""

    _accepted: ClassVar[Collection[int]] = ()  # statuses that are no failure

    def __init__(self, http: Http, prediction: Prediction) -> None:
        """Take the duty over.

        Args:
            http: Sends the request.
            prediction: The record of the prediction.
        """
        self._http = http
        self._id = prediction.id
        url = prediction.urls.get("cancel")
        self._url = http.choose_url(url, f"/predictions/{prediction.id}/cancel")
        # Acquired once, by whoever ends the duty: the garbage collector may call `abandon` in any
        # thread, at the same time as `cancel`.
        self._ended = threading.Lock()
        _open[id(self)] = weakref.ref(self)

    def release(self) -> bool:
        """End the duty, as when the prediction has ended; return False if it had ended before."""
        if not self._ended.acquire(blocking=False):
            return False
        _open.pop(id(self), None)
        return True

    async def cancel(self) -> Prediction | None:
        """Cancel now, and wait at most `GRACE_PERIOD` for the response.

        The request goes on if this task is cancelled meanwhile. A failure is logged, not raised: it
        would hide the error that made the caller leave.

        Returns:
            The record in the response; None without a response, or if nothing was to be cancelled.
        """
        if not is_loop_running():  # a coroutine is dropped whose loop was closed
            self.abandon()
            return None
        if not self.release():
            return None
        task = start_task(self._post_or_start_thread())
        await wait_shielded(task)
        return task.result() if task.done() and not task.cancelled() else None

    def abandon(self) -> None:
        """Cancel without waiting, from anywhere: a finalizer, another thread, a closing loop."""
        if self.release():
            self._start_thread()

    def __del__(self) -> None:
        self.abandon()

    async def _post_or_start_thread(self) -> Prediction | None:
        try:
            return await self._post()
        except asyncio.CancelledError:  # the loop is closing, and `asyncio.run` cancels its tasks
            self._start_thread()
            raise

    def _start_thread(self) -> None:
        if _has_exited:
            log.warning("prediction %s could not be canceled: Python is shutting down", self._id)
            return
        # Not a daemon, so that the interpreter waits for it before it exits.
        threading.Thread(
            target=lambda: asyncio.run(self._post()), name="replicate-stream-cancel"
        ).start()

    async def _post(self) -> Prediction | None:
        log.info("prediction %s is canceled: it is not read any more", self._id)
        try:
            posting = self._http.request(
                "POST",
                self._url,
                retries=max(MIN_RETRIES, self._http.settings.max_retries),
                timeout=GRACE_PERIOD,
                accepted=self._accepted,
            )
            # It bounds the retries too. `asyncio.wait_for` has a task of its own on Python 3.11,
            # which a loop that is closed meanwhile complains of.
            response = await read_within(posting, GRACE_PERIOD)
            return self._parse(response)
        except asyncio.TimeoutError:
            problem = f"no response within {GRACE_PERIOD:g} s"
        except (ReplicateError, ValueError) as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - whatever the caller's function for a token raises
            problem = f"no request could be built ({type(error).__name__})"
        log.warning("cancelling prediction %s: %s", self._id, problem)
        return None

    def _parse(self, response: Response) -> Prediction | None:
        return parse_prediction(parse_json_object(response, describe_request("POST", self._url)))


# By their `id`, until each is released, at the latest when it is collected. A WeakSet costs 7,000
# instructions more for each.
_open: dict[int, weakref.ref[Cancellation]] = {}
_has_exited = False


def _list_open() -> list[Cancellation]:
    return [each for ref in list(_open.values()) if (each := ref()) is not None]


@atexit.register
def _cancel_open_predictions() -> None:
    """Cancel at exit what nobody has left: a stream entered by hand, a generator in a global."""
    global _has_exited
    _has_exited = True
    posts = [each._post() for each in _list_open() if each.release()]  # noqa: SLF001 - this module's
    if posts:
        asyncio.run(_gather(posts))


async def _gather(posts: Iterable[Coroutine[Any, Any, object]]) -> None:
    await asyncio.gather(*posts)


def _release_after_fork() -> None:
    # The predictions are the parent's, which still reads them.
    for each in _list_open():
        each.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_after_fork)

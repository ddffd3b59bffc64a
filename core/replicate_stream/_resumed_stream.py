"""The event stream of a prediction that was created before: it is looked up at the first use.

So it can be made without a running loop and without an `await`, like any other value.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from replicate_stream._errors import InvalidInputError
from replicate_stream._event_stream import EventStream, Start
from replicate_stream._types.messages import StreamEvent
from replicate_stream._types.prediction import Prediction, Usage

if TYPE_CHECKING:
    from replicate_stream._api.api import Run
    from replicate_stream._types.request import ModelInput, Request

TakeUp: TypeAlias = "Callable[[], Awaitable[tuple[Run, ModelInput, Request, Start]]]"
"""Looks the prediction up; returns the arguments of `EventStream`."""

_VERSION = re.compile(r"[0-9a-f]{64}")


class ResumedStream(EventStream):
    """The events of a prediction that was created before, also an async context manager."""

    def __init__(self, prediction_id: str, take_up: TakeUp) -> None:
        self._prediction_id = prediction_id
        self._take_up = take_up
        self._is_open = False
        self._events = self._open_and_generate()

    @property
    def prediction(self) -> Prediction:
        """The newest record; one with the id alone, and no status, until it was looked up."""
        return super().prediction if self._is_open else Prediction(self._prediction_id, "")

    @property
    def usage(self) -> Usage | None:
        """Token counts of the newest record; None if unknown, as until it was looked up."""
        return super().usage if self._is_open else None

    def leave_running(self) -> None:
        """Let the prediction run on if the stream is left. It has to be entered before."""
        if self._is_open:
            super().leave_running()

    async def __aenter__(self) -> EventStream:
        await self._open()
        return self

    async def aclose(self) -> None:
        """Cancel the prediction, unless it has ended, and wait until the service has answered."""
        if self._is_open:
            await super().aclose()

    def abandon(self) -> None:
        """Cancel the prediction from code that cannot await."""
        if self._is_open:
            super().abandon()

    async def _open(self) -> None:
        if not self._is_open:
            events = self._events
            super().__init__(*await self._take_up())
            self._events = events
            self._is_open = True

    async def _open_and_generate(self) -> AsyncGenerator[StreamEvent, None]:
        await self._open()
        try:
            async for event in self._generate():
                yield event
        finally:
            self.abandon()  # for a loop without `async with`; nothing after the prediction's end


def check_prediction_id(prediction_id: str) -> str:
    """Return a prediction's id, which becomes a part of a URL.

    Raises:
        InvalidInputError: It is not one.
    """
    text: Any = prediction_id
    if not isinstance(text, str) or not re.fullmatch(r"\w+", text, re.ASCII):
        raise InvalidInputError(
            "prediction_id must be letters and digits, as in Prediction.id",
            fields=("prediction_id",),
        )
    return prediction_id


def find_model(prediction: Prediction) -> str:
    """Find the reference to the model that a prediction ran.

    Raises:
        InvalidInputError: Its record names none.
    """
    # An official model's version is `hidden`, or has a form of its own (docs/replicate-api.md 2.4).
    version = prediction.version or ""
    names = [prediction.model, version if _VERSION.fullmatch(version) else None]
    if reference := ":".join(name for name in names if name):
        return reference
    raise InvalidInputError(
        f"the record of prediction {prediction.id} names no model; pass model=", fields=("model",)
    )

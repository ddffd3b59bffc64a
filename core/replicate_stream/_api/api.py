"""The interface of an API, which the client sees of each dialect, and the choice of the dialect."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from replicate_stream._api.files import Files
from replicate_stream._api.http import Http
from replicate_stream._api.models import Model, Models
from replicate_stream._api.prediction_run import TextExtractor
from replicate_stream._settings import Settings
from replicate_stream._types.prediction import Prediction

if TYPE_CHECKING:
    from replicate_stream._api.creation import Recorder
    from replicate_stream._api.model_list import ModelList
    from replicate_stream._metering import Observation


class Run(Protocol):
    """The reading of one prediction.

    Attributes:
        observation: Set by the client: observes the prediction for sums and reports.
    """

    observation: Observation | None

    @property
    def prediction(self) -> Prediction:
        """The newest record."""
        raise NotImplementedError

    def stream(self) -> AsyncGenerator[list[str], None]:
        """Stream the text in pieces as they arrive; an empty list if only the record has changed.

        Raises:
            ReplicateError: The prediction did not succeed, or could not be read to its end.
        """
        raise NotImplementedError

    async def cancel(self) -> None:
        """Cancel the prediction, unless it has ended, and close its connection."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Cancel the prediction because the delivered text suffices."""
        raise NotImplementedError

    def leave_running(self) -> None:
        """Let the prediction run on if the reading is left, where it can."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Cancel without waiting, from code that cannot await."""
        raise NotImplementedError


class Boot(Run, Protocol):
    """The boot of a model, read as a run without text.

    Attributes:
        deadline_at: The deadline of the answer, in the running loop's time; None for no end.
    """

    deadline_at: float | None


class Reading(NamedTuple):
    """How an answer is read.

    Attributes:
        extract_text: Returns the text of an `output`, or None if it has none.
        is_whole: Whether to read the output when it is whole, because it is not a concatenation of
            texts.
        is_verified: Whether to compare the delivered text with the record, if that costs a request.
    """

    extract_text: TextExtractor
    is_whole: bool = False
    is_verified: bool = True


class Api(Protocol):
    """The API of one dialect.

    Attributes:
        http: Its requests.
        models: Its look-ups of models.
        files: What becomes of the files of an input.
        may_boot: True if nothing can be asked for, nor the model's schema, while the model boots.
    """

    @property
    def http(self) -> Http:
        """See the class."""
        raise NotImplementedError

    @property
    def models(self) -> Models:
        """See the class."""
        raise NotImplementedError

    @property
    def files(self) -> Files:
        """See the class."""
        raise NotImplementedError

    @property
    def may_boot(self) -> bool:
        """See the class."""
        raise NotImplementedError

    async def find_boot(self, model: str) -> Boot | None:
        """Return the boot that an answer of the model has to wait for; None if there is none."""
        raise NotImplementedError

    async def create(
        self,
        model: Model,
        input_: dict[str, Any],
        reading: Reading,
        deadline_at: float | None,
        recorder: Recorder | None = None,
    ) -> Run:
        """Create a prediction.

        Args:
            model: The model to run.
            input_: The prediction's `input`.
            reading: How its answer is read.
            deadline_at: The deadline, in the running loop's time; None: it begins now, if any.
            recorder: Records what a later search for the prediction needs; None for nobody.

        Raises:
            ReplicateError: It was refused, or whether it was created is unknown.
        """
        raise NotImplementedError

    async def fetch_prediction(self, prediction_id: str) -> Prediction:
        """Fetch the record of a prediction that was created before.

        Raises:
            ModelNotFoundError: There is no such record.
            ReplicateError: The request failed.
        """
        raise NotImplementedError

    async def find_predictions(
        self,
        wanted: Counter[str],
        created_after: float,
        *,
        digest_input: Callable[[Mapping[str, Any]], str],
        known_ids: Collection[str] = (),
    ) -> dict[str, list[str]]:
        """Find predictions by their input, as the function of this name in `prediction_list`."""
        raise NotImplementedError

    def read(self, prediction: Prediction, reading: Reading) -> Run:
        """Take up a prediction out of `fetch_prediction`, with a deadline that begins now."""
        raise NotImplementedError

    def list_models(
        self, query: str | None, is_listed: Callable[[Mapping[str, Any]], bool]
    ) -> ModelList:
        """Return what `Client.models` does.

        Raises:
            InvalidInputError: The dialect has no list of models, or the query is empty.
        """
        raise NotImplementedError


def connect(settings: Settings) -> Api:
    """Return the API of the settings' dialect."""
    if settings.dialect == "cog":
        from replicate_stream._api.cog import CogApi  # most clients need one dialect only

        return CogApi(settings)
    from replicate_stream._api.creation import ReplicateApi

    return ReplicateApi(settings)
